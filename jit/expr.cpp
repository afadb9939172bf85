#include "jit/expr.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace kiln {

int arity(PointOp op) {
  switch (op) {
    case PointOp::input:
    case PointOp::constant:
      return 0;
    case PointOp::select:
      return 3;
    case PointOp::add:
    case PointOp::sub:
    case PointOp::mul:
    case PointOp::min:
    case PointOp::max:
    case PointOp::div:
    case PointOp::pow:
    case PointOp::atan2:
    case PointOp::fmod:
    case PointOp::eq:
    case PointOp::ne:
    case PointOp::lt:
    case PointOp::le:
    case PointOp::gt:
    case PointOp::ge:
    case PointOp::logical_and:
    case PointOp::logical_or:
    case PointOp::logical_xor:
      return 2;
    default:
      return 1;
  }
}

bool is_polynomial(PointOp op) {
  return op == PointOp::pow || op == PointOp::atan2 || op == PointOp::fmod ||
         (op >= PointOp::exp && op <= PointOp::tan);
}

const char* name_of(PointOp op) {
  constexpr const char* kNames[] = {
      "in",   "c",       "add",   "sub",        "mul", "min",   "max",  "div",    "pow",    "atan2",  "fmod",   "neg",
      "abs",  "sqrt",    "rsqrt", "reciprocal", "exp", "exp2",  "log",  "log2",   "log10",  "log1p",  "expm1",  "erf",
      "tanh", "sigmoid", "sin",   "cos",        "tan", "floor", "ceil", "round",  "trunc",  "eq",     "ne",     "lt",
      "le",   "gt",      "ge",    "and",        "or",  "xor",   "not",  "select", "to_f32", "to_i32", "to_mask"};
  return kNames[static_cast<int>(op)];
}

int Expr::num_inputs() const {
  int n = 0;
  for (const PointInst& i : insts)
    if (i.op == PointOp::input) n = std::max(n, i.a + 1);
  return n;
}

namespace {

uint16_t append(Expr& expr, PointInst inst) {
  // One order of operands, so that equal expressions have equal texts.
  if ((inst.op == PointOp::add || inst.op == PointOp::mul) && inst.a > inst.b) std::swap(inst.a, inst.b);
  for (size_t i = 0; i < expr.insts.size(); ++i)
    if (expr.insts[i] == inst) return static_cast<uint16_t>(i);
  expr.insts.push_back(inst);
  return expr.last();
}

Lane result_lane(PointOp op, Lane operand) {
  switch (op) {
    case PointOp::eq:
    case PointOp::ne:
    case PointOp::lt:
    case PointOp::le:
    case PointOp::gt:
    case PointOp::ge:
    case PointOp::to_mask:
      return Lane::mask;
    case PointOp::to_f32:
      return Lane::f32;
    case PointOp::to_i32:
      return Lane::i32;
    default:
      return operand;
  }
}

}  // namespace

uint16_t Expr::input(int operand, Lane lane) {
  return append(*this, {PointOp::input, lane, static_cast<uint16_t>(operand), 0, 0, 0});
}
uint16_t Expr::constant(float value, Lane lane) { return append(*this, {PointOp::constant, lane, 0, 0, 0, value}); }
uint16_t Expr::unary(PointOp op, uint16_t a) { return append(*this, {op, result_lane(op, insts[a].lane), a, 0, 0, 0}); }
uint16_t Expr::binary(PointOp op, uint16_t a, uint16_t b) {
  return append(*this, {op, result_lane(op, insts[a].lane), a, b, 0, 0});
}
uint16_t Expr::select(uint16_t mask, uint16_t a, uint16_t b) {
  return append(*this, {PointOp::select, insts[a].lane, mask, a, b, 0});
}

Expr identity_expr(Lane lane) {
  Expr e;
  e.input(0, lane);
  return e;
}

Expr compose(const Expr& outer, int slot, const Expr& inner, const std::vector<int>& outer_map,
             const std::vector<int>& inner_map) {
  Expr result;
  const auto copy = [&](const Expr& from, const std::vector<int>& map, int replaced, uint16_t replacement) {
    std::vector<uint16_t> at(from.insts.size());
    for (size_t i = 0; i < from.insts.size(); ++i) {
      PointInst inst = from.insts[i];
      if (inst.op == PointOp::input) {
        if (inst.a == replaced) {
          at[i] = replacement;
          continue;
        }
        inst.a = static_cast<uint16_t>(map[inst.a]);
      } else {
        const int n = arity(inst.op);
        if (n > 0) inst.a = at[inst.a];
        if (n > 1) inst.b = at[inst.b];
        if (n > 2) inst.c = at[inst.c];
      }
      at[i] = append(result, inst);
    }
    return at.back();
  };
  const uint16_t value = copy(inner, inner_map, -1, 0);
  const uint16_t top = copy(outer, outer_map, slot, value);
  // The result must stand last, also when it was shared with an earlier instruction.
  if (top != result.last()) result.insts.push_back(result.insts[top]);
  return result;
}

std::string to_string(const Expr& expr) {
  std::string text;
  char buffer[64];
  for (const PointInst& i : expr.insts) {
    if (!text.empty()) text += ';';
    text += name_of(i.op);
    constexpr const char* kLane[] = {"", ".i", ".m"};
    text += kLane[static_cast<int>(i.lane)];
    if (i.op == PointOp::input) {
      text += std::to_string(i.a);
    } else if (i.op == PointOp::constant) {
      std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(i.value));
      text += buffer;
    } else {
      const uint16_t operands[] = {i.a, i.b, i.c};
      for (int k = 0; k < arity(i.op); ++k) (text += k ? ',' : '(') += std::to_string(operands[k]);
      text += ')';
    }
  }
  return text;
}

}  // namespace kiln
