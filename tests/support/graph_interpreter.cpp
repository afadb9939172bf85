#include "tests/support/graph_interpreter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "ir/builder.h"
#include "tests/support/scalar_expr.h"

namespace kiln::testing {
namespace {

using Index = std::vector<int64_t>;

int64_t product(const Index& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

Index constant_shape(const Shape& shape) {
  Index out;
  for (const Dim& d : shape) out.push_back(d.value);
  return out;
}

Index unravel(int64_t flat, const Index& shape) {
  Index out(shape.size());
  for (size_t i = shape.size(); i-- > 0;) out[i] = flat % shape[i], flat /= shape[i];
  return out;
}

/// Position in `a` of an index into a shape that `a` broadcasts to.
int64_t position(const Array& a, const Index& index) {
  int64_t at = 0;
  const size_t skip = index.size() - a.shape.size();
  for (size_t i = 0; i < a.shape.size(); ++i) at = at * a.shape[i] + (a.shape[i] == 1 ? 0 : index[skip + i]);
  return at;
}
double element(const Array& a, const Index& index) { return a.data[static_cast<size_t>(position(a, index))]; }

Array read_bytes(const Value& v) { return {v.dtype, constant_shape(v.shape), read_constant(v)}; }

/// What is left of a number in memory: of an integer its lowest bits, of a truth value whether it is 0.
double stored(double v, DType dtype) {
  if (dtype == DType::boolean) return v != 0;
  if (fills_lane(dtype)) return v;
  Value cut;
  cut.dtype = dtype;
  cut.data = write_numbers({{v, whole_part(v)}}, dtype);
  return read_constant(cut)[0];
}

class Interpreter {
 public:
  Interpreter(const Graph& graph, std::vector<Array> values) : graph_(graph), values_(std::move(values)) {}

  Status run(const Node& node) {
    node_ = &node;
    if (node.op == Op::scatter) return scatter();
    if (node.op == Op::sort) return sort();
    if (node.op == Op::scan) return scan();
    const Value& declared = graph_.value(node.outputs[0]);
    out_ = Array{declared.dtype, constant_shape(declared.shape), {}};
    out_.data.assign(static_cast<size_t>(product(out_.shape)), 0);
    switch (node.op) {
      case Op::conv:
        fill([&](const Index& i) { return conv(i); });
        break;
      case Op::matmul:
        fill([&](const Index& i) { return matmul(i); });
        break;
      case Op::map:
        fill([&](const Index& i) { return map(i); });
        break;
      case Op::reduce:
        fill([&](const Index& i) { return reduce(i); });
        break;
      case Op::softmax:
        fill([&](const Index& i) { return softmax(i); });
        break;
      case Op::layer_norm:
        fill([&](const Index& i) { return layer_norm(i); });
        break;
      case Op::attention:
        fill([&](const Index& i) { return attention(i); });
        break;
      case Op::pool:
        fill([&](const Index& i) { return pool(i); });
        break;
      case Op::gather:
        fill([&](const Index& i) { return gather(i); });
        break;
      case Op::taps:
        fill([&](const Index& i) { return taps(i); });
        break;
      case Op::reshape:
        out_.data = in(0).data;
        break;
      case Op::permute:
        fill([&](const Index& i) { return permute(i); });
        break;
      case Op::expand:
        fill([&](const Index& i) { return element(in(0), i); });
        break;
      case Op::slice:
        fill([&](const Index& i) { return slice(i); });
        break;
      case Op::concat:
        fill([&](const Index& i) { return concat(i); });
        break;
      case Op::pad:
        fill([&](const Index& i) { return pad(i); });
        break;
      case Op::branch:
        out_ = in(0);
        break;
      case Op::join:
        out_ = in(in(0).data[0] ? 2 : 3);
        break;
      case Op::scatter:
      case Op::scan:
      case Op::sort:
      case Op::loop:
      case Op::end_loop:
      case Op::source:
        return Error{ErrorCode::internal, "the interpreter takes canonical nodes", node.source};
    }
    if (!node.epilogue.empty()) epilogue();
    for (double& v : out_.data) v = stored(v, out_.dtype);
    values_[static_cast<size_t>(node.outputs[0])] = std::move(out_);
    return ok();
  }
  const Array& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  Array& value(ValueId id) { return values_[static_cast<size_t>(id)]; }

 private:
  bool has(size_t i) const {
    const size_t end = node_->epilogue.empty() ? node_->inputs.size() : static_cast<size_t>(node_->epilogue_begin);
    return i < end && node_->inputs[i] != kNoValue;
  }
  const Array& in(size_t i) const { return value(node_->inputs[i]); }
  template <class A>
  const A& attrs() const {
    return *std::get_if<A>(&node_->attrs);
  }

  template <class F>
  void fill(const F& f) {
    for (size_t i = 0; i < out_.data.size(); ++i) out_.data[i] = f(unravel(static_cast<int64_t>(i), out_.shape));
  }

  void epilogue() {
    const auto begin = static_cast<size_t>(node_->epilogue_begin);
    for (size_t i = 0; i < out_.data.size(); ++i) {
      const Index index = unravel(static_cast<int64_t>(i), out_.shape);
      std::vector<double> operands{out_.data[i]};
      for (size_t j = begin; j < node_->inputs.size(); ++j) operands.push_back(element(in(j), index));
      out_.data[i] = evaluate(node_->epilogue, operands);
    }
  }

  double map(const Index& i) const {
    std::vector<double> operands;
    for (size_t j = 0; j < node_->inputs.size(); ++j) operands.push_back(element(in(j), i));
    return evaluate(node_->expr, operands);
  }

  double conv(const Index& i) const {
    const auto& a = attrs<ConvAttrs>();
    const Array &x = in(0), &w = in(1);
    const int64_t per_group_out = w.shape[0] / a.groups, per_group = w.shape[1], group = i[1] / per_group_out;
    double sum = has(2) ? in(2).data[static_cast<size_t>(i[1])] : 0;
    for (int64_t c = 0; c < per_group; ++c)
      for (int64_t kh = 0; kh < w.shape[2]; ++kh)
        for (int64_t kw = 0; kw < w.shape[3]; ++kw) {
          int64_t y = i[2] * a.stride[0] - a.pad_begin[0] + kh * a.dilation[0],
                  xx = i[3] * a.stride[1] - a.pad_begin[1] + kw * a.dilation[1];
          if (a.transposed) {
            y = i[2] + a.pad_begin[0] - kh * a.dilation[0], xx = i[3] + a.pad_begin[1] - kw * a.dilation[1];
            if (y % a.stride[0] || xx % a.stride[1]) continue;
            y /= a.stride[0], xx /= a.stride[1];
          }
          if (y < 0 || y >= x.shape[2] || xx < 0 || xx >= x.shape[3]) continue;
          sum += element(x, {i[0], group * per_group + c, y, xx}) * element(w, {i[1], c, kh, kw});
        }
    return sum;
  }

  double matmul(const Index& i) const {
    const bool t = attrs<MatmulAttrs>().transpose_b;
    Index ia = i, ib = i;
    double sum = 0;
    for (int64_t k = 0; k < in(0).shape.back(); ++k) {
      ia[i.size() - 1] = k;
      ib[i.size() - 2] = t ? i[i.size() - 1] : k;
      ib[i.size() - 1] = t ? k : i[i.size() - 1];
      sum += element(in(0), ia) * element(in(1), ib);
    }
    return sum;
  }

  double reduce(const Index& i) const {
    const auto& a = attrs<ReduceAttrs>();
    const Array& x = in(0);
    Index sizes, at(x.shape.size(), 0);
    size_t next = 0;
    for (size_t d = 0; d < x.shape.size(); ++d) {
      const bool reduced = std::count(a.axes.begin(), a.axes.end(), static_cast<int64_t>(d)) > 0;
      sizes.push_back(reduced ? x.shape[d] : 1);
      if (!reduced) at[d] = i[next];
      if (!reduced || a.keepdim) ++next;
    }
    double sum = 0, prod = 1, best = 0;
    int64_t best_at = 0, any = 0;
    const int64_t n = product(sizes);
    for (int64_t r = 0; r < n; ++r) {
      Index full = unravel(r, sizes);
      for (size_t d = 0; d < full.size(); ++d) full[d] += at[d];
      const double v = element(x, full);
      sum += v, prod *= v, any += v != 0;
      const bool low = a.kind == ReduceKind::min || a.kind == ReduceKind::argmin;
      // As to PyTorch, what is no number is the greatest and the least.
      const bool better = std::isnan(v) || (low ? v < best : v > best);
      if (r == 0 || (better && !std::isnan(best))) best = v, best_at = r;
    }
    switch (a.kind) {
      case ReduceKind::sum:
        return sum;
      case ReduceKind::mean:
        return sum / static_cast<double>(n);
      case ReduceKind::prod:
        return prod;
      case ReduceKind::argmax:
      case ReduceKind::argmin:
        return static_cast<double>(best_at);
      case ReduceKind::any:
        return any > 0;
      case ReduceKind::all:
        return any == n;
      default:
        return best;
    }
  }

  double softmax(const Index& i) const {
    const auto& a = attrs<NormAttrs>();
    const auto axis = static_cast<size_t>(a.axis);
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    Index at = i;
    for (at[axis] = 0; at[axis] < in(0).shape[axis]; ++at[axis]) top = std::max(top, element(in(0), at));
    for (at[axis] = 0; at[axis] < in(0).shape[axis]; ++at[axis]) sum += std::exp(element(in(0), at) - top);
    const double x = element(in(0), i) - top;
    return a.kind == NormKind::log_softmax ? x - std::log(sum) : std::exp(x) / sum;
  }

  double layer_norm(const Index& i) const {
    const auto& a = attrs<NormAttrs>();
    const auto axis = static_cast<size_t>(a.axis);
    const Array& x = in(0);
    const Index row(x.shape.begin() + a.axis, x.shape.end()), inner(i.begin() + a.axis, i.end());
    const int64_t n = product(row);
    double sum = 0, squares = 0;
    Index at = i;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t r = 0; r < n; ++r) {
        const Index j = unravel(r, row);
        std::copy(j.begin(), j.end(), at.begin() + static_cast<std::ptrdiff_t>(axis));
        const double v = element(x, at);
        if (pass == 0)
          sum += v;
        else
          squares += (a.kind == NormKind::layer_norm ? (v - sum / n) * (v - sum / n) : v * v);
      }
    const double centred = element(x, i) - (a.kind == NormKind::layer_norm ? sum / n : 0);
    double y = centred / std::sqrt(squares / n + a.eps);
    if (has(1)) y *= element(in(1), inner);
    if (has(2)) y += element(in(2), inner);
    return y;
  }

  double attention(const Index& i) const {
    const auto& a = attrs<AttentionAttrs>();
    const int64_t length = in(1).shape[in(1).shape.size() - 2], width = in(0).shape.back();
    const size_t rank = i.size();
    std::vector<double> score;
    Index q = i, k = i, s = i;
    for (int64_t j = 0; j < length; ++j) {
      double dot = 0;
      k[rank - 2] = s[rank - 1] = j;
      for (int64_t e = 0; e < width; ++e) {
        q[rank - 1] = k[rank - 1] = e;
        dot += element(in(0), q) * element(in(1), k);
      }
      dot *= a.scale;
      if (a.causal && j > i[rank - 2]) dot = -std::numeric_limits<double>::infinity();
      if (has(3)) {
        const double mask = element(in(3), s);
        if (in(3).dtype == DType::boolean)
          dot = mask != 0 ? dot : -std::numeric_limits<double>::infinity();
        else
          dot += mask;
      }
      score.push_back(dot);
    }
    const double top = *std::max_element(score.begin(), score.end());
    if (top == -std::numeric_limits<double>::infinity()) return 0;  // as PyTorch: nothing is seen
    double sum = 0, mixed = 0;
    Index v = i;
    for (int64_t j = 0; j < length; ++j) {
      const double p = std::exp(score[static_cast<size_t>(j)] - top);
      v[rank - 2] = j;
      sum += p, mixed += p * element(in(2), v);
    }
    return mixed / sum;
  }

  double pool(const Index& i) const {
    const auto& a = attrs<PoolAttrs>();
    const Array& x = in(0);
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    int64_t inside = 0;
    for (int64_t kh = 0; kh < a.kernel[0]; ++kh)
      for (int64_t kw = 0; kw < a.kernel[1]; ++kw) {
        int64_t y = i[2] * a.stride[0] - a.pad_begin[0] + kh * a.dilation[0],
                xx = i[3] * a.stride[1] - a.pad_begin[1] + kw * a.dilation[1];
        if (a.even[0]) {
          y = i[2] * x.shape[2] / a.even[0] + kh, xx = i[3] * x.shape[3] / a.even[1] + kw;
          if (y >= ceil_div((i[2] + 1) * x.shape[2], a.even[0]) || xx >= ceil_div((i[3] + 1) * x.shape[3], a.even[1]))
            continue;
        }
        if (y < 0 || y >= x.shape[2] || xx < 0 || xx >= x.shape[3]) continue;
        const double v = element(x, {i[0], i[1], y, xx});
        top = std::isnan(v) ? v : std::max(top, v), sum += v, ++inside;
      }
    if (a.kind == WindowKind::max) return top;
    if (a.even[0]) return sum / static_cast<double>(inside);
    const int64_t all = a.kernel[0] * a.kernel[1];
    return sum / static_cast<double>(a.divisor ? a.divisor : a.count_include_pad ? all : inside);
  }

  double gather(const Index& i) const {
    const auto axis = static_cast<std::ptrdiff_t>(attrs<GatherAttrs>().axis),
               batch = static_cast<std::ptrdiff_t>(attrs<GatherAttrs>().batch),
               behind = axis + static_cast<std::ptrdiff_t>(in(1).shape.size()) - batch;
    Index at(i.begin(), i.begin() + batch);
    at.insert(at.end(), i.begin() + axis, i.begin() + behind);
    Index full(i.begin(), i.begin() + axis);
    int64_t row = static_cast<int64_t>(element(in(1), at));
    const int64_t rows = in(0).shape[static_cast<size_t>(axis)];
    if (row < 0) row += rows;
    full.push_back(row < 0 || row >= rows ? 0 : row);
    full.insert(full.end(), i.begin() + behind, i.end());
    return element(in(0), full);
  }

  Status scatter() {
    const auto& a = attrs<ScatterAttrs>();
    Array y = in(0);
    const Array &index = in(1), &updates = in(2);
    const auto axis = static_cast<std::ptrdiff_t>(a.axis), batch = static_cast<std::ptrdiff_t>(a.batch),
               behind = axis + static_cast<std::ptrdiff_t>(index.shape.size()) - batch;
    for (int64_t u = 0; u < updates.size(); ++u) {
      const Index i = unravel(u, updates.shape);
      Index at(i.begin(), i.begin() + batch), full(i.begin(), i.begin() + axis);
      at.insert(at.end(), i.begin() + axis, i.begin() + behind);
      const int64_t rows = y.shape[static_cast<size_t>(axis)];
      auto row = static_cast<int64_t>(element(index, at));
      if (row < 0) row += rows;
      if (row < 0 || row >= rows) continue;
      full.push_back(row);
      full.insert(full.end(), i.begin() + behind, i.end());
      double& to = y.data[static_cast<size_t>(position(y, full))];
      const double v = updates.data[static_cast<size_t>(u)];
      const bool low = a.kind == ScatterKind::min;
      if (a.kind == ScatterKind::replace) to = v;
      if (a.kind == ScatterKind::sum) to += v;
      if (a.kind == ScatterKind::prod) to *= v;
      if (a.kind == ScatterKind::max || low) to = std::isnan(to) || (low ? to < v : to > v) ? to : v;
    }
    value(node_->outputs[0]) = std::move(y);
    return ok();
  }

  Status scan() {
    const auto& a = attrs<ScanAttrs>();
    const Array& x = in(0);
    const auto axis = static_cast<size_t>(a.axis);
    const bool low = a.kind == ScanKind::min;
    Array values{x.dtype, x.shape, x.data}, places{DType::i64, x.shape, x.data};
    for (int64_t i = 0; i < x.size(); ++i) {
      const Index last = unravel(i, x.shape);
      Index at = last;
      at[axis] = 0;
      double y = element(x, at), most = y, powers = 0;
      int64_t place = 0;
      const auto each = [&](auto visit) {
        for (at[axis] = 0; at[axis] <= last[axis]; ++at[axis]) visit(element(x, at));
      };
      if (a.kind == ScanKind::sum || a.kind == ScanKind::prod) {
        y = a.kind == ScanKind::prod;
        each([&](double v) { y = a.kind == ScanKind::prod ? y * v : y + v; });
      } else if (a.kind == ScanKind::log_sum_exp) {
        each([&](double v) { most = std::isnan(v) || std::isnan(most) ? NAN : std::max(most, v); });
        each([&](double v) { powers += std::exp(v - most); });
        y = std::isinf(most) ? most : most + std::log(powers);
      } else {
        each([&](double v) {
          if (std::isnan(v) || (!std::isnan(y) && (low ? v <= y : v >= y))) y = v, place = at[axis];
        });
      }
      values.data[static_cast<size_t>(i)] = y, places.data[static_cast<size_t>(i)] = static_cast<double>(place);
    }
    if (node_->outputs[0] != kNoValue) value(node_->outputs[0]) = std::move(values);
    if (is_extreme(a.kind) && node_->outputs[1] != kNoValue) value(node_->outputs[1]) = std::move(places);
    return ok();
  }

  Status sort() {
    const auto& a = attrs<SortAttrs>();
    const Array& x = in(0);
    const auto axis = static_cast<size_t>(a.axis);
    Array found[2];
    for (size_t r = 0; r < 2; ++r) {
      found[r] = {r ? DType::i64 : x.dtype, x.shape, {}};
      found[r].shape[axis] = a.count;
    }
    for (Array& array : found) array.data.assign(static_cast<size_t>(array.size()), 0);
    // NaN is the greatest.
    const auto before = [&](double u, double v) { return std::isnan(v) ? !std::isnan(u) : u < v; };
    Index rows = x.shape;
    rows[axis] = 1;
    for (int64_t row = 0; row < product(rows); ++row) {
      Index at = unravel(row, rows);
      std::vector<int64_t> order;
      const auto value = [&](int64_t i) {
        at[axis] = i;
        return element(x, at);
      };
      for (int64_t i = 0; i < x.shape[axis]; ++i) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
        const double u = value(i), v = value(j);
        return a.descending ? before(v, u) : before(u, v);
      });
      for (int64_t i = 0; i < a.count; ++i) {
        const int64_t from = order[static_cast<size_t>(a.first + i)];
        const double v = value(from);
        at[axis] = i;
        const auto to = static_cast<size_t>(position(found[0], at));
        found[0].data[to] = v, found[1].data[to] = static_cast<double>(from);
      }
    }
    for (size_t r = 0; r < 2; ++r)
      if (node_->outputs[r] != kNoValue) value(node_->outputs[r]) = std::move(found[r]);
    return ok();
  }

