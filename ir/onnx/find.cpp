// What exporters spell out in other operators, found again: layer norm, RMS norm, attention whose softmax is guarded
// against rows that are masked everywhere.
#include "ir/onnx/find.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {
namespace {

/// The operands of a map that is one operation of two of its inputs.
std::optional<std::pair<ValueId, ValueId>> operands(const Node* node, PointOp op) {
  if (!node || node->op != Op::map || !node->epilogue.empty()) return std::nullopt;
  const std::vector<PointInst>& insts = node->expr.insts;
  const PointInst& top = insts.back();
  if (top.op != op || insts.size() > 3 || arity(op) != 2) return std::nullopt;
  const PointInst &a = insts[top.a], &b = insts[top.b];
  if (a.op != PointOp::input || b.op != PointOp::input) return std::nullopt;
  return std::make_pair(node->inputs[a.a], node->inputs[b.a]);
}

/// A map of one operand by a number.
struct ByNumber {
  ValueId x = kNoValue;
  PointOp op = PointOp::add;
  double number = 0;
};
std::optional<ByNumber> by_number(const Node* node) {
  if (!node || node->op != Op::map || !node->epilogue.empty() || node->expr.insts.size() != 3) return std::nullopt;
  const std::vector<PointInst>& insts = node->expr.insts;
  const PointInst& top = insts.back();
  if (top.lane != Lane::f32 || arity(top.op) != 2) return std::nullopt;
  const bool first = insts[top.a].op == PointOp::input;
  const PointInst &x = insts[first ? top.a : top.b], &c = insts[first ? top.b : top.a];
  if (x.op != PointOp::input || c.op != PointOp::constant) return std::nullopt;
  if (!first && top.op != PointOp::add && top.op != PointOp::mul) return std::nullopt;
  return ByNumber{node->inputs[x.a], top.op, static_cast<double>(c.value)};
}

bool is_unary(const Node* node, PointOp op) {
  return node && node->op == Op::map && node->epilogue.empty() && node->expr.insts.size() == 2 &&
         node->expr.insts[0].op == PointOp::input && node->expr.insts[1].op == op;
}

/// The mean over the last dims, kept as 1: the first of them.
std::optional<int64_t> mean_from(Rewrite& r, const Node* node) {
  if (!node || node->op != Op::reduce || !node->epilogue.empty()) return std::nullopt;
  const auto& a = std::get<ReduceAttrs>(node->attrs);
  const auto rank = static_cast<int64_t>(r.shape(node->inputs[0]).size());
  if (a.kind != ReduceKind::mean || !a.keepdim || a.axes.empty()) return std::nullopt;
  std::vector<int64_t> axes = a.axes;
  std::sort(axes.begin(), axes.end());
  const auto first = rank - static_cast<int64_t>(axes.size());
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != first + static_cast<int64_t>(i)) return std::nullopt;
  return first;
}

/// sqrt(mean + eps), or with `inverse` one over it: the mean, and eps.
std::optional<ByNumber> deviation(Rewrite& r, ValueId x, bool inverse) {
  const Node* root = r.producer(x);
  if (inverse && is_unary(root, PointOp::reciprocal)) root = r.producer(root->inputs[0]), inverse = false;
  if (!is_unary(root, inverse ? PointOp::rsqrt : PointOp::sqrt)) return std::nullopt;
  const auto sum = by_number(r.producer(root->inputs[0]));
  return sum && sum->op == PointOp::add && sum->number >= 0 ? sum : std::nullopt;
}

/// (x − mean) / sqrt(mean((x − mean)²) + eps), and the same without the mean.
Result<bool> find_norm(Rewrite& r, const Node& node) {
  for (const auto& [op, turned] : {std::make_pair(PointOp::div, false), {PointOp::mul, false}, {PointOp::mul, true}}) {
    auto pair = operands(&node, op);
    if (!pair) continue;
    if (turned) std::swap(pair->first, pair->second);
    const ValueId centred = pair->first;
    const auto spread = deviation(r, pair->second, op == PointOp::mul);
    if (!spread) continue;
    const Node* variance = r.producer(spread->x, Op::reduce);
    const auto axis = mean_from(r, variance);
    const auto square = axis ? operands(r.producer(variance->inputs[0]), PointOp::mul) : std::nullopt;
    if (!square || square->first != centred || square->second != centred) continue;
    NormAttrs attrs;
    attrs.kind = NormKind::rms_norm, attrs.axis = *axis, attrs.eps = spread->number;
    ValueId x = centred;
    if (const auto difference = operands(r.producer(centred), PointOp::sub)) {
      const Node* mean = r.producer(difference->second, Op::reduce);
      if (mean_from(r, mean) == axis && mean->inputs[0] == difference->first)
        attrs.kind = NormKind::layer_norm, x = difference->first;
    }
    KILN_ASSIGN(const ValueId y, r.b.layer_norm(x, kNoValue, kNoValue, attrs));
    if (r.shape(y) != r.shape(node.outputs[0])) return false;
    r.replace(node.outputs[0], y);
    return true;
  }
  return false;
}

