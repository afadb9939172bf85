#include "jit/integer.h"

#include <algorithm>
#include <cstdint>

namespace kiln::integer {
namespace {

constexpr float kTwo32 = 4294967296.0f;

/// Three-address arithmetic with fresh registers.
class Calc {
 public:
  explicit Calc(Emitter& emitter) : e(emitter) {}
  Vec f(float value) const {
    const Vec v = e.vec();
    e.splat(v, value);
    return v;
  }
  Vec k(int32_t value) const {
    const Vec v = e.vec();
    e.splat_i32(v, value);
    return v;
  }
  Vec op(VecBinary o, Vec a, Vec b) const {
    const Vec v = e.vec();
    e.op(o, v, a, b);
    return v;
  }
  Vec op(VecUnary o, Vec a) const {
    const Vec v = e.vec();
    e.op(o, v, a);
    return v;
  }
  Vec add(Vec a, Vec b) const { return op(VecBinary::i32_add, a, b); }
  Vec sub(Vec a, Vec b) const { return op(VecBinary::i32_sub, a, b); }
  Vec mul(Vec a, Vec b) const { return op(VecBinary::i32_mul, a, b); }
  Vec and_(Vec a, Vec b) const { return op(VecBinary::and_, a, b); }
  Vec or_(Vec a, Vec b) const { return op(VecBinary::or_, a, b); }
  Vec xor_(Vec a, Vec b) const { return op(VecBinary::xor_, a, b); }
  Vec not_(Vec a) const { return op(VecUnary::not_, a); }
  Vec shl(Vec a, int by) const {
    const Vec v = e.vec();
    e.shift_left(v, a, by);
    return v;
  }
  Vec sar(Vec a, int by) const {
    const Vec v = e.vec();
    e.shift_right(v, a, by);
    return v;
  }
  /// Logical.
  Vec shr(Vec a, int by) const { return by ? and_(sar(a, by), k(static_cast<int32_t>(~0u >> by))) : a; }
  /// All ones where negative.
  Vec sign(Vec a) const { return sar(a, 31); }
  Vec compare(Compare c, Vec a, Vec b, Lane lane = Lane::i32) const {
    const Vec v = e.vec();
    e.compare(v, lane, c, a, b);
    return v;
  }
  Vec is_zero(Vec a) const { return compare(Compare::eq, a, k(0)); }
  /// a < b, unsigned.
  Vec below(Vec a, Vec b) const {
    const Vec top = k(INT32_MIN);
    return compare(Compare::lt, xor_(a, top), xor_(b, top));
  }
  Vec select(Vec mask, Vec a, Vec b) const {
    const Vec v = e.vec();
    e.select(v, mask, a, b);
    return v;
  }
  Wide select(Vec mask, Wide a, Wide b) const { return {select(mask, a.low, b.low), select(mask, a.high, b.high)}; }
  Wide add(Wide a, Wide b) const {
    const Vec low = add(a.low, b.low);
    return {low, sub(add(a.high, b.high), below(low, a.low))};
  }
  Wide sub(Wide a, Wide b) const { return {sub(a.low, b.low), add(sub(a.high, b.high), below(a.low, b.low))}; }
  /// x, negated where the mask is set.
  Vec negate_where(Vec mask, Vec x) const { return sub(xor_(x, mask), mask); }
  Wide negate_where(Vec mask, Wide x) const {
    return sub(Wide{xor_(x.low, mask), xor_(x.high, mask)}, Wide{mask, mask});
  }
  Wide mul(Wide a, Wide b) const {
    const Vec half = k(0xffff);
    const Vec a0 = and_(a.low, half), a1 = shr(a.low, 16), b0 = and_(b.low, half), b1 = shr(b.low, 16);
    const Vec p00 = mul(a0, b0), p01 = mul(a0, b1), p10 = mul(a1, b0);
    const Vec middle = add(add(shr(p00, 16), and_(p01, half)), and_(p10, half));
    const Vec high = add(add(mul(a1, b1), shr(middle, 16)), add(shr(p01, 16), shr(p10, 16)));
    return {mul(a.low, b.low), add(high, add(mul(a.low, b.high), mul(a.high, b.low)))};
  }
  /// a < b, unsigned.
  Vec below(Wide a, Wide b) const {
    return or_(below(a.high, b.high), and_(compare(Compare::eq, a.high, b.high), below(a.low, b.low)));
  }
  /// An unsigned number as a float, give or take 2^-22 of it.
  Vec about(Vec x) const {
    const Vec whole = op(VecUnary::i32_to_f32, x);
    return op(VecBinary::add, whole, and_(sign(x), f(kTwo32)));
  }
  Vec about(Wide x) const { return op(VecBinary::add, op(VecBinary::mul, about(x.high), f(kTwo32)), about(x.low)); }
  /// The whole part of a float in [0, 2^63).
  Wide whole(Vec x) const {
    const Vec y = op(VecUnary::trunc, x);
    const Vec upper = op(VecUnary::floor, op(VecBinary::mul, y, f(1 / kTwo32)));
    const Vec lower = op(VecBinary::sub, y, op(VecBinary::mul, upper, f(kTwo32)));  // both exact
    const Vec large = compare(Compare::ge, lower, f(kTwo32 / 2), Lane::f32);
    const Vec rest = op(VecUnary::f32_to_i32, op(VecBinary::sub, lower, and_(large, f(kTwo32 / 2))));
    return {or_(rest, and_(large, k(INT32_MIN))), op(VecUnary::f32_to_i32, upper)};
  }
  void set(Wide to, Wide from) const {
    e.set(to.low, from.low);
    e.set(to.high, from.high);
  }