  double taps(const Index& i) const {
    const auto& a = attrs<TapsAttrs>();
    const auto axis = static_cast<size_t>(a.axis), outs = a.index.size() / static_cast<size_t>(a.taps);
    double sum = 0;
    Index at = i;
    for (size_t t = static_cast<size_t>(i[axis]); t < a.index.size(); t += outs) {
      at[axis] = a.index[t];
      sum += element(in(0), at) * (a.weights.empty() ? 1 : static_cast<double>(a.weights[t]));
    }
    return sum;
  }

  double permute(const Index& i) const {
    const auto& axes = attrs<PermuteAttrs>().axes;
    Index at(i.size());
    for (size_t d = 0; d < i.size(); ++d) at[static_cast<size_t>(axes[d])] = i[d];
    return element(in(0), at);
  }

  double slice(const Index& i) const {
    const auto& a = attrs<SliceAttrs>();
    Index at = i;
    for (size_t d = 0; d < i.size(); ++d) at[d] = a.start[d] + i[d] * a.step[d];
    return element(in(0), at);
  }

  double concat(const Index& i) const {
    const auto axis = static_cast<size_t>(attrs<AxisAttrs>().axis);
    Index at = i;
    for (size_t part = 0; has(part); ++part) {
      if (at[axis] < in(part).shape[axis]) return element(in(part), at);
      at[axis] -= in(part).shape[axis];
    }
    return std::nan("");
  }

