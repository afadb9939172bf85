#include "ir/size_code.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace kiln {
namespace {

constexpr int64_t kExact = int64_t{1} << 53;  ///< up to here every integer is a double

struct Number {
  bool is_real;
  int64_t whole;
  double value;
};
using Maybe = std::optional<Number>;

Number integer(int64_t v) { return {false, v, 0}; }
Maybe real(double v) { return std::isfinite(v) ? Maybe({true, 0, v}) : std::nullopt; }

/// An integer that no double equals fails.
Maybe as_real(const Number& n) {
  if (n.is_real) return n;
  return n.whole >= -kExact && n.whole <= kExact ? real(static_cast<double>(n.whole)) : std::nullopt;
}

Maybe unary(SizeOp op, const Number& a) {
  if (op == SizeOp::root) {
    const Maybe v = as_real(a);
    return v ? real(std::sqrt(v->value)) : v;
  }
  if (!a.is_real) return a;
  const double v = op == SizeOp::floor     ? std::floor(a.value)
                   : op == SizeOp::ceiling ? std::ceil(a.value)
                   : op == SizeOp::round   ? std::nearbyint(a.value)
                                           : std::trunc(a.value);
  if (!(std::fabs(v) <= static_cast<double>(kExact))) return {};
  return integer(static_cast<int64_t>(v));
}

Maybe of_reals(SizeOp op, double a, double b) {
  switch (op) {
    case SizeOp::plus:
      return real(a + b);
    case SizeOp::minus:
      return real(a - b);
    case SizeOp::multiply:
      return real(a * b);
    case SizeOp::quotient:
      return real(a / b);
    case SizeOp::lesser:
      return real(std::min(a, b));
    case SizeOp::greater:
      return real(std::max(a, b));
    case SizeOp::equal:
      return integer(a == b);
    case SizeOp::less:
      return integer(a < b);
    default:
      return {};
  }
}

Maybe power(int64_t base, int64_t exponent) {
  if (exponent < 0) return {};
  int64_t result = 1;
  while (exponent) {
    if (exponent % 2 && __builtin_mul_overflow(result, base, &result)) return {};
    exponent /= 2;
    if (exponent && __builtin_mul_overflow(base, base, &base)) return {};
  }
  return integer(result);
}

Maybe divided(SizeOp op, int64_t a, int64_t b) {
  if (b == 0 || (b == -1 && a == std::numeric_limits<int64_t>::min())) return {};
  const bool down = a % b != 0 && (a < 0) != (b < 0);  // C++ rounds towards zero
  return integer(op == SizeOp::divide ? a / b - down : a % b + (down ? b : 0));
}

Maybe of_integers(SizeOp op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case SizeOp::plus:
      return __builtin_add_overflow(a, b, &out) ? Maybe() : integer(out);
    case SizeOp::minus:
      return __builtin_sub_overflow(a, b, &out) ? Maybe() : integer(out);
    case SizeOp::multiply:
      return __builtin_mul_overflow(a, b, &out) ? Maybe() : integer(out);
    case SizeOp::divide:
    case SizeOp::modulo:
      return divided(op, a, b);
    case SizeOp::lesser:
      return integer(std::min(a, b));
    case SizeOp::greater:
      return integer(std::max(a, b));
    case SizeOp::equal:
      return integer(a == b);
    case SizeOp::less:
      return integer(a < b);
    case SizeOp::power:
      return power(a, b);
    case SizeOp::bit_and:
      return integer(a & b);
    case SizeOp::bit_or:
      return integer(a | b);
    case SizeOp::bit_xor:
      return integer(a ^ b);
    default:
      return {};
  }
}

Maybe binary(SizeOp op, const Number& a, const Number& b) {
  if (!a.is_real && !b.is_real && op != SizeOp::quotient) return of_integers(op, a.whole, b.whole);
  const Maybe left = as_real(a), right = as_real(b);
  return left && right ? of_reals(op, left->value, right->value) : std::nullopt;
}

Maybe constant(SizeOp op, int64_t argument, const std::vector<int64_t>& sizes) {
  if (op == SizeOp::number) return integer(argument);
  if (op == SizeOp::real) {
    double value;
    std::memcpy(&value, &argument, sizeof value);
    return real(value);
  }
  const auto i = static_cast<size_t>(argument);
  return i < sizes.size() ? Maybe(integer(sizes[i])) : Maybe();
}

}  // namespace

std::optional<int64_t> evaluate(const SizeCode& code, const std::vector<int64_t>& sizes) {
  std::vector<Number> stack;
  for (const auto& [number, argument] : code) {
    const auto op = static_cast<SizeOp>(number);
    const size_t count = operands_of(op);
    if (stack.size() < count) return {};
    const Number* of = stack.data() + (stack.size() - count);
    const Maybe result = count == 0   ? constant(op, argument, sizes)
                         : count == 1 ? unary(op, of[0])
                         : count == 2 ? binary(op, of[0], of[1])
                                      : of[of[0].is_real || of[0].whole ? 1 : 2];
    if (!result) return {};
    stack.resize(stack.size() - count, integer(0));
    stack.push_back(*result);
  }
  if (stack.size() != 1) return {};
  if (!stack[0].is_real) return stack[0].whole;
  const Maybe whole = unary(SizeOp::truncate, stack[0]);
  return whole && static_cast<double>(whole->whole) == stack[0].value ? std::optional(whole->whole) : std::nullopt;
}

}  // namespace kiln
