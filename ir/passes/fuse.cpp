// Needs: a canonical graph. Guarantees: a map whose only reader is a map of the same shape becomes part of that. A map
// that is the only reader of a contraction, reduction, norm or pool becomes its epilogue. Biases become epilogues too.
// What depends on weights alone is never fused with what does not: it runs once, at load.
#include <algorithm>

#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {
namespace {

constexpr size_t kMaxInsts = 64, kMaxInputs = 6;

/// Appends those of `more` that are not in the list yet. Returns the position of each of `more`.
std::vector<int> merge(std::vector<ValueId>& list, size_t from, const std::vector<ValueId>& more) {
  std::vector<int> at;
  for (ValueId id : more) {
    auto it = std::find(list.begin() + static_cast<std::ptrdiff_t>(from), list.end(), id);
    if (it == list.end()) it = list.insert(list.end(), id);
    at.push_back(static_cast<int>(it - list.begin() - static_cast<std::ptrdiff_t>(from)));
  }
  return at;
}

/// map(map(x)) → map(x).
Result<bool> merge_maps(Rewrite& r, const Node& node) {
  if (node.op != Op::map) return false;
  const ValueId out = node.outputs[0];
  for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
    const ValueId x = node.inputs[slot];
    const Node* p = r.producer(x, Op::map);
    if (!p || !r.single_use(x) || r.shape(x) != r.shape(out) ||
        std::count(node.inputs.begin(), node.inputs.end(), x) > 1)
      continue;
    bool outer_from_weights = true;
    for (ValueId id : node.inputs) outer_from_weights = outer_from_weights && r.from_weights(id);
    if (r.from_weights(x) && !outer_from_weights) continue;
    // Storing a value cuts it to its dtype. The store may be removed only if a lane holds the same value.
    if (!fills_lane(r.graph.value(x).dtype)) continue;
    std::vector<ValueId> operands, others = node.inputs;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(slot));
    std::vector<int> outer_map = merge(operands, 0, others);
    outer_map.insert(outer_map.begin() + static_cast<std::ptrdiff_t>(slot), 0);
    const std::vector<int> inner_map = merge(operands, 0, p->inputs);
    Expr expr = simplify(compose(node.expr, static_cast<int>(slot), p->expr, outer_map, inner_map));
    if (expr.insts.size() > kMaxInsts || operands.size() > kMaxInputs) continue;
    KILN_ASSIGN(const ValueId y, r.b.map(std::move(expr), std::move(operands), r.graph.value(out).dtype));
    r.replace(out, y);
    return true;
  }
  return false;
}

bool takes_epilogue(Op op) {
  return op == Op::conv || op == Op::matmul || op == Op::reduce || op == Op::softmax || op == Op::layer_norm ||
         op == Op::pool || op == Op::taps;
}

/// A copy of `p` with `outer` applied to its result. Operand `slot` of outer is the result, its other operands are
/// values.
std::optional<Node> with_epilogue(const Node& p, const Expr& outer, size_t slot, const std::vector<ValueId>& operands) {
  Node fused = p;
  if (p.epilogue.empty()) fused.epilogue_begin = static_cast<int>(p.inputs.size());
  const auto begin = static_cast<size_t>(fused.epilogue_begin);
  std::vector<ValueId> others = operands;
  others.erase(others.begin() + static_cast<std::ptrdiff_t>(slot));
  std::vector<int> outer_map = merge(fused.inputs, begin, others);
  outer_map.insert(outer_map.begin() + static_cast<std::ptrdiff_t>(slot), 0);
  for (int& at : outer_map) ++at;  // operand 0 is the result
  std::vector<int> inner_map;
  for (size_t i = 0; i <= p.inputs.size(); ++i) inner_map.push_back(static_cast<int>(i));
  fused.epilogue = simplify(
      compose(outer, static_cast<int>(slot), p.epilogue.empty() ? identity_expr() : p.epilogue, outer_map, inner_map));
  if (fused.epilogue.insts.size() > kMaxInsts || fused.inputs.size() - begin > kMaxInputs) return std::nullopt;
  return fused;
}

/// Whether the node that computes x may take the map that reads x as its epilogue.
bool may_absorb(Rewrite& r, ValueId x, const Node& map) {
  const Node* p = r.producer(x);
  if (!p || !takes_epilogue(p->op) || !r.single_use(x) || r.graph.value(x).dtype != DType::f32) return false;
  if (p->op == Op::reduce) {
    const DType from = r.graph.value(p->inputs[0]).dtype;
    const ReduceKind kind = std::get<ReduceAttrs>(p->attrs).kind;
    if (from != DType::f32 || kind == ReduceKind::argmax || kind == ReduceKind::argmin) return false;
  }
  if (std::count(map.inputs.begin(), map.inputs.end(), x) > 1) return false;
  if (has_pairs(map.expr)) return false;  // pairs of lanes are for maps alone
  if (!r.from_weights(x)) return true;
  return std::all_of(map.inputs.begin(), map.inputs.end(), [&](ValueId id) { return r.from_weights(id); });
}