  double pad(const Index& i) const {
    const auto& a = attrs<PadAttrs>();
    Index at = i;
    for (size_t d = 0; d < i.size(); ++d) {
      at[d] -= a.before[d];
      if (at[d] < 0 || at[d] >= in(0).shape[d]) return static_cast<double>(a.value);
    }
    return element(in(0), at);
  }

  const Graph& graph_;
  std::vector<Array> values_;
  const Node* node_ = nullptr;
  Array out_;
};

}  // namespace

int64_t Array::size() const { return product(shape); }

Bindings random_bindings(const Graph& graph, uint32_t seed, int64_t int_limit) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);
  const auto make = [&](const Value& v) {
    Array a{v.dtype, constant_shape(v.shape), {}};
    const bool positive = v.name.size() >= 3 && v.name.compare(v.name.size() - 3, 3, "var") == 0;
    for (int64_t i = 0; i < a.size(); ++i) {
      double x = normal(random);
      if (positive) x = 0.5 + std::fabs(x);
      if (v.dtype == DType::boolean)
        x = x > 0;
      else if (lane_of(v.dtype) == Lane::f32)
        x = stored(static_cast<double>(static_cast<float>(x)), v.dtype);
      else
        x = static_cast<double>(random() % static_cast<uint32_t>(int_limit));
      a.data.push_back(x);
    }
    return a;
  };
  Bindings bindings;
  for (ValueId id : graph.inputs) bindings.inputs.push_back(make(graph.value(id)));
  // Ordered by segment, so that the numbers do not depend on the order of values, which passes change.
  std::map<int, const Value*> by_segment;
  for (const Value& v : graph.values)
    if (v.is_weight()) by_segment.emplace(v.segment, &v);
  for (const auto& [segment, v] : by_segment) bindings.weights[segment] = make(*v);
  return bindings;
}