  Emitter& e;
};

/// How far below the quotient of two rounded floats the true one may lie, with room to spare.
constexpr float kLess = 1 - 1.0f / (1 << 19);

/// Unsigned. A quotient of floats is right to 18 bits and, made a little less, never too large: each round takes as
/// much off the rest, the quotient of which is below 2 after four.
Wide divide_unsigned(Emitter& e, Wide a, Wide b) {
  const Calc c(e);
  const Vec divisor = c.about(b);
  const Wide quotient = {c.k(0), c.k(0)}, rest = {e.vec(), e.vec()};
  c.set(rest, a);
  const Int round = e.integer();
  e.for_range(round, 0, 4, 1, [&] {
    const Vec estimate = c.op(VecBinary::mul, c.op(VecBinary::div, c.about(rest), divisor), c.f(kLess));
    const Wide part = c.whole(estimate);
    c.set(quotient, c.add(quotient, part));
    c.set(rest, c.sub(rest, c.mul(part, b)));
  });
  const Vec enough = c.below(rest, b);  // all ones where the quotient is final
  return c.sub(c.add(quotient, {c.k(1), c.k(0)}), {c.and_(enough, c.k(1)), c.k(0)});
}

}  // namespace

// -- 32 bits

Vec divide(Emitter& e, Vec a, Vec b) {
  const Calc c(e);
  const Vec divisor = c.op(VecUnary::i32_to_f32, b);
  Vec q = c.k(0), rest = a;
  // Each round takes the quotient of what is left, right to 22 bits; after two it is off by one at most.
  for (int round = 0; round < 2; ++round) {
    const Vec part = c.op(VecUnary::f32_to_i32, c.op(VecBinary::div, c.op(VecUnary::i32_to_f32, rest), divisor));
    q = c.add(q, part);
    rest = c.sub(a, c.mul(q, b));
  }
  // one too far: the rest has the other sign than a; one too short: |rest| ≥ |b|, unsigned. Masks are -1.
  const Vec step = c.or_(c.sign(c.xor_(a, b)), c.k(1));
  const Vec far = c.op(VecBinary::andnot, c.sign(c.xor_(rest, a)), c.is_zero(rest));
  const Vec done = c.below(c.op(VecUnary::i32_abs, rest), c.op(VecUnary::i32_abs, b));
  q = c.sub(q, c.and_(far, step));
  q = c.add(q, c.op(VecBinary::andnot, c.op(VecBinary::andnot, step, done), far));
  return c.op(VecBinary::andnot, q, c.is_zero(b));
}

Vec remainder(Emitter& e, Vec a, Vec b) {
  const Calc c(e);
  return c.sub(a, c.mul(divide(e, a, b), b));
}

Vec shift(Emitter& e, PointOp op, Vec a, int64_t by) {
  const Calc c(e);
  const bool beyond = by < 0 || by > 31;
  if (op == PointOp::shl) return beyond ? c.k(0) : c.shl(a, static_cast<int>(by));
  return c.sar(a, beyond ? 31 : static_cast<int>(by));
}

Vec shift(Emitter& e, PointOp op, Vec a, Vec by) {
  const Calc c(e);
  const Vec all = shift(e, op, a, 32), beyond = c.not_(c.below(by, c.k(32)));
  for (int bit = 0; bit < 5; ++bit) a = c.select(c.sign(c.shl(by, 31 - bit)), shift(e, op, a, int64_t{1} << bit), a);
  return c.select(beyond, all, a);
}

Vec power(Emitter& e, Vec a, Vec b) {
  const Calc c(e);
  const Vec result = c.k(1), base = e.vec(), rest = e.vec();
  e.set(base, a);
  e.set(rest, b);
  const Int round = e.integer();
  e.for_range(round, 0, 31, 1, [&] {
    e.set(result, c.select(c.sign(c.shl(rest, 31)), c.mul(result, base), result));
    e.set(base, c.mul(base, base));
    e.set(rest, c.sar(rest, 1));
  });
  const Vec unit = c.compare(Compare::eq, c.op(VecUnary::i32_abs, a), c.k(1));
  // of ±1 by the parity, which the first round saw
  return c.op(VecBinary::andnot, result, c.op(VecBinary::andnot, c.sign(b), unit));
}

// -- 64 bits

Wide constant(Emitter& e, int64_t value) {
  const Calc c(e);
  const auto bits = static_cast<uint64_t>(value);
  return {c.k(static_cast<int32_t>(bits)), c.k(static_cast<int32_t>(bits >> 32))};
}

Wide from_i32(Emitter& e, Vec x) { return {x, Calc(e).sign(x)}; }

Wide from_f32(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec magnitude = c.op(VecUnary::abs, x);
  Wide y = c.whole(magnitude);
  const Vec beyond = c.compare(Compare::ge, magnitude, c.f(9223372036854775808.0f), Lane::f32);
  y = c.select(beyond, Wide{c.k(-1), c.k(INT32_MAX)}, y);
  // The least number has no positive one: it is the complement of the greatest.
  const Vec negative = c.and_(c.sign(x), c.compare(Compare::eq, x, x, Lane::f32));
  const Vec one = c.op(VecBinary::andnot, negative, beyond);
  return c.sub(Wide{c.xor_(y.low, negative), c.xor_(y.high, negative)}, Wide{one, one});
}

Vec to_f32(Emitter& e, Wide x) {
  const Calc c(e);
  const Vec sign = c.sign(x.high);
  Wide m = c.negate_where(sign, x);
  // The leading one goes to bit 63; what is lost of 2^33 is counted in the exponent.
  Vec exponent = c.k(127 + 33);
  const auto move = [&](Vec where, Wide by, int bits) {
    m = c.select(where, by, m);
    exponent = c.sub(exponent, c.and_(where, c.k(bits)));
  };
  move(c.is_zero(m.high), {c.k(0), m.low}, 32);
  for (const int bits : {16, 8, 4, 2, 1})
    move(c.is_zero(c.shr(m.high, 32 - bits)), shift(e, PointOp::shl, m, bits), bits);
  // 31 bits, the last of which says whether anything was below: rounded once, by the conversion.
  const Vec rest = c.and_(c.or_(m.high, c.and_(c.not_(c.is_zero(m.low)), c.k(1))), c.k(1));
  const Vec value = c.op(VecUnary::i32_to_f32, c.or_(c.shr(m.high, 1), rest));
  return c.or_(c.op(VecBinary::mul, value, c.shl(exponent, 23)), c.and_(sign, c.k(INT32_MIN)));
}

Vec to_mask(Emitter& e, Wide x) {
  const Calc c(e);
  return c.not_(c.is_zero(c.or_(x.low, x.high)));
}

Wide add(Emitter& e, Wide a, Wide b) { return Calc(e).add(a, b); }
Wide subtract(Emitter& e, Wide a, Wide b) { return Calc(e).sub(a, b); }
Wide multiply(Emitter& e, Wide a, Wide b) { return Calc(e).mul(a, b); }
Wide select(Emitter& e, Vec mask, Wide a, Wide b) { return Calc(e).select(mask, a, b); }

Wide absolute(Emitter& e, Wide a) {
  const Calc c(e);
  return c.negate_where(c.sign(a.high), a);
}

Wide bits(Emitter& e, VecBinary op, Wide a, Wide b) {
  const Calc c(e);
  return {c.op(op, a.low, b.low), c.op(op, a.high, b.high)};
}

Wide divide(Emitter& e, Wide a, Wide b) {
  const Calc c(e);
  const Wide q = c.negate_where(c.sign(c.xor_(a.high, b.high)), divide_unsigned(e, absolute(e, a), absolute(e, b)));
  const Vec some = to_mask(e, b);
  return {c.and_(q.low, some), c.and_(q.high, some)};
}

Wide remainder(Emitter& e, Wide a, Wide b) {
  const Calc c(e);
  return c.sub(a, c.mul(divide(e, a, b), b));
}

Wide shift(Emitter& e, PointOp op, Wide a, int64_t by) {
  const Calc c(e);
  const bool left = op == PointOp::shl, beyond = by < 0 || by > 63;
  if (left && beyond) return constant(e, 0);
  const int bits = beyond ? 63 : static_cast<int>(by);
  if (bits == 0) return a;
  if (left)
    return bits >= 32 ? Wide{c.k(0), c.shl(a.low, bits - 32)}
                      : Wide{c.shl(a.low, bits), c.or_(c.shl(a.high, bits), c.shr(a.low, 32 - bits))};
  return bits >= 32 ? Wide{c.sar(a.high, bits - 32), c.sign(a.high)}
                    : Wide{c.or_(c.shr(a.low, bits), c.shl(a.high, 32 - bits)), c.sar(a.high, bits)};
}

Wide shift(Emitter& e, PointOp op, Wide a, Wide by) {
  const Calc c(e);
  const Wide all = shift(e, op, a, 64);
  const Vec beyond = c.not_(c.and_(c.is_zero(by.high), c.below(by.low, c.k(64))));
  for (int bit = 0; bit < 6; ++bit)
    a = c.select(c.sign(c.shl(by.low, 31 - bit)), shift(e, op, a, int64_t{1} << bit), a);
  return c.select(beyond, all, a);
}

Wide power(Emitter& e, Wide a, Wide b) {
  const Calc c(e);
  const Wide result = constant(e, 1), base{e.vec(), e.vec()}, rest{e.vec(), e.vec()};
  c.set(base, a);
  c.set(rest, b);
  const Int round = e.integer();
  e.for_range(round, 0, 63, 1, [&] {
    c.set(result, c.select(c.sign(c.shl(rest.low, 31)), c.mul(result, base), result));
    c.set(base, c.mul(base, base));
    c.set(rest, shift(e, PointOp::shr, rest, 1));
  });
  const Wide size = absolute(e, a);
  const Vec unit = c.and_(c.compare(Compare::eq, size.low, c.k(1)), c.is_zero(size.high));
  const Vec none = c.op(VecBinary::andnot, c.sign(b.high), unit);
  return {c.op(VecBinary::andnot, result.low, none), c.op(VecBinary::andnot, result.high, none)};
}

Vec compare(Emitter& e, Compare cmp, Wide a, Wide b) {
  const Calc c(e);
  switch (cmp) {
    case Compare::eq:
    case Compare::ne: {
      const Vec differ = c.or_(c.xor_(a.low, b.low), c.xor_(a.high, b.high));
      return c.compare(cmp, differ, c.k(0));
    }
    case Compare::gt:
      return compare(e, Compare::lt, b, a);
    case Compare::ge:
      return c.not_(compare(e, Compare::lt, a, b));
    case Compare::le:
      return c.not_(compare(e, Compare::lt, b, a));
    default:
      return c.or_(c.compare(Compare::lt, a.high, b.high),
                   c.and_(c.compare(Compare::eq, a.high, b.high), c.below(a.low, b.low)));
  }
}

}  // namespace kiln::integer
