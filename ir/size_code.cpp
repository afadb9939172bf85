#include "ir/size_code.h"

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

// Each leaves its result in its first operand. false: there is no result.

bool integer(Number& out, int64_t v) {
  out = {false, v, 0};
  return true;
}
bool real(Number& out, double v) {
  out = {true, 0, v};
  return std::isfinite(v);
}

/// Fails for an integer that a double cannot hold exactly.
bool make_real(Number& n) {
  if (n.is_real) return true;
  return n.whole >= -kExact && n.whole <= kExact && real(n, static_cast<double>(n.whole));
}

bool unary(SizeOp op, Number& a) {
  if (op == SizeOp::root) return make_real(a) && real(a, std::sqrt(a.value));
  if (!a.is_real) return true;
  const double v = op == SizeOp::floor     ? std::floor(a.value)
                   : op == SizeOp::ceiling ? std::ceil(a.value)
                   : op == SizeOp::round   ? std::nearbyint(a.value)
                                           : std::trunc(a.value);
  return std::fabs(v) <= static_cast<double>(kExact) && integer(a, static_cast<int64_t>(v));
}

bool of_reals(SizeOp op, Number& out, double a, double b) {
  switch (op) {
    case SizeOp::plus:
      return real(out, a + b);
    case SizeOp::minus:
      return real(out, a - b);
    case SizeOp::multiply:
      return real(out, a * b);
    case SizeOp::quotient:
      return real(out, a / b);
    case SizeOp::lesser:
      return real(out, a < b ? a : b);
    case SizeOp::greater:
      return real(out, a < b ? b : a);
    case SizeOp::equal:
      return integer(out, a == b);
    case SizeOp::less:
      return integer(out, a < b);
    default:
      return false;
  }
}

bool power(Number& out, int64_t base, int64_t exponent) {
  if (exponent < 0) return false;
  int64_t result = 1;
  while (exponent) {
    if (exponent % 2 && __builtin_mul_overflow(result, base, &result)) return false;
    exponent /= 2;
    if (exponent && __builtin_mul_overflow(base, base, &base)) return false;
  }
  return integer(out, result);
}

bool of_integers(SizeOp op, Number& out, int64_t a, int64_t b) {
  int64_t v = 0;
  switch (op) {
    case SizeOp::plus:
      return !__builtin_add_overflow(a, b, &v) && integer(out, v);
    case SizeOp::minus:
      return !__builtin_sub_overflow(a, b, &v) && integer(out, v);
    case SizeOp::multiply:
      return !__builtin_mul_overflow(a, b, &v) && integer(out, v);
    case SizeOp::divide:
    case SizeOp::modulo: {
      if (b == 0 || (b == -1 && a == std::numeric_limits<int64_t>::min())) return false;
      const bool down = a % b != 0 && (a < 0) != (b < 0);  // C++ rounds towards zero
      return integer(out, op == SizeOp::divide ? a / b - down : a % b + (down ? b : 0));
    }
    case SizeOp::lesser:
      return integer(out, a < b ? a : b);
    case SizeOp::greater:
      return integer(out, a < b ? b : a);
    case SizeOp::equal:
      return integer(out, a == b);
    case SizeOp::less:
      return integer(out, a < b);
    case SizeOp::power:
      return power(out, a, b);
    case SizeOp::bit_and:
      return integer(out, a & b);
    case SizeOp::bit_or:
      return integer(out, a | b);
    case SizeOp::bit_xor:
      return integer(out, a ^ b);
    default:
      return false;
  }
}

bool binary(SizeOp op, Number& a, Number& b) {
  if (!a.is_real && !b.is_real && op != SizeOp::quotient) return of_integers(op, a, a.whole, b.whole);
  return make_real(a) && make_real(b) && of_reals(op, a, a.value, b.value);
}

bool constant(SizeOp op, Number& out, int64_t argument, const std::vector<int64_t>& sizes) {
  if (op == SizeOp::number) return integer(out, argument);
  if (op == SizeOp::real) {
    double value;
    std::memcpy(&value, &argument, sizeof value);
    return real(out, value);
  }
  const auto i = static_cast<size_t>(argument);
  return i < sizes.size() && integer(out, sizes[i]);
}

}  // namespace

std::optional<int64_t> evaluate(const SizeCode& code, const std::vector<int64_t>& sizes) {
  std::vector<Number> stack(code.size());
  size_t depth = 0;
  for (const auto& [number, argument] : code) {
    const auto op = static_cast<SizeOp>(number);
    const size_t count = operands_of(op);
    if (depth < count) return {};
    depth -= count;
    Number* of = &stack[depth++];
    if (count == 3) {
      *of = of[of->is_real || of->whole ? 1 : 2];
    } else if (!(count == 0   ? constant(op, *of, argument, sizes)
                 : count == 1 ? unary(op, *of)
                              : binary(op, of[0], of[1]))) {
      return {};
    }
  }
  if (depth != 1) return {};
  Number end = stack[0];
  const bool whole =
      unary(SizeOp::truncate, end) && (!stack[0].is_real || static_cast<double>(end.whole) == stack[0].value);
  return whole ? std::optional(end.whole) : std::nullopt;
}

}  // namespace kiln