namespace {

/// Goes through the nodes as the marks of control flow say.
class Control {
 public:
  Control(const Graph& graph, Interpreter& values) : graph_(graph), values_(values) {}

  Status run(const std::function<void(const Node&, Array&)>& after) {
    std::vector<std::pair<ValueId, bool>> branches;  // token, whether it runs
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (node.op == Op::branch && std::get<BranchAttrs>(node.attrs).otherwise) branches.pop_back();
      if (node.op == Op::join && !branches.empty() && branches.back().first == node.inputs[1]) branches.pop_back();
      bool runs = true;
      for (const auto& [token, holds] : branches) runs = runs && holds;
      if (node.op == Op::loop && runs) begin(node, i);
      if (node.op == Op::end_loop && runs && end(node)) i = loops_.back().at;  // another round
      if (node.op == Op::loop && runs && !loops_.back().goes_on) i = skip(i);
      if (node.op == Op::loop || node.op == Op::end_loop) continue;
      if (runs) KILN_TRY(values_.run(node));
      if (node.op == Op::branch)
        branches.emplace_back(node.outputs[0], runs && values_.value(node.outputs[0]).data[0] != 0);
      for (ValueId id : node.outputs)
        if (runs && after && id != kNoValue) after(node, values_.value(id));
    }
    return ok();
  }

