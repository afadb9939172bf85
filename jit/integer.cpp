#include "jit/integer.h"

#include <cstdint>

#include "jit/calc.h"

namespace kiln::integer {
namespace {

constexpr float kTwo32 = 4294967296.0f;
/// How far the true quotient may be below that of two rounded floats, with a margin.
constexpr float kLess = 1 - 1.0f / (1 << 19);

class Integers : public math::Calc {
 public:
  using Calc::Calc;
  /// All ones where negative.
  Vec sign(Vec a) const { return shr(a, 31); }
  Vec inverse(Vec a) const { return op(VecUnary::not_, a); }
  Vec without(Vec a, Vec mask) const { return op(VecBinary::andnot, a, mask); }
  Vec is_zero(Vec a) const { return icmp(Compare::eq, a, ki(0)); }
  /// a < b, unsigned.
  Vec below(Vec a, Vec b) const {
    const Vec top = ki(INT32_MIN);
    return icmp(Compare::lt, differ(a, top), differ(b, top));
  }
  /// a < b, where `high` is the comparison of the upper halves.
  Vec below(const Wide& a, const Wide& b, Vec high) const {
    return either(high, both(icmp(Compare::eq, a.high, b.high), below(a.low, b.low)));
  }
  Wide with(VecBinary o, const Wide& a, Vec b) const { return {op(o, a.low, b), op(o, a.high, b)}; }
  /// x, negated where the mask is set.
  Wide negated(Vec mask, const Wide& x) const { return subtract(e, with(VecBinary::xor_, x, mask), {mask, mask}); }
  /// An unsigned number as a float, with a relative error of 2^-22.
  Vec about(Vec x) const { return add(op(VecUnary::i32_to_f32, x), both(sign(x), k(kTwo32))); }
  Vec about(const Wide& x) const { return add(mul(about(x.high), k(kTwo32)), about(x.low)); }
  /// The whole part of a float in [0, 2^63).
  Wide whole(Vec x) const {
    const Vec y = op(VecUnary::trunc, x);
    const Vec upper = op(VecUnary::floor, mul(y, k(1 / kTwo32)));
    const Vec lower = sub(y, mul(upper, k(kTwo32)));  // both exact
    const Vec half = k(kTwo32 / 2), large = cmp(Compare::ge, lower, half);
    const Vec rest = op(VecUnary::f32_to_i32, sub(lower, both(large, half)));
    return {either(rest, sign_of(large)), op(VecUnary::f32_to_i32, upper)};
  }
  void set(const Wide& to, const Wide& from) const {
    e.set(to.low, from.low);
    e.set(to.high, from.high);
  }
  Wide copy(const Wide& x) const {
    const Wide to{e.vec(), e.vec()};
    set(to, x);
    return to;
  }
  /// Unsigned. A quotient of floats is right to 18 bits. It is made a little smaller, so it is never too large. Each
  /// round subtracts that much from the rest. After four rounds the quotient of the rest is below 2.
  Wide divide_unsigned(const Wide& a, const Wide& b) const {
    const Vec divisor = about(b);
    const Wide quotient = constant(e, 0), rest = copy(a);
    const Int round = e.integer();
    e.for_range(round, 0, 4, 1, [&] {
      const Wide part = whole(mul(div(about(rest), divisor), k(kLess)));
      set(quotient, integer::add(e, quotient, part));
      set(rest, subtract(e, rest, multiply(e, part, b)));
    });
    const Vec enough = below(rest, b, below(rest.high, b.high));
    return integer::add(e, quotient, {without(ki(1), enough), ki(0)});
  }
};

}  // namespace

Vec divide(Emitter& e, Vec a, Vec b) {
  const Integers c(e);
  const Vec divisor = c.op(VecUnary::i32_to_f32, b);
  Vec q = c.ki(0), rest = a;
  // Each round divides the rest, right to 22 bits. After two rounds the quotient is off by at most one.
  for (int round = 0; round < 2; ++round) {
    q = c.iadd(q, c.op(VecUnary::f32_to_i32, c.div(c.op(VecUnary::i32_to_f32, rest), divisor)));
    rest = c.isub(a, c.imul(q, b));
  }
  // If it is one too large, the rest has another sign than a. If it is one too small, |rest| ≥ |b|, unsigned. Masks are
  // -1.
  const Vec step = c.either(c.sign(c.differ(a, b)), c.ki(1));
  const Vec far = c.without(c.sign(c.differ(rest, a)), c.is_zero(rest));
  const Vec done = c.below(c.op(VecUnary::i32_abs, rest), c.op(VecUnary::i32_abs, b));
  q = c.isub(q, c.both(far, step));
  q = c.iadd(q, c.without(c.without(step, done), far));
  return c.without(q, c.is_zero(b));
}

Wide constant(Emitter& e, int64_t value) {
  const Integers c(e);
  const auto bits = static_cast<uint64_t>(value);
  return {c.ki(static_cast<int32_t>(bits)), c.ki(static_cast<int32_t>(bits >> 32))};
}

Wide from_i32(Emitter& e, Vec x) { return {x, Integers(e).sign(x)}; }

Wide from_f32(Emitter& e, Vec x) {
  const Integers c(e);
  const Vec magnitude = c.abs(x);
  const Vec beyond = c.cmp(Compare::ge, magnitude, c.k(0x1p63f));
  const Wide y = select(e, beyond, constant(e, INT64_MAX), c.whole(magnitude));
  // The least number has no positive counterpart. It is the complement of the greatest.
  const Vec negative = c.both(c.sign(x), c.cmp(Compare::eq, x, x)), one = c.without(negative, beyond);
  return subtract(e, c.with(VecBinary::xor_, y, negative), {one, one});
}

Wide unsigned_from_f32(Emitter& e, Vec x) {
  const Integers c(e);
  const Vec beyond = c.cmp(Compare::ge, x, c.k(0x1p63f));
  const Wide y = from_f32(e, c.sub(x, c.both(beyond, c.k(0x1p63f))));
  return {y.low, c.differ(y.high, c.sign_of(beyond))};
}

Vec to_f32(Emitter& e, const Wide& x, bool is_signed) {
  const Integers c(e);
  const Vec sign = is_signed ? c.sign(x.high) : c.ki(0);
  Wide m = is_signed ? c.negated(sign, x) : x;
  // Shifts the leading one to bit 63, and counts the shift in the exponent.
  Vec exponent = c.ki(127 + 33);
  for (const int bits : {32, 16, 8, 4, 2, 1}) {
    const Vec empty = c.is_zero(bits < 32 ? c.logical_shr(m.high, 32 - bits) : m.high);
    m = select(e, empty, shift(e, PointOp::shl, m, bits), m);
    exponent = c.isub(exponent, c.both(empty, c.ki(bits)));
  }
  // Keeps 31 bits. The last one says whether any lower bit was set, so the conversion rounds once.
  const Vec rest = c.both(c.either(m.high, c.inverse(c.is_zero(m.low))), c.ki(1));
  const Vec value = c.op(VecUnary::i32_to_f32, c.either(c.logical_shr(m.high, 1), rest));
  return c.either(c.mul(value, c.shl(exponent, 23)), c.sign_of(sign));
}

Vec to_mask(Emitter& e, const Wide& x) {
  const Integers c(e);
  return c.inverse(c.is_zero(c.either(x.low, x.high)));
}

Wide add(Emitter& e, const Wide& a, const Wide& b) {
  const Integers c(e);
  const Vec low = c.iadd(a.low, b.low);
  return {low, c.isub(c.iadd(a.high, b.high), c.below(low, a.low))};
}

Wide subtract(Emitter& e, const Wide& a, const Wide& b) {
  const Integers c(e);
  return {c.isub(a.low, b.low), c.iadd(c.isub(a.high, b.high), c.below(a.low, b.low))};
}

Wide multiply(Emitter& e, const Wide& a, const Wide& b) {
  const Integers c(e);
  const Vec half = c.ki(0xffff);
  const auto upper = [&](Vec x) { return c.logical_shr(x, 16); };
  const Vec a0 = c.both(a.low, half), a1 = upper(a.low), b0 = c.both(b.low, half), b1 = upper(b.low);
  const Vec p01 = c.imul(a0, b1), p10 = c.imul(a1, b0);
  const Vec middle = c.iadd(c.iadd(upper(c.imul(a0, b0)), c.both(p01, half)), c.both(p10, half));
  const Vec carried = c.iadd(c.iadd(c.imul(a1, b1), upper(middle)), c.iadd(upper(p01), upper(p10)));
  return {c.imul(a.low, b.low), c.iadd(carried, c.iadd(c.imul(a.low, b.high), c.imul(a.high, b.low)))};
}

Wide divide(Emitter& e, const Wide& a, const Wide& b, bool is_signed) {
  const Integers c(e);
  if (!is_signed) {  // a quotient is 2^63 or more, which no float of `whole` is, only if the divisor is 1
    const Vec by_one = compare(e, Compare::eq, b, constant(e, 1));
    return c.with(VecBinary::and_, select(e, by_one, a, c.divide_unsigned(a, b)), to_mask(e, b));
  }
  const Wide q = c.divide_unsigned(absolute(e, a), absolute(e, b));
  return c.with(VecBinary::and_, c.negated(c.sign(c.differ(a.high, b.high)), q), to_mask(e, b));
}

Wide power(Emitter& e, const Wide& a, const Wide& b, bool is_signed) {
  const Integers c(e);
  const Wide result = constant(e, 1), base = c.copy(a), rest = c.copy(b);
  const Int more = e.integer();
  e.do_while(
      [&] {
        c.set(result, select(e, c.sign(c.shl(rest.low, 31)), multiply(e, result, base), result));
        c.set(base, multiply(e, base, base));
        c.set(rest, shift(e, PointOp::shr, rest, 1));
        e.set(rest.high, c.both(rest.high, c.ki(INT32_MAX)));
        e.any(more, to_mask(e, rest));
      },
      more, Compare::ne, 0);
  if (!is_signed) return result;
  // Negative powers of 1 and -1 depend on parity, which the first round has handled. All others are 0.
  const Wide size = absolute(e, a);
  const Vec unit = c.is_zero(c.either(c.differ(size.low, c.ki(1)), size.high));
  return c.with(VecBinary::andnot, result, c.without(c.sign(b.high), unit));
}

Wide absolute(Emitter& e, const Wide& a) {
  const Integers c(e);
  return c.negated(c.sign(a.high), a);
}

Wide bits(Emitter& e, VecBinary op, const Wide& a, const Wide& b) {
  const Integers c(e);
  return {c.op(op, a.low, b.low), c.op(op, a.high, b.high)};
}

Wide shift(Emitter& e, PointOp op, const Wide& a, int64_t by, bool is_signed) {
  const Integers c(e);
  const bool left = op == PointOp::shl, beyond = by < 0 || by > 63;
  if ((left || !is_signed) && beyond) return constant(e, 0);
  const int bits = beyond ? 63 : static_cast<int>(by);
  if (bits == 0) return a;
  if (left && bits >= 32) return {c.ki(0), c.shl(a.low, bits - 32)};
  const auto right = [&](Vec x, int by_bits) { return is_signed ? c.shr(x, by_bits) : c.logical_shr(x, by_bits); };
  if (bits >= 32) return {bits == 32 ? a.high : right(a.high, bits - 32), is_signed ? c.sign(a.high) : c.ki(0)};
  if (left) return {c.shl(a.low, bits), c.either(c.shl(a.high, bits), c.logical_shr(a.low, 32 - bits))};
  return {c.either(c.logical_shr(a.low, bits), c.shl(a.high, 32 - bits)), right(a.high, bits)};
}

Wide shift(Emitter& e, PointOp op, const Wide& given, const Wide& by, bool is_signed) {
  const Integers c(e);
  const Wide all = shift(e, op, given, 64, is_signed);
  Wide a = given;
  const Vec beyond = c.inverse(c.is_zero(c.either(c.both(by.low, c.ki(~63)), by.high)));
  for (int bit = 0; bit < 6; ++bit)
    a = select(e, c.sign(c.shl(by.low, 31 - bit)), shift(e, op, a, int64_t{1} << bit, is_signed), a);
  return select(e, beyond, all, a);
}

Vec compare(Emitter& e, Compare cmp, const Wide& a, const Wide& b, bool is_signed) {
  const Integers c(e);
  switch (cmp) {
    case Compare::eq:
    case Compare::ne:
      return c.icmp(cmp, c.either(c.differ(a.low, b.low), c.differ(a.high, b.high)), c.ki(0));
    case Compare::gt:
      return compare(e, Compare::lt, b, a, is_signed);
    case Compare::ge:
      return c.inverse(compare(e, Compare::lt, a, b, is_signed));
    case Compare::le:
      return c.inverse(compare(e, Compare::lt, b, a, is_signed));
    default:
      return c.below(a, b, is_signed ? c.icmp(Compare::lt, a.high, b.high) : c.below(a.high, b.high));
  }
}

Wide select(Emitter& e, Vec mask, const Wide& a, const Wide& b) {
  const Integers c(e);
  return {c.select(mask, a.low, b.low), c.select(mask, a.high, b.high)};
}

}  // namespace kiln::integer
