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
    case PointOp::shl:
    case PointOp::shr:
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
      "in",     "c",      "add",     "sub",     "mul",        "min", "max",   "div",   "pow",  "atan2", "fmod",
      "neg",    "abs",    "sqrt",    "rsqrt",   "reciprocal", "exp", "exp2",  "log",   "log2", "log10", "log1p",
      "expm1",  "erf",    "tanh",    "sigmoid", "sin",        "cos", "tan",   "floor", "ceil", "round", "trunc",
      "eq",     "ne",     "lt",      "le",      "gt",         "ge",  "and",   "or",    "xor",  "not",   "select",
      "to_f32", "to_i32", "to_mask", "to_i64",  "shl",        "shr", "to_u64"};
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
  // Operands get a fixed order, so that equal expressions have equal texts.
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
    case PointOp::to_i64:
      return Lane::i64;
    case PointOp::to_u64:
      return Lane::u64;
    default:
      return operand;
  }
}

}  // namespace

uint16_t Expr::input(int operand, Lane lane) {
  return append(*this, {PointOp::input, lane, static_cast<uint16_t>(operand)});
}
uint16_t Expr::constant(float value) { return append(*this, {PointOp::constant, Lane::f32, 0, 0, 0, value}); }
uint16_t Expr::integer(int64_t value, Lane lane) {
  return append(*this, {PointOp::constant, lane, 0, 0, 0, 0, lane == Lane::mask ? value != 0 : wrapped(value, lane)});
}
uint16_t Expr::unary(PointOp op, uint16_t a) { return append(*this, {op, result_lane(op, insts[a].lane), a}); }
uint16_t Expr::binary(PointOp op, uint16_t a, uint16_t b) {
  return append(*this, {op, result_lane(op, insts[a].lane), a, b});
}
uint16_t Expr::select(uint16_t mask, uint16_t a, uint16_t b) {
  return append(*this, {PointOp::select, insts[a].lane, mask, a, b});
}

bool has_pairs(const Expr& expr) {
  return std::any_of(expr.insts.begin(), expr.insts.end(), [](const PointInst& i) { return is_pair(i.lane); });
}

int64_t wrapped(int64_t value, Lane lane) {
  return is_pair(lane) ? value : static_cast<int32_t>(static_cast<uint32_t>(value));
}

/// Whether the result depends on the sign. Powers see to it themselves.
static bool differs_unsigned(PointOp op) {
  return op == PointOp::min || op == PointOp::max || op == PointOp::div || op == PointOp::fmod || op == PointOp::abs ||
         op == PointOp::shr;
}

int64_t apply_integer(PointOp op, Lane lane, int64_t a, int64_t b) {
  const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  const uint64_t bits = is_pair(lane) ? 64 : 32;
  const auto of_unsigned = [&]() -> uint64_t {
    switch (op) {
      case PointOp::min:
        return std::min(x, y);
      case PointOp::max:
        return std::max(x, y);
      case PointOp::div:
        return y == 0 ? 0 : x / y;
      case PointOp::fmod:
        return y == 0 ? x : x % y;
      case PointOp::abs:
        return x;
      default:  // shr
        return y >= bits ? 0 : x >> y;
    }
  };
  const auto result = [&]() -> uint64_t {
    if (lane == Lane::u64 && differs_unsigned(op)) return of_unsigned();
    switch (op) {
      case PointOp::add:
        return x + y;
      case PointOp::sub:
        return x - y;
      case PointOp::mul:
        return x * y;
      case PointOp::min:
        return a < b ? x : y;
      case PointOp::max:
        return a > b ? x : y;
      case PointOp::div:
        return b == 0 ? 0 : b == -1 ? 0 - x : static_cast<uint64_t>(a / b);
      case PointOp::fmod:
        return b == 0 ? x : b == -1 ? 0 : static_cast<uint64_t>(a % b);
      case PointOp::pow: {
        if (b < 0 && lane != Lane::u64) return a == 1 ? 1 : a == -1 ? (b & 1 ? ~uint64_t{0} : 1) : 0;
        uint64_t power = 1, base = x;
        for (uint64_t e = y; e; e >>= 1, base *= base)
          if (e & 1) power *= base;
        return power;
      }
      case PointOp::neg:
        return 0 - x;
      case PointOp::abs:
        return a < 0 ? 0 - x : x;
      case PointOp::logical_and:
        return x & y;
      case PointOp::logical_or:
        return x | y;
      case PointOp::logical_xor:
        return x ^ y;
      case PointOp::shl:
        return y >= bits ? 0 : x << y;
      default:  // shr
        return static_cast<uint64_t>(a >> std::min(y, bits - 1));
    }
  };
  return wrapped(static_cast<int64_t>(result()), lane);
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
  // The result must be the last instruction, even if it equals an earlier one.
  if (top != result.last()) result.insts.push_back(result.insts[top]);
  return result;
}

std::string to_string(const Expr& expr) {
  std::string text;
  char buffer[64];
  for (const PointInst& i : expr.insts) {
    if (!text.empty()) text += ';';
    text += name_of(i.op);
    constexpr const char* kLane[] = {"", ".i", ".m", ".l", ".u"};
    text += kLane[static_cast<int>(i.lane)];
    if (i.op == PointOp::input) {
      text += std::to_string(i.a);
    } else if (i.op == PointOp::constant && i.lane != Lane::f32) {
      text += std::to_string(i.integer);
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