/// Fuses a map into the latest producer of its operands. The fused node takes the place of the map, so every operand is
/// ready.
Result<bool> fuse_map(Rewrite& r, const Node& node) {
  if (node.op != Op::map) return false;
  const ValueId out = node.outputs[0];
  if (r.graph.value(out).dtype != DType::f32) return false;
  int best = -1;
  for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
    const ValueId x = node.inputs[slot];
    if (r.shape(x) != r.shape(out) || !may_absorb(r, x, node)) continue;
    if (best < 0 || r.position(x) > r.position(node.inputs[static_cast<size_t>(best)])) best = static_cast<int>(slot);
  }
  if (best < 0) return false;
  const auto slot = static_cast<size_t>(best);
  auto fused = with_epilogue(*r.producer(node.inputs[slot]), node.expr, slot, node.inputs);
  if (!fused) return false;
  KILN_ASSIGN(const ValueId y, r.b.append(std::move(*fused), {DType::f32, r.shape(out)}));
  r.replace(out, y);
  return true;
}

/// map(view(contraction)) → view(map(contraction)). The view is a reshape or permute that is read once. Every other
/// operand is a single number, or has the full shape and gets the inverse view.
Result<bool> move_view_after(Rewrite& r, const Node& node) {
  if (node.op != Op::map || r.graph.value(node.outputs[0]).dtype != DType::f32) return false;
  const ValueId out = node.outputs[0];
  for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
    const ValueId x = node.inputs[slot];
    const Node* found = r.producer(x);
    if (!found || (found->op != Op::reshape && found->op != Op::permute) || !r.single_use(x) ||
        r.shape(x) != r.shape(out))
      continue;
    const Node view = *found;
    const ValueId inner = view.inputs[0];
    if (!may_absorb(r, inner, node)) continue;
    bool fits = true;
    for (ValueId id : node.inputs) fits = fits && (r.shape(id) == r.shape(out) || element_count(r.shape(id)) == 1);
    if (!fits) continue;
    std::vector<int64_t> forth, back;
    if (view.op == Op::permute) {
      forth = std::get<PermuteAttrs>(view.attrs).axes;
      back.resize(forth.size());
      for (size_t i = 0; i < forth.size(); ++i) back[static_cast<size_t>(forth[i])] = static_cast<int64_t>(i);
    }
    std::vector<ValueId> operands;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      ValueId id = node.inputs[i];
      if (i == slot)
        id = inner;
      else if (element_count(r.shape(id)) == 1) {
        KILN_ASSIGN(id, r.b.reshape(id, {}));
      } else if (view.op == Op::reshape) {
        KILN_ASSIGN(id, r.b.reshape(id, Shape(r.shape(inner))));
      } else {
        KILN_ASSIGN(id, r.b.permute(id, back));
      }
      operands.push_back(id);
    }
    KILN_ASSIGN(const ValueId mapped, r.b.map(node.expr, std::move(operands), DType::f32));
    KILN_ASSIGN(const ValueId y,
                view.op == Op::reshape ? r.b.reshape(mapped, Shape(r.shape(out))) : r.b.permute(mapped, forth));
    r.replace(out, y);
    return true;
  }
  return false;
}

/// A convolution's bias is an epilogue: per channel, [O, 1, 1] against [N, O, H, W].
Result<bool> bias_to_epilogue(Rewrite& r, const Node& node) {
  if (node.op != Op::conv || node.inputs[2] == kNoValue || !node.epilogue.empty()) return false;
  KILN_ASSIGN(const ValueId bias, r.b.reshape(node.inputs[2], {r.shape(node.inputs[2])[0], Dim(1), Dim(1)}));
  Node conv = node;
  conv.inputs = {node.inputs[0], node.inputs[1], kNoValue, bias};
  conv.epilogue_begin = 3;
  Fx f;
  conv.epilogue = f.finish(f.in(0) + f.in(1));
  KILN_ASSIGN(const ValueId y, r.b.append(std::move(conv), {DType::f32, r.shape(node.outputs[0])}));
  r.replace(node.outputs[0], y);
  return true;
}

}  // namespace

Result<Graph> fuse(Graph graph) {
  // Maps are fused first. A chain with a branch (x · sigmoid(x)) then reads its operand once.
  KILN_ASSIGN(graph, rewrite_by({merge_maps, canonical_map}, std::move(graph)));
  return rewrite_by({bias_to_epilogue, fuse_map, move_view_after, merge_maps, canonical_view, canonical_map},
                    std::move(graph));
}

}  // namespace kiln
