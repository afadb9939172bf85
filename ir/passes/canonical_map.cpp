// Canonical maps: a map reads each operand once, in the smallest form that broadcasts. It computes no repetitions.
// Numbers are inside the expression. A map that changes nothing disappears.
#include <algorithm>

#include "ir/passes/canonical.h"

namespace kiln {
namespace {

/// Whether the operands broadcast to less than the result. The map then computes only that, and the result is an
/// expansion of it. (An output is computed in full.)
bool smaller_result(const Rewrite& r, const std::vector<ValueId>& operands, const Shape& out) {
  std::vector<const Shape*> shapes;
  for (ValueId id : operands) shapes.push_back(&r.shape(id));
  const auto shape = broadcast(r.graph, shapes);
  return shape.ok() && *shape != out;
}

}  // namespace

Result<bool> canonical_map(Rewrite& r, const Node& node) {
  if (node.op != Op::map) return false;
  const ValueId out = node.outputs[0];
  const Shape shape = r.shape(out);
  const DType dtype = r.graph.value(out).dtype;
  std::vector<ValueId> operands = node.inputs;
  Expr expr = simplify(node.expr);

  for (size_t i = 0; i < operands.size(); ++i) {  // an operand that is expanded broadcasts by itself
    const Node* p = r.producer(operands[i], Op::expand);
    if (!p) continue;
    operands[i] = p->inputs[0];
  }

  for (size_t i = 0;
       i <
       operands.size();) {  // numbers move into the expression, operands that are not read go, equal ones fall together
    const auto slot = static_cast<int>(i);
    Lane lane = Lane::f32;
    bool read = false;
    for (const PointInst& inst : expr.insts)
      if (inst.op == PointOp::input && inst.a == slot) read = true, lane = inst.lane;
    const auto first = std::find(operands.begin(), operands.end(), operands[i]);
    const bool twice = first - operands.begin() < slot;
    const bool constant = read && !twice && r.is_uniform(operands[i]);
    const Number number = constant ? first_number(r.graph.value(operands[i])) : Number{};
    std::vector<ValueId> fewer;
    for (size_t j = 0; j < operands.size(); ++j)
      if (j != i) fewer.push_back(operands[j]);
    if ((!twice && read && !constant) || fewer.empty()) {
      ++i;
      continue;
    }
    std::vector<int> moved;
    for (int j = 0; j < static_cast<int>(operands.size()); ++j) moved.push_back(j > slot ? j - 1 : j);
    if (twice) moved[i] = static_cast<int>(first - operands.begin());
    if (constant) {
      Expr inner;
      lane == Lane::f32 ? inner.constant(static_cast<float>(number.real)) : inner.integer(number.whole, lane);
      expr = simplify(compose(expr, slot, inner, moved, {}));
    } else {
      expr = renumber(expr, moved);
    }
    operands = fewer;
  }

  if (smaller_result(r, operands, shape)) {  // a value spread by what is gone: compute it once, spread the result
    if (r.is_output(out)) return false;
    KILN_ASSIGN(const ValueId once, r.b.map(std::move(expr), std::move(operands), dtype));
    KILN_ASSIGN(const ValueId y, r.b.expand(once, shape));
    r.replace(out, y);
    return true;
  }
  const bool identity = operands.size() == 1 && expr.insts.size() == 1 && expr.insts[0].op == PointOp::input;
  if (identity && r.graph.value(operands[0]).dtype == dtype && r.shape(operands[0]) == shape) {
    // A copy stays if an output needs a value of its own.
    if (r.is_output(out) && (r.producer(operands[0]) == nullptr || r.is_output(operands[0]))) return false;
    r.replace(out, operands[0]);
    return true;
  }
  if (operands == node.inputs && expr == node.expr) return false;
  KILN_ASSIGN(const ValueId y, r.b.map(std::move(expr), std::move(operands), dtype));
  r.replace(out, y);
  return true;
}

}  // namespace kiln
