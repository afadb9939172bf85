#include "ir/fold.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ir/builder.h"

namespace kiln {
namespace {

constexpr int64_t kMaxFolded = 4096;  ///< elements of a result
constexpr int64_t kMaxOperand = 65536;

using Index = std::vector<int64_t>;

struct Operand {
  const Value* value;
  std::vector<Number> data;
  Number at(const Index& index) const {  ///< index into a shape that this broadcasts to
    int64_t flat = 0;
    const Shape& s = value->shape;
    for (size_t i = 0; i < s.size(); ++i)
      flat = flat * s[i].value + (s[i].value == 1 ? 0 : index[index.size() - s.size() + i]);
    return data[static_cast<size_t>(flat)];
  }
};

double apply_float(PointOp op, float a, float b) {
  switch (op) {
    case PointOp::add:
      return a + b;
    case PointOp::sub:
      return a - b;
    case PointOp::mul:
      return a * b;
    case PointOp::div:
      return a / b;
    case PointOp::min:
      return a != a || b != b ? NAN : a < b ? a : b;
    case PointOp::max:
      return a != a || b != b ? NAN : a > b ? a : b;
    case PointOp::pow:
      return std::pow(a, b);
    case PointOp::atan2:
      return std::atan2(a, b);
    case PointOp::fmod:
      return std::fmod(a, b);
    case PointOp::neg:
      return -a;
    case PointOp::abs:
      return std::fabs(a);
    case PointOp::sqrt:
      return std::sqrt(a);
    case PointOp::rsqrt:
      return 1 / std::sqrt(a);
    case PointOp::reciprocal:
      return 1 / a;
    case PointOp::exp:
      return std::exp(a);
    case PointOp::log:
      return std::log(a);
    case PointOp::log1p:
      return std::log1p(a);
    case PointOp::expm1:
      return std::expm1(a);
    case PointOp::erf:
      return std::erf(a);
    case PointOp::tanh:
      return std::tanh(a);
    case PointOp::sigmoid:
      return 1 / (1 + std::exp(-a));
    case PointOp::sin:
      return std::sin(a);
    case PointOp::cos:
      return std::cos(a);
    case PointOp::floor:
      return std::floor(a);
    case PointOp::ceil:
      return std::ceil(a);
    case PointOp::round:
      return std::nearbyint(a);
    case PointOp::trunc:
      return std::trunc(a);
    default:
      return NAN;
  }
}

Number whole(int64_t v) { return {static_cast<double>(v), v}; }
Number whole_of(int64_t v, Lane lane) {
  return {lane == Lane::u64 ? static_cast<double>(static_cast<uint64_t>(v)) : static_cast<double>(v), v};
}
bool less_than(int64_t a, int64_t b, Lane lane) {
  return lane == Lane::u64 ? static_cast<uint64_t>(a) < static_cast<uint64_t>(b) : a < b;
}
Number real(float v) { return {static_cast<double>(v), 0}; }

bool holds(PointOp op, bool less, bool equal) {
  switch (op) {
    case PointOp::eq:
      return equal;
    case PointOp::ne:
      return !equal;
    case PointOp::lt:
      return less;
    case PointOp::le:
      return less || equal;
    case PointOp::gt:
      return !less && !equal;
    default:
      return !less;
  }
}

/// What emitted code computes: masks are 0 and 1.
Number apply(const PointInst& inst, Lane from, Number a, Number b, Number c) {
  const auto x = static_cast<float>(a.real), y = static_cast<float>(b.real);
  const bool is_real = from == Lane::f32;
  switch (inst.op) {
    case PointOp::eq:
    case PointOp::ne:
    case PointOp::lt:
    case PointOp::le:
    case PointOp::gt:
    case PointOp::ge:
      if (is_real && (x != x || y != y)) return whole(inst.op == PointOp::ne);
      return whole(is_real ? holds(inst.op, x < y, x == y)
                           : holds(inst.op, less_than(a.whole, b.whole, from), a.whole == b.whole));
    case PointOp::select:
      return a.whole ? b : c;
    case PointOp::to_f32:
      if (from == Lane::u64) return real(static_cast<float>(static_cast<uint64_t>(a.whole)));
      return is_real ? a : real(static_cast<float>(a.whole));
    case PointOp::to_i32:
      if (!is_real) return whole(wrapped(a.whole, Lane::i32));
      return whole(std::clamp<int64_t>(whole_part(a.real), INT32_MIN, INT32_MAX));
    case PointOp::to_i64:
      return whole(is_real ? whole_part(a.real) : a.whole);
    case PointOp::to_u64:
      if (is_real && a.real >= 0x1p63)
        return whole_of(a.real >= 0x1p64 ? -1 : static_cast<int64_t>(static_cast<uint64_t>(a.real)), Lane::u64);
      return whole_of(is_real ? whole_part(a.real) : a.whole, Lane::u64);
    case PointOp::to_mask:
      return whole(is_real ? x != 0 : a.whole != 0);
    case PointOp::logical_not:
      return whole(a.whole == 0);
    default:
      if (is_real) return real(apply_float(inst.op, x, y));
      return whole_of(apply_integer(inst.op, from, a.whole, b.whole), from);  // of masks too: and, or, xor agree
  }
}

Number evaluate(const Expr& expr, const std::vector<Number>& operands) {
  std::vector<Number> at;
  for (const PointInst& inst : expr.insts) {
    const int n = arity(inst.op);
    if (inst.op == PointOp::input)
      at.push_back(operands[inst.a]);
    else if (inst.op == PointOp::constant)
      at.push_back(inst.lane == Lane::f32 ? real(inst.value) : whole_of(inst.integer, inst.lane));
    else
      at.push_back(apply(inst, expr.insts[inst.a].lane, at[inst.a], n > 1 ? at[inst.b] : Number{},
                         n > 2 ? at[inst.c] : Number{}));
  }
  return at.back();
}

Number reduced(const ReduceAttrs& a, const Operand& x, const Index& out) {
  Index sizes, base;
  size_t next = 0;
  for (size_t d = 0; d < x.value->shape.size(); ++d) {
    const bool is_reduced = std::count(a.axes.begin(), a.axes.end(), static_cast<int64_t>(d)) > 0;
    sizes.push_back(is_reduced ? x.value->shape[d].value : 1);
    base.push_back(is_reduced ? 0 : out[next]);
    if (!is_reduced || a.keepdim) ++next;
  }
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  const bool is_real = x.value->dtype == DType::f32;
  double sum = 0, product = 1;
  int64_t truths = 0, best_at = 0;
  uint64_t whole_sum = 0, whole_product = 1;
  Number best;
  for (int64_t r = 0; r < n; ++r) {
    Index at = base;
    int64_t rest = r;
    for (size_t d = at.size(); d-- > 0;) at[d] += rest % sizes[d], rest /= sizes[d];
    const Number v = x.at(at);
    const bool less = is_real ? v.real < best.real : v.whole < best.whole,
               more = is_real ? v.real > best.real : v.whole > best.whole;
    const bool low = a.kind == ReduceKind::min || a.kind == ReduceKind::argmin;
    const bool beats = best.real == best.real && (v.real != v.real || (low ? less : more));  // the first NaN does
    if (r == 0 || beats) best = v, best_at = r;
    sum += v.real, product *= v.real, truths += v.real != 0;
    whole_sum += static_cast<uint64_t>(v.whole), whole_product *= static_cast<uint64_t>(v.whole);
  }
  switch (a.kind) {
    case ReduceKind::sum:
      return {sum, static_cast<int64_t>(whole_sum)};
    case ReduceKind::mean:
      return {sum / static_cast<double>(n), 0};
    case ReduceKind::prod:
      return {product, static_cast<int64_t>(whole_product)};
    case ReduceKind::argmax:
    case ReduceKind::argmin:
      return whole(best_at);
    case ReduceKind::any:
      return whole(truths > 0);
    case ReduceKind::all:
      return whole(truths == n);
    default:
      return best;
  }
}

Number element(const Node& node, const std::vector<Operand>& in, const Index& i) {
  Index at = i;
  switch (node.op) {
    case Op::map: {
      std::vector<Number> operands;
      for (const Operand& x : in) operands.push_back(x.at(i));
      return evaluate(node.expr, operands);
    }
    case Op::permute:
      for (size_t d = 0; d < i.size(); ++d) at[static_cast<size_t>(std::get<PermuteAttrs>(node.attrs).axes[d])] = i[d];
      return in[0].at(at);
    case Op::slice: {
      const auto& a = std::get<SliceAttrs>(node.attrs);
      for (size_t d = 0; d < i.size(); ++d) at[d] = a.start[d] + i[d] * a.step[d];
      return in[0].at(at);
    }
    case Op::pad: {
      const auto& a = std::get<PadAttrs>(node.attrs);
      for (size_t d = 0; d < i.size(); ++d) {
        at[d] -= a.before[d];
        if (at[d] < 0 || at[d] >= in[0].value->shape[d].value) return {static_cast<double>(a.value), a.whole};
      }
      return in[0].at(at);
    }
    case Op::concat: {
      const auto axis = static_cast<size_t>(std::get<AxisAttrs>(node.attrs).axis);
      for (const Operand& x : in) {
        if (at[axis] < x.value->shape[axis].value) return x.at(at);
        at[axis] -= x.value->shape[axis].value;
      }
      return {};
    }
    case Op::gather: {
      const auto& [axis, batch] = std::get<GatherAttrs>(node.attrs);
      const auto own = static_cast<int64_t>(in[1].value->shape.size()) - batch;  // dims of the index
      const int64_t rows = in[0].value->shape[static_cast<size_t>(axis)].value;
      Index index(i.begin(), i.begin() + batch);
      index.insert(index.end(), i.begin() + axis, i.begin() + axis + own);
      int64_t row = in[1].at(index).whole;
      if (row < 0) row += rows;
      at.erase(at.begin() + axis, at.begin() + axis + own);
      at.insert(at.begin() + axis, std::clamp<int64_t>(row, 0, rows - 1));
      return in[0].at(at);
    }
    case Op::reduce:
      return reduced(std::get<ReduceAttrs>(node.attrs), in[0], i);
    default:
      return in[0].at(i);  // expand
  }
}

/// What the emitted code computes better than a few lines here would.
bool is_rare(const PointInst& inst) {
  return inst.op == PointOp::exp2 || inst.op == PointOp::log2 || inst.op == PointOp::log10 || inst.op == PointOp::tan;
}

/// Indices must be in range to be folded: the emitted gather reports what is not.
bool in_range(const Node& node, const std::vector<Operand>& in) {
  if (node.op != Op::gather) return true;
  const int64_t rows = in[0].value->shape[static_cast<size_t>(std::get<GatherAttrs>(node.attrs).axis)].value;
  return std::all_of(in[1].data.begin(), in[1].data.end(),
                     [&](const Number& v) { return v.whole >= -rows && v.whole < rows; });
}

bool foldable(Op op) {
  switch (op) {
    case Op::map:
    case Op::reduce:
    case Op::gather:
    case Op::reshape:
    case Op::permute:
    case Op::expand:
    case Op::slice:
    case Op::concat:
    case Op::pad:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<uint8_t> fold(const Graph& graph, const Node& node, const TensorType& out, int64_t& left) {
  const int64_t count = element_count(out.shape);
  if (!foldable(node.op) || !node.epilogue.empty() || count > kMaxFolded) return {};
  if (std::any_of(node.expr.insts.begin(), node.expr.insts.end(), is_rare)) return {};
  std::vector<Operand> in;
  int64_t cost = 0;
  for (ValueId id : node.inputs) {
    if (id == kNoValue || !graph.value(id).is_constant() || element_count(graph.value(id).shape) > kMaxOperand)
      return {};
    in.push_back({&graph.value(id), {}});
    cost += element_count(graph.value(id).shape);
  }
  left -= cost + count * static_cast<int64_t>(node.op == Op::concat ? node.inputs.size() : 1 + node.expr.insts.size());
  if (left < 0) return {};
  if (node.op == Op::reshape) return in[0].value->data;
  for (Operand& x : in) {
    x.data = read_numbers(*x.value);
    if (static_cast<int64_t>(x.data.size()) != element_count(x.value->shape)) return {};
  }
  if (!in_range(node, in)) return {};
  std::vector<Number> result;
  Index index(out.shape.size(), 0);
  for (int64_t n = 0; n < count; ++n) {
    result.push_back(element(node, in, index));
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < out.shape[d].value) break;
      index[d] = 0;
    }
  }
  return write_numbers(result, out.dtype);
}

}  // namespace kiln