 private:
  struct Open {
    size_t at;
    const Node* node;
    int64_t round;
    std::vector<Array> carried;
    bool goes_on;
  };
  const LoopAttrs& attrs(const Node& node) { return std::get<LoopAttrs>(node.attrs); }
  void set(ValueId id, Array value) {
    if (id != kNoValue) values_.value(id) = std::move(value);
  }
  /// Before a round, if there is one.
  void look(Open& open) {
    const LoopAttrs& a = attrs(*open.node);
    open.goes_on = (a.bound == 0 || open.round < a.bound) && (!a.conditional || open.carried[0].data[0] != 0);
    for (size_t i = 0; i < a.carried; ++i) set(open.node->outputs[i + 1], open.carried[i]);
    set(open.node->outputs[0], {DType::i64, {}, {static_cast<double>(open.round)}});
  }
  void begin(const Node& node, size_t at) {
    Open open{at, &node, 0, {}, true};
    for (ValueId id : node.inputs) open.carried.push_back(values_.value(id));
    loops_.push_back(std::move(open));
    look(loops_.back());
  }
  /// Without a round: behind the end of the loop.
  size_t skip(size_t at) {
    const ValueId number = graph_.nodes[at].outputs[0];
    while (graph_.nodes[++at].op != Op::end_loop || graph_.nodes[at].inputs[0] != number) {
    }
    finish(graph_.nodes[at]);
    return at;
  }
  /// After a round; whether there is another.
  bool end(const Node& node) {
    Open& open = loops_.back();
    const LoopAttrs& a = attrs(node);
    for (size_t i = 0; i < a.results.size(); ++i) {
      const ValueId id = node.outputs[a.carried + i];
      if (id == kNoValue) continue;
      Array& whole = values_.value(id);
      const Array& row = values_.value(node.inputs[1 + a.carried + i]);
      if (open.round == 0) {
        const Value& v = graph_.value(id);
        whole = {v.dtype, constant_shape(v.shape), {}};
        whole.data.assign(static_cast<size_t>(product(whole.shape)), 0);
      }
      const int64_t at = a.results[i] ? a.bound - 1 - open.round : open.round;
      std::copy(row.data.begin(), row.data.end(),
                whole.data.begin() + at * static_cast<std::ptrdiff_t>(row.data.size()));
    }
    for (size_t i = 0; i < a.carried; ++i) open.carried[i] = values_.value(node.inputs[1 + i]);
    ++open.round;
    look(open);
    if (!open.goes_on) finish(node);
    return !loops_.empty() && loops_.back().node->outputs[0] == node.inputs[0];
  }
  void finish(const Node& node) {
    for (size_t i = 0; i < attrs(node).carried; ++i) set(node.outputs[i], loops_.back().carried[i]);
    loops_.pop_back();
  }