/// Scale and shift behind it.
Result<bool> find_scale_and_shift(Rewrite& r, const Node& node) {
  for (const PointOp op : {PointOp::mul, PointOp::add}) {
    auto pair = operands(&node, op);
    if (!pair) continue;
    if (!r.producer(pair->first, Op::layer_norm)) std::swap(pair->first, pair->second);
    const auto [x, by] = *pair;
    const Node* found = r.producer(x, Op::layer_norm);
    if (!found || !found->epilogue.empty() || !r.single_use(x) || !r.from_weights(by)) continue;
    const Node norm = *found;
    const auto& attrs = std::get<NormAttrs>(norm.attrs);
    const Shape inner(r.shape(x).begin() + attrs.axis, r.shape(x).end());
    const bool shifts = op == PointOp::add;
    if (r.shape(by) != inner || norm.inputs[2] != kNoValue || (!shifts && norm.inputs[1] != kNoValue)) continue;
    if (shifts && attrs.kind != NormKind::layer_norm) continue;
    KILN_ASSIGN(const ValueId y,
                r.b.layer_norm(norm.inputs[0], shifts ? norm.inputs[1] : by, shifts ? by : kNoValue, attrs));
    r.replace(node.outputs[0], y);
    return true;
  }
  return false;
}

/// isnan(x) ? 0 : x as a map of x alone.
Result<bool> find_guard(Rewrite& r, const Node& node) {
  if (node.op != Op::map || !node.epilogue.empty() || node.inputs.size() != 2) return false;
  const std::vector<PointInst>& e = node.expr.insts;
  const PointInst& top = e.back();
  if (top.op != PointOp::select || e[top.a].op != PointOp::input || e[top.b].op != PointOp::constant ||
      e[top.b].value != 0 || e[top.c].op != PointOp::input)
    return false;
  const ValueId x = node.inputs[e[top.c].a];
  const auto same = operands(r.producer(node.inputs[e[top.a].a]), PointOp::ne);
  if (!same || same->first != x || same->second != x) return false;
  Fx f;
  const Term in = f.in(0);
  KILN_ASSIGN(const ValueId y, r.b.map(f.finish(f.where(f.bin(PointOp::ne, in, in), f.c(0), in)), {x}, DType::f32));
  r.replace(node.outputs[0], y);
  return true;
}

/// matmul(isnan(p) ? 0 : p, v) where p is a softmax: attention has zeros where everything is masked, as this has.
Result<bool> find_guarded_attention(Rewrite& r, const Node& node) {
  if (node.op != Op::matmul) return false;
  const Node* guard = r.producer(node.inputs[0], Op::map);
  if (!guard || !guard->epilogue.empty() || guard->inputs.size() != 1 || !r.single_use(node.inputs[0])) return false;
  const std::vector<PointInst>& e = guard->expr.insts;
  const PointInst& top = e.back();
  if (top.op != PointOp::select || e[top.a].op != PointOp::ne || e[top.b].op != PointOp::constant ||
      e[top.b].value != 0 || e[top.c].op != PointOp::input)
    return false;
  if (e[e[top.a].a].op != PointOp::input || e[e[top.a].b].op != PointOp::input) return false;
  Node bare = node;
  bare.inputs[0] = guard->inputs[0];
  return match_attention(r, bare);
}

/// Numbers by which queries or keys are multiplied are part of the scale.
Result<bool> find_scale(Rewrite& r, const Node& node) {
  if (node.op != Op::attention || !node.epilogue.empty()) return false;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    ValueId x = node.inputs[i];
    std::optional<PermuteAttrs> turned;
    if (const Node* p = r.producer(x, Op::permute); p && r.single_use(x)) {
      turned = std::get<PermuteAttrs>(p->attrs);
      x = p->inputs[0];
    }
    const auto by = r.single_use(x) ? by_number(r.producer(x)) : std::nullopt;
    if (!by || by->op != PointOp::mul || by->number == 0) continue;
    Node bare = node;
    bare.inputs[i] = by->x;
    if (turned) {
      KILN_ASSIGN(bare.inputs[i], r.b.permute(by->x, turned->axes));
    }
    auto attrs = std::get<AttentionAttrs>(node.attrs);
    attrs.scale *= by->number;
    KILN_ASSIGN(const ValueId y, r.b.attention(bare.inputs[0], bare.inputs[1], bare.inputs[2], bare.inputs[3], attrs));
    r.replace(node.outputs[0], y);
    return true;
  }
  return false;
}

}  // namespace

bool states_no_types(const Graph& source) {
  return std::any_of(source.values.begin(), source.values.end(), [](const Value& v) { return !v.typed; });
}

Result<Graph> find_spelled_out(Graph graph) {
  KILN_ASSIGN(graph,
              rewrite_by({find_norm, find_scale_and_shift, find_guard, find_guarded_attention}, std::move(graph)));
  KILN_ASSIGN(graph, canonicalize(std::move(graph)));
  return rewrite_by({find_scale}, std::move(graph));
}

}  // namespace kiln
