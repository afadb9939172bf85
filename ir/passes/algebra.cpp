// Algebra of pointwise expressions.
#include <cmath>

#include "ir/passes/canonical.h"

namespace kiln {
namespace {

bool is_constant(const Expr& e, uint16_t i, double value) {
  const PointInst& inst = e.insts[i];
  if (inst.op != PointOp::constant) return false;
  return inst.lane == Lane::f32 ? static_cast<double>(inst.value) == value
                                : inst.integer == static_cast<int64_t>(value);
}

bool is_cast(PointOp op) {
  return op == PointOp::to_f32 || op == PointOp::to_i32 || op == PointOp::to_i64 || op == PointOp::to_u64 ||
         op == PointOp::to_mask;
}
Lane lane_after(PointOp cast) {
  return cast == PointOp::to_f32   ? Lane::f32
         : cast == PointOp::to_i32 ? Lane::i32
         : cast == PointOp::to_i64 ? Lane::i64
         : cast == PointOp::to_u64 ? Lane::u64
                                   : Lane::mask;
}

uint16_t emit(Expr& e, const PointInst& inst) {
  switch (arity(inst.op)) {
    case 0:
      if (inst.op == PointOp::input) return e.input(inst.a, inst.lane);
      return inst.lane == Lane::f32 ? e.constant(inst.value) : e.integer(inst.integer, inst.lane);
    case 1:
      return e.unary(inst.op, inst.a);
    case 2:
      return e.binary(inst.op, inst.a, inst.b);
    default:
      return e.select(inst.a, inst.b, inst.c);
  }
}

/// Whether adding it changes nothing. For floats only −0 does, because −0 + 0 is 0.
bool is_nothing(const Expr& e, uint16_t i, bool subtracted = false) {
  return is_constant(e, i, 0) && (e.insts[i].lane != Lane::f32 || std::signbit(e.insts[i].value) != subtracted);
}

/// An earlier instruction with the same value as `inst`, or −1. It must be the same for every float, so x·0 is not 0, x
/// − x is not 0, and x + 0 is not x.
int same_as(const Expr& e, const PointInst& inst) {
  const auto op_of = [&](uint16_t i) { return e.insts[i].op; };
  switch (inst.op) {
    case PointOp::add:
      if (is_nothing(e, inst.b)) return inst.a;
      return is_nothing(e, inst.a) ? inst.b : -1;
    case PointOp::sub:
      return is_nothing(e, inst.b, true) ? inst.a : -1;
    case PointOp::mul:
      if (is_constant(e, inst.b, 1)) return inst.a;
      return is_constant(e, inst.a, 1) ? inst.b : -1;
    case PointOp::div:
      return is_constant(e, inst.b, 1) ? inst.a : -1;
    case PointOp::logical_and:
      if (inst.lane != Lane::mask) return -1;
      if (inst.a == inst.b || is_constant(e, inst.b, 1)) return inst.a;
      return is_constant(e, inst.a, 1) ? inst.b : -1;
    case PointOp::logical_or:
      if (inst.lane != Lane::mask) return -1;
      if (inst.a == inst.b || is_constant(e, inst.b, 0)) return inst.a;
      return is_constant(e, inst.a, 0) ? inst.b : -1;
    case PointOp::neg:
    case PointOp::logical_not:
      return op_of(inst.a) == inst.op ? e.insts[inst.a].a : -1;
    case PointOp::to_mask:
    case PointOp::to_f32:
    case PointOp::to_i32:
    case PointOp::to_i64: {
      const PointInst& before = e.insts[inst.a];
      const Lane to = lane_after(inst.op);
      if (before.lane == to) return inst.a;
      // a conversion and its inverse: a mask as a number, an i32 as an i64
      const bool back = is_cast(before.op) && e.insts[before.a].lane == to;
      return back && (to == Lane::mask || (to == Lane::i32 && before.op == PointOp::to_i64)) ? before.a : -1;
    }
    case PointOp::select:
      if (inst.b == inst.c || (op_of(inst.a) == PointOp::constant && !is_constant(e, inst.a, 0))) return inst.b;
      return is_constant(e, inst.a, 0) ? inst.c : -1;
    default:
      return -1;
  }
}

/// The cast of a constant that is no float, as a constant; else −1.
int constant_cast(Expr& e, const PointInst& inst) {
  const PointInst before = e.insts[inst.a];
  if (!is_cast(inst.op) || before.op != PointOp::constant || before.lane == Lane::f32) return -1;
  const Lane to = lane_after(inst.op);
  if (to == Lane::f32) return e.constant(static_cast<float>(before.integer));
  return e.integer(to == Lane::mask ? before.integer != 0 : before.integer, to);
}

/// A copy of `from` with renumbered operands. Equal instructions become one.
uint16_t copy(const Expr& from, Expr& to, const std::vector<int>* moved) {
  std::vector<uint16_t> at;
  for (PointInst inst : from.insts) {
    const int n = arity(inst.op);
    if (n > 0) inst.a = at[inst.a];
    if (n > 1) inst.b = at[inst.b];
    if (n > 2) inst.c = at[inst.c];
    if (inst.op == PointOp::input && moved) inst.a = static_cast<uint16_t>((*moved)[inst.a]);
    int same = n > 0 ? same_as(to, inst) : -1;
    if (same < 0 && n == 1) same = constant_cast(to, inst);
    at.push_back(same >= 0 ? static_cast<uint16_t>(same) : emit(to, inst));
  }
  return at.back();
}

/// Only what `result` needs, with it as the last instruction.
Expr only(const Expr& e, uint16_t result) {
  std::vector<bool> needed(e.insts.size(), false);
  needed[result] = true;
  for (size_t i = result + size_t{1}; i-- > 0;) {
    if (!needed[i]) continue;
    const PointInst& inst = e.insts[i];
    const int n = arity(inst.op);
    if (n > 0) needed[inst.a] = true;
    if (n > 1) needed[inst.b] = true;
    if (n > 2) needed[inst.c] = true;
  }
  Expr out;
  std::vector<uint16_t> at(e.insts.size(), 0);
  for (size_t i = 0; i <= result; ++i) {
    if (!needed[i]) continue;
    PointInst inst = e.insts[i];
    const int n = arity(inst.op);
    if (n > 0) inst.a = at[inst.a];
    if (n > 1) inst.b = at[inst.b];
    if (n > 2) inst.c = at[inst.c];
    out.insts.push_back(inst);
    at[i] = out.last();
  }
  return out;
}

}  // namespace

Expr renumber(const Expr& expr, const std::vector<int>& moved) {
  Expr out;
  const uint16_t result = copy(expr, out, &moved);
  return only(out, result);
}

Expr simplify(const Expr& expr) {
  Expr out;
  const uint16_t result = copy(expr, out, nullptr);
  return only(out, result);
}

std::optional<double> constant_of(const Expr& expr) {
  if (expr.empty()) return std::nullopt;
  std::vector<double> at;
  for (const PointInst& inst : expr.insts) {
    if (inst.lane != Lane::f32) return std::nullopt;
    switch (inst.op) {
      case PointOp::constant:
        at.push_back(static_cast<double>(inst.value));
        break;
      case PointOp::add:
        at.push_back(at[inst.a] + at[inst.b]);
        break;
      case PointOp::sub:
        at.push_back(at[inst.a] - at[inst.b]);
        break;
      case PointOp::mul:
        at.push_back(at[inst.a] * at[inst.b]);
        break;
      case PointOp::div:
        at.push_back(at[inst.a] / at[inst.b]);
        break;
      case PointOp::neg:
        at.push_back(-at[inst.a]);
        break;
      default:
        return std::nullopt;
    }
  }
  return at.back();
}

std::optional<Affine> affine_in(const Expr& expr, int slot) {
  // Everything in one expression. Per instruction: the coefficient of x (−1: none) and the rest (−1: zero).
  struct Part {
    int a = -1, b = -1;
  };
  Expr work;
  std::vector<Part> parts;
  const auto index = [](uint16_t i) { return static_cast<int>(i); };
  const auto bin = [&](PointOp op, int x, int y) {
    return index(work.binary(op, static_cast<uint16_t>(x), static_cast<uint16_t>(y)));
  };
  const auto sum = [&](PointOp op, int x, int y) {
    if (y < 0) return x;
    if (x < 0) return op == PointOp::add ? y : index(work.unary(PointOp::neg, static_cast<uint16_t>(y)));
    return bin(op, x, y);
  };
  for (const PointInst& inst : expr.insts) {
    if (inst.op == PointOp::input && inst.a == slot) {
      if (inst.lane != Lane::f32) return std::nullopt;
      parts.push_back({index(work.constant(1)), -1});
      continue;
    }
    const int n = arity(inst.op);
    const Part x = n > 0 ? parts[inst.a] : Part{}, y = n > 1 ? parts[inst.b] : Part{},
               z = n > 2 ? parts[inst.c] : Part{};
    if (x.a < 0 && y.a < 0 && z.a < 0) {
      PointInst moved = inst;
      if (n > 0) moved.a = static_cast<uint16_t>(x.b);
      if (n > 1) moved.b = static_cast<uint16_t>(y.b);
      if (n > 2) moved.c = static_cast<uint16_t>(z.b);
      parts.push_back({-1, index(emit(work, moved))});
      continue;
    }
    switch (inst.op) {
      case PointOp::add:
      case PointOp::sub:
        parts.push_back({sum(inst.op, x.a, y.a), sum(inst.op, x.b, y.b)});
        break;
      case PointOp::mul: {
        if (x.a >= 0 && y.a >= 0) return std::nullopt;
        const Part& p = x.a >= 0 ? x : y;
        const int by = x.a >= 0 ? y.b : x.b;
        parts.push_back({bin(PointOp::mul, p.a, by), p.b < 0 ? -1 : bin(PointOp::mul, p.b, by)});
        break;
      }
      case PointOp::div:
        if (y.a >= 0) return std::nullopt;
        parts.push_back({bin(PointOp::div, x.a, y.b), x.b < 0 ? -1 : bin(PointOp::div, x.b, y.b)});
        break;
      case PointOp::neg:
        parts.push_back({sum(PointOp::sub, -1, x.a), x.b < 0 ? -1 : sum(PointOp::sub, -1, x.b)});
        break;
      default:
        return std::nullopt;
    }
  }
  const Part last = parts.back();
  if (last.a < 0) return std::nullopt;
  Affine result;
  result.a = simplify(only(work, static_cast<uint16_t>(last.a)));
  if (last.b >= 0) result.b = simplify(only(work, static_cast<uint16_t>(last.b)));
  if (constant_of(result.a) == 1.0) result.a = {};
  if (!result.b.empty() && constant_of(result.b) == 0.0) result.b = {};
  return result;
}

}  // namespace kiln
