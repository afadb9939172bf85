// Attention written out: matmul(softmax(map of matmul(q, kᵀ)), v), where the map is scale · score + mask in any
// arrangement.
#include "ir/passes/canonical.h"

namespace kiln {
namespace {

/// "mask ? x : −inf" and "mask ? −inf : x" become an addition of a number below every score. The number is so far
/// beyond any score that the sum equals it in float32.
constexpr double kMinusHuge = -1e30;

struct Scores {
  const Node* product = nullptr;  ///< q kᵀ
  double scale = 1;
  Expr mask;                      ///< empty: none
  std::vector<ValueId> operands;  ///< of the mask
};

/// select(m, huge, x) → x + select(m, huge, 0), and the same the other way round.
std::optional<Affine> masked_select(const Expr& e, int slot) {
  const PointInst& top = e.insts.back();
  if (top.op != PointOp::select) return std::nullopt;
  for (const bool first : {true, false}) {
    const uint16_t fill = first ? top.b : top.c, kept = first ? top.c : top.b;
    if (e.insts[fill].op != PointOp::constant || static_cast<double>(e.insts[fill].value) > kMinusHuge) continue;
    Expr rest = e;
    rest.insts.resize(static_cast<size_t>(kept) + 1);
    const auto affine = affine_in(rest, slot);
    if (!affine || !affine->b.empty()) continue;
    Expr mask = e;
    mask.insts.pop_back();
    const uint16_t zero = mask.constant(0), huge = fill;
    mask.insts.push_back({PointOp::select, Lane::f32, top.a, first ? huge : zero, first ? zero : huge});
    mask = simplify(mask);
    for (const PointInst& inst : mask.insts)
      if (inst.op == PointOp::input && inst.a == slot) return std::nullopt;
    return Affine{affine->a, mask};
  }
  return std::nullopt;
}

/// Walks from the softmax's operand back to the product.
std::optional<Scores> match_scores(Rewrite& r, ValueId x) {
  Scores s;
  const Shape shape = r.shape(x);
  for (int depth = 0; depth < 4; ++depth) {
    if (!r.single_use(x) || r.shape(x) != shape) return std::nullopt;
    if (const Node* p = r.producer(x, Op::matmul)) {
      s.product = p;
      return p->epilogue.empty() ? std::optional<Scores>(s) : std::nullopt;
    }
    const Node* p = r.producer(x, Op::map);
    if (!p || r.graph.value(x).dtype != DType::f32) return std::nullopt;
    // The score is the operand of full shape that is computed by a product or another map.
    int slot = -1;
    std::optional<Affine> affine;
    for (size_t i = 0; i < p->inputs.size() && slot < 0; ++i) {
      const ValueId in = p->inputs[i];
      if (r.shape(in) != shape || r.from_weights(in) || (!r.producer(in, Op::matmul) && !r.producer(in, Op::map)) ||
          !r.single_use(in))
        continue;
      affine = affine_in(p->expr, static_cast<int>(i));
      if (!affine) affine = masked_select(p->expr, static_cast<int>(i));
      if (affine) slot = static_cast<int>(i);
    }
    if (slot < 0) return std::nullopt;
    const auto factor = affine->a.empty() ? std::optional<double>(1) : constant_of(affine->a);
    if (!factor || *factor == 0) return std::nullopt;
    if (!affine->b.empty()) {
      // There may be one mask, and below it only scales: scale · score + mask.
      if (!s.mask.empty() || s.scale != 1) return std::nullopt;
      s.mask = affine->b;
      s.operands = p->inputs;
    }
    s.scale *= *factor;
    x = p->inputs[static_cast<size_t>(slot)];
  }
  return std::nullopt;
}

Result<ValueId> mask_value(Rewrite& r, const Scores& s) {
  if (s.mask.empty()) return kNoValue;
  std::vector<ValueId> used;
  std::vector<int> moved(s.operands.size(), 0);
  for (size_t i = 0; i < s.operands.size(); ++i) {
    moved[i] = static_cast<int>(used.size());
    for (const PointInst& inst : s.mask.insts)
      if (inst.op == PointOp::input && inst.a == i) {
        used.push_back(s.operands[i]);
        break;
      }
  }
  const bool plain = s.mask.insts.size() == 1 && s.mask.insts[0].op == PointOp::input;
  if (plain && r.graph.value(used[0]).dtype == DType::f32) return used[0];
  return r.b.map(renumber(s.mask, moved), used, DType::f32);
}

}  // namespace

Result<bool> match_attention(Rewrite& r, const Node& node) {
  if (node.op != Op::matmul || !node.epilogue.empty() || r.from_weights(node.inputs[1])) return false;
  const ValueId p = node.inputs[0];
  const Node* softmax = r.producer(p, Op::softmax);
  if (!softmax || !softmax->epilogue.empty() || !r.single_use(p)) return false;
  const auto& attrs = std::get<NormAttrs>(softmax->attrs);
  if (attrs.kind != NormKind::softmax || attrs.axis + 1 != static_cast<int64_t>(r.shape(p).size())) return false;
  const auto scores = match_scores(r, softmax->inputs[0]);
  if (!scores) return false;
  for (const PointInst& inst : scores->mask.insts)  // a mask of numbers alone shifts every score alike
    if (scores->mask.num_inputs() == 0 && inst.op == PointOp::constant) return false;
  const Node product = *scores->product;
  if (r.from_weights(product.inputs[1])) return false;

  const auto swapped = [&](ValueId x) {
    std::vector<int64_t> axes;
    for (size_t i = 0; i < r.shape(x).size(); ++i) axes.push_back(static_cast<int64_t>(i));
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    return r.b.permute(x, axes);
  };
  ValueId k = product.inputs[1], v = node.inputs[1];
  if (!std::get<MatmulAttrs>(product.attrs).transpose_b) {
    KILN_ASSIGN(k, swapped(k));
  }
  if (std::get<MatmulAttrs>(node.attrs).transpose_b) {
    KILN_ASSIGN(v, swapped(v));
  }
  KILN_ASSIGN(const ValueId mask, mask_value(r, *scores));
  AttentionAttrs attention;
  attention.scale = scores->scale;
  KILN_ASSIGN(const ValueId y, r.b.attention(product.inputs[0], k, v, mask, attention));
  if (r.shape(y) != r.shape(node.outputs[0])) return false;
  r.replace(node.outputs[0], y);
  return true;
}

}  // namespace kiln