  const Graph& graph_;
  Interpreter& values_;
  std::vector<Open> loops_;
};

}  // namespace

Result<std::vector<Array>> interpret(const Graph& graph, const Bindings& bindings,
                                     const std::function<void(const Node&, Array&)>& after) {
  std::vector<Array> values(graph.values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& v = graph.values[i];
    if (v.is_constant()) values[i] = read_bytes(v);
    if (is_empty(v.shape)) values[i] = {v.dtype, constant_shape(v.shape), {}};
    if (!v.is_weight()) continue;
    const auto it = bindings.weights.find(v.segment);
    if (it == bindings.weights.end()) return Error{ErrorCode::internal, "a weight is not bound", v.name};
    values[i] = it->second;
    values[i].shape = constant_shape(v.shape);
  }
  if (bindings.inputs.size() != graph.inputs.size()) return Error{ErrorCode::internal, "inputs are not bound", ""};
  for (size_t i = 0; i < graph.inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = bindings.inputs[i];
  Interpreter interpreter(graph, std::move(values));
  KILN_TRY(Control(graph, interpreter).run(after));
  std::vector<Array> outputs;
  for (ValueId id : graph.outputs) outputs.push_back(interpreter.value(id));
  return outputs;
}

double max_difference(const std::vector<Array>& a, const std::vector<Array>& b) {
  const double kInfinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return kInfinity;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape != b[i].shape || a[i].dtype != b[i].dtype || a[i].data.size() != b[i].data.size()) return kInfinity;
    for (size_t j = 0; j < a[i].data.size(); ++j) {
      const double x = a[i].data[j], y = b[i].data[j];
      if (std::isnan(x) != std::isnan(y)) return kInfinity;
      if (x == y || std::isnan(x)) continue;
      worst = std::max(worst, std::fabs(x - y));
    }
  }
  return worst;
}

}  // namespace kiln::testing
