// Needs: canonical nodes. Guarantees: a node whose operands are all small inline constants is one itself. Weights are
// not touched: what depends on them is computed at load.
#include <algorithm>
#include <cmath>

#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"

namespace kiln {
namespace {

constexpr int64_t kMaxFolded = 4096;  ///< elements of a result
constexpr int64_t kMaxOperand = 65536;

using Index = std::vector<int64_t>;

struct Operand {
  const Value* value;
  std::vector<double> data;
  double at(const Index& index) const {  ///< index into a shape that this broadcasts to
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

/// 32-bit two's complement, as the lanes of emitted code.
double apply_int(PointOp op, double x, double y) {
  const auto a = static_cast<int64_t>(x), b = static_cast<int64_t>(y);
  int64_t r = 0;
  switch (op) {
    case PointOp::add:
      r = a + b;
      break;
    case PointOp::sub:
      r = a - b;
      break;
    case PointOp::mul:
      r = a * b;
      break;
    case PointOp::min:
      r = std::min(a, b);
      break;
    case PointOp::max:
      r = std::max(a, b);
      break;
    case PointOp::neg:
      r = -a;
      break;
    case PointOp::abs:
      r = a < 0 ? -a : a;
      break;
    case PointOp::logical_and:
      r = a & b;
      break;
    case PointOp::logical_or:
      r = a | b;
      break;
    case PointOp::logical_xor:
      r = a ^ b;
      break;
    default:
      break;
  }
  return static_cast<double>(static_cast<int32_t>(static_cast<uint32_t>(r)));
}

double apply(const PointInst& inst, Lane from, double a, double b, double c) {
  switch (inst.op) {
    case PointOp::eq:
      return a == b;
    case PointOp::ne:
      return a != b;
    case PointOp::lt:
      return a < b;
    case PointOp::le:
      return a <= b;
    case PointOp::gt:
      return a > b;
    case PointOp::ge:
      return a >= b;
    case PointOp::select:
      return a != 0 ? b : c;
    case PointOp::to_f32:
      return static_cast<double>(static_cast<float>(a));
    case PointOp::to_i32:
      return a != a ? 0 : std::trunc(std::clamp(a, -2147483648.0, 2147483647.0));
    case PointOp::to_mask:
      return a != 0;
    case PointOp::logical_not:
      return a == 0;
    default:
      break;
  }
  if (from == Lane::f32) return apply_float(inst.op, static_cast<float>(a), static_cast<float>(b));
  return apply_int(inst.op, a, b);  // masks are 0 and 1: and, or, xor agree
}

double evaluate(const Expr& expr, const std::vector<double>& operands) {
  std::vector<double> at;
  for (const PointInst& inst : expr.insts) {
    const int n = arity(inst.op);
    if (inst.op == PointOp::input)
      at.push_back(operands[inst.a]);
    else if (inst.op == PointOp::constant)
      at.push_back(static_cast<double>(inst.value));
    else
      at.push_back(apply(inst, expr.insts[inst.a].lane, at[inst.a], n > 1 ? at[inst.b] : 0, n > 2 ? at[inst.c] : 0));
  }
  return at.back();
}

double reduced(const ReduceAttrs& a, const Operand& x, const Index& out) {
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
  double sum = 0, product = 1, best = 0, best_at = 0;
  int64_t truths = 0;
  for (int64_t r = 0; r < n; ++r) {
    Index at = base;
    int64_t rest = r;
    for (size_t d = at.size(); d-- > 0;) at[d] += rest % sizes[d], rest /= sizes[d];
    const double v = x.at(at);
    const bool low = a.kind == ReduceKind::min || a.kind == ReduceKind::argmin;
    if (r == 0 || (low ? v < best : v > best)) best = v, best_at = static_cast<double>(r);
    sum += v, product *= v, truths += v != 0;
  }
  switch (a.kind) {
    case ReduceKind::sum:
      return sum;
    case ReduceKind::mean:
      return sum / static_cast<double>(n);
    case ReduceKind::prod:
      return product;
    case ReduceKind::argmax:
    case ReduceKind::argmin:
      return best_at;
    case ReduceKind::any:
      return truths > 0;
    case ReduceKind::all:
      return truths == n;
    default:
      return best;
  }
}

double element(const Node& node, const std::vector<Operand>& in, const Index& i) {
  Index at = i;
  switch (node.op) {
    case Op::map: {
      std::vector<double> operands;
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
        if (at[d] < 0 || at[d] >= in[0].value->shape[d].value) return static_cast<double>(a.value);
      }
      return in[0].at(at);
    }
    case Op::concat: {
      const auto axis = static_cast<size_t>(std::get<AxisAttrs>(node.attrs).axis);
      for (const Operand& x : in) {
        if (at[axis] < x.value->shape[axis].value) return x.at(at);
        at[axis] -= x.value->shape[axis].value;
      }
      return 0;
    }
    case Op::gather: {
      const auto axis = std::get<AxisAttrs>(node.attrs).axis;
      const auto index_rank = static_cast<int64_t>(in[1].value->shape.size());
      const int64_t rows = in[0].value->shape[static_cast<size_t>(axis)].value;
      const Index index(i.begin() + axis, i.begin() + axis + index_rank);
      int64_t row = static_cast<int64_t>(in[1].at(index));
      if (row < 0) row += rows;
      at.erase(at.begin() + axis, at.begin() + axis + index_rank);
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
  const double rows =
      static_cast<double>(in[0].value->shape[static_cast<size_t>(std::get<AxisAttrs>(node.attrs).axis)].value);
  return std::all_of(in[1].data.begin(), in[1].data.end(), [&](double v) { return v >= -rows && v < rows; });
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

/// The result's bytes; empty when the node is not to be folded.
std::vector<uint8_t> fold(const Graph& graph, const Node& node) {
  const Value& out = graph.value(node.outputs[0]);
  const int64_t count = element_count(out.shape);
  if (!foldable(node.op) || !node.epilogue.empty() || count > kMaxFolded) return {};
  if (std::any_of(node.expr.insts.begin(), node.expr.insts.end(), is_rare)) return {};
  std::vector<Operand> in;
  for (ValueId id : node.inputs) {
    if (id == kNoValue || !graph.value(id).is_constant() || element_count(graph.value(id).shape) > kMaxOperand)
      return {};
    in.push_back({&graph.value(id), {}});
  }
  if (node.op == Op::reshape) return in[0].value->data;
  for (Operand& x : in) {
    x.data = read_constant(*x.value);
    if (static_cast<int64_t>(x.data.size()) != element_count(x.value->shape)) return {};
    // Numbers outside the 32-bit lanes are left to the emitted code, which says what it does with them.
    if (lane_of(x.value->dtype) == Lane::i32)
      for (double v : x.data)
        if (std::fabs(v) > 2147483647.0) return {};
  }
  if (!in_range(node, in)) return {};
  std::vector<double> result;
  Index index(out.shape.size(), 0);
  for (int64_t n = 0; n < count; ++n) {
    result.push_back(element(node, in, index));
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < out.shape[d].value) break;
      index[d] = 0;
    }
  }
  return write_constant(result, out.dtype);
}

}  // namespace

Result<Graph> fold_constants(Graph graph) {
  Rewrite rewrite(std::move(graph));
  return rewrite.run([&](Node& node) -> Result<bool> {
    std::vector<uint8_t> data = fold(rewrite.graph, node);
    if (data.empty()) return false;
    const Value& out = rewrite.graph.value(node.outputs[0]);
    rewrite.replace(node.outputs[0], rewrite.b.constant(out.dtype, Shape(out.shape), std::move(data)));
    return true;
  });
}

}  // namespace kiln
