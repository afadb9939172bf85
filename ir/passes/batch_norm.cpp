// Folds a per-channel a · x + b behind a convolution, if a and b come from weights alone: a into the weights, b into
// the bias. The new weights are maps over the old ones. The lowering runs them once, at load.
#include "ir/passes/canonical.h"

namespace kiln {
namespace {

/// A per-channel vector: one element, or C of them on axis 1 of [N,C,H,W] (from the end: the third).
bool is_per_channel(const Shape& s, int64_t channels) {
  for (size_t i = 0; i < s.size(); ++i)
    if (!(s[i] == Dim(1)) && !(i + 3 == s.size() && s[i] == Dim(channels))) return false;
  return s.size() <= 4;
}

/// The map `expr` over per-channel operands as a value of shape [C, 1, …] with `rank` dims.
Result<ValueId> channel_values(Rewrite& r, const Expr& expr, const std::vector<ValueId>& operands, int64_t channels,
                               size_t rank) {
  std::vector<ValueId> used;
  std::vector<int> moved(operands.size(), 0);
  for (size_t i = 0; i < operands.size(); ++i) {
    bool read = false;
    for (const PointInst& inst : expr.insts) read = read || (inst.op == PointOp::input && inst.a == i);
    moved[i] = static_cast<int>(used.size());
    if (!read) continue;
    Shape shape(rank, Dim(1));
    shape[0] = Dim(element_count(r.shape(operands[i])));
    KILN_ASSIGN(const ValueId v, r.b.reshape(operands[i], shape));
    used.push_back(v);
  }
  Shape full(rank, Dim(1));
  full[0] = Dim(channels);
  ValueId y = kNoValue;
  if (used.empty()) {
    y = r.b.scalar(constant_of(expr).value_or(0), DType::f32);
  } else {
    KILN_ASSIGN(y, r.b.map(renumber(expr, moved), used, DType::f32));
  }
  return r.b.expand(y, full);
}

Result<ValueId> combine(Rewrite& r, PointOp op, ValueId a, ValueId b) {
  if (a == kNoValue) return b;
  Fx f;
  const Term t = f.bin(op, f.in(0), f.in(1));
  return r.b.map(f.finish(t), {a, b}, DType::f32);
}

}  // namespace

Result<bool> fold_batch_norm(Rewrite& r, const Node& node) {
  if (node.op != Op::map || r.graph.value(node.outputs[0]).dtype != DType::f32) return false;
  for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
    const ValueId x = node.inputs[slot];
    const Node* p = r.producer(x, Op::conv);
    if (!p || !p->epilogue.empty() || !r.single_use(x) || !r.from_weights(p->inputs[1]) || r.from_weights(x)) continue;
    if (p->inputs[2] != kNoValue && !r.from_weights(p->inputs[2])) continue;
    if (r.shape(node.outputs[0]) != r.shape(x)) continue;
    const int64_t channels = r.shape(x)[1].value;
    bool fits = true;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (i != slot)
        fits = fits && node.inputs[i] != x && r.from_weights(node.inputs[i]) &&
               is_per_channel(r.shape(node.inputs[i]), channels);
    const auto affine = affine_in(node.expr, static_cast<int>(slot));
    if (!fits || !affine) continue;
    for (const Expr* e : {&affine->a, &affine->b})
      if (!e->empty() && e->num_inputs() == 0 && !constant_of(*e)) fits = false;
    if (!fits) continue;

    const Node conv = *p;  // the builder below moves nodes
    ValueId w = conv.inputs[1], bias = conv.inputs[2];
    if (!affine->a.empty()) {
      KILN_ASSIGN(const ValueId a4, channel_values(r, affine->a, node.inputs, channels, 4));
      KILN_ASSIGN(w, combine(r, PointOp::mul, w, a4));
      if (bias != kNoValue) {
        KILN_ASSIGN(const ValueId a1, channel_values(r, affine->a, node.inputs, channels, 1));
        KILN_ASSIGN(bias, combine(r, PointOp::mul, bias, a1));
      }
    }
    if (!affine->b.empty()) {
      KILN_ASSIGN(const ValueId b1, channel_values(r, affine->b, node.inputs, channels, 1));
      KILN_ASSIGN(bias, combine(r, PointOp::add, bias, b1));
    }
    r.b.set_origin(conv);
    KILN_ASSIGN(const ValueId y, r.b.conv(conv.inputs[0], w, bias, std::get<ConvAttrs>(conv.attrs)));
    r.replace(node.outputs[0], y);
    return true;
  }
  return false;
}

}  // namespace kiln
