// Functions of angles.
#include "jit/calc.h"
#include "jit/math.h"

namespace kiln::math {
namespace {

/// An angle reduced by a multiple of π/2. Only the last two bits of the multiple matter.
struct Angle {
  Vec rest, quadrant;
};

/// Bits 32 to 63 of the product of two unsigned 32-bit numbers. The first is below 2^31.
Vec high_product(const Calc& c, Vec a, Vec b) {
  const Vec mask = c.ki(0xffff);
  const Vec a_lo = c.both(a, mask), a_hi = c.shr(a, 16), b_lo = c.both(b, mask), b_hi = c.logical_shr(b, 16);
  const Vec across = c.imul(a_hi, b_lo), other = c.imul(a_lo, b_hi);
  const Vec middle = c.iadd(c.logical_shr(c.imul(a_lo, b_lo), 16), c.iadd(c.both(across, mask), c.both(other, mask)));
  return c.iadd(c.iadd(c.imul(a_hi, b_hi), c.shr(across, 16)), c.iadd(c.logical_shr(other, 16), c.shr(middle, 16)));
}

/// For |x| from 256 to the largest float (Payne and Hanek). |x| is m·2^e. Only 96 bits of 1/2π matter: those that m·2^e
/// moves behind the binary point and that are not too small.
Angle reduced_large(const Calc& c, Vec x0) {
  const Vec x = c.abs(x0);
  const Vec e = c.isub(c.shr(x, 23), c.ki(134));  // x = m·2^(e - 16), m below 2^24
  // The bits of 2^-16/2π from e on. Shifting m takes 0 to 7 of them, steps of 64, 32, 16 and 8 take the others.
  const Vec shift = c.shl(c.iadd(c.both(e, c.ki(7)), c.ki(150)), 23);
  const Vec m = c.op(VecUnary::f32_to_i32, c.either(c.both(x, c.ki(0x007fffff)), shift));
  const auto bit = [&](int k) { return c.shr(c.shl(e, 31 - k), 31); };
  constexpr uint32_t kWords[] = {0x000028be, 0x60db9391, 0x054a7f09, 0xd5f47d4d, 0x377036d8, 0xa5664f10, 0xe4107f94};
  Vec w[7];
  for (int i = 0; i < 7; ++i) w[i] = c.ki(static_cast<int32_t>(kWords[i]));
  const Vec by64 = bit(6), by32 = bit(5), by16 = bit(4), by8 = bit(3);
  for (int i = 0; i < 5; ++i) w[i] = c.select(by64, w[i + 2], w[i]);
  for (int i = 0; i < 4; ++i) w[i] = c.select(by32, w[i + 1], w[i]);
  for (int i = 0; i < 3; ++i) w[i] = c.select(by16, c.either(c.shl(w[i], 16), c.logical_shr(w[i + 1], 16)), w[i]);
  w[3] = c.select(by16, c.shl(w[3], 16), w[3]);
  for (int i = 0; i < 3; ++i) w[i] = c.select(by8, c.either(c.shl(w[i], 8), c.logical_shr(w[i + 1], 24)), w[i]);

  // the fraction of x/2π in 64 bits
  const Vec carried = high_product(c, m, w[2]), low = c.iadd(c.imul(m, w[1]), carried), sign_bit = c.ki(INT32_MIN);
  const Vec carry = c.icmp(Compare::lt, c.differ(low, sign_bit), c.differ(carried, sign_bit));
  const Vec high = c.isub(c.iadd(c.imul(m, w[0]), high_product(c, m, w[1])), carry);
  const Vec quadrant = c.logical_shr(c.iadd(high, c.ki(1 << 29)), 30);
  const Vec rest = c.isub(high, c.shl(quadrant, 30)), negative = c.shr(rest, 31);
  const Vec a = c.differ(rest, negative), b = c.differ(low, negative);  // its magnitude: 29 bits and 32 more
  const auto number = [&](Vec v) { return c.op(VecUnary::i32_to_f32, v); };
  const Vec third = number(c.both(b, c.ki(0xffff)));
  const Vec second = number(c.either(c.shl(c.both(a, c.ki(0x1fff)), 16), c.logical_shr(b, 16)));
  const Vec first = number(c.both(a, c.ki(~0x1fff)));
  const Vec step = c.k(1.0f / 65536);
  const Vec turns = c.madd(c.madd(third, step, second), step, first);
  const float unit = 1.0f / 4294967296.0f;
  Vec angle = c.madd(turns, c.k(6.28318548f * unit), c.mul(turns, c.k(-1.7484556e-7f * unit)));
  angle = c.differ(angle, c.both(c.differ(negative, x0), sign_bit));
  const Vec below = c.shr(x0, 31);
  return {c.add(angle, c.sub(x, x)), c.isub(c.differ(quadrant, below), below)};  // NaN for infinity
}

/// For |x| up to 10000. The multiple counts from `first` on. The rest has an error of 5e-11, or with `finely` of 1e-15
/// before it is rounded, because a tangent can magnify it.
Angle reduced_small(const Calc& c, Vec x, int first, bool finely) {
  const Vec magic = c.k(kMagic + static_cast<float>(first)), sum = c.madd(x, c.k(0.636619772367581343f), magic),
            n = c.sub(sum, magic);
  // π/2 in parts of 11 bits and a rest. Products of a part with n below 2^13 are exact. (For -0, n is 0 and x stays.)
  const Vec rest = c.nmadd(n, c.k(4.837512969970703125e-4f), c.nmadd(n, c.k(1.5703125f), x));
  const Vec less = c.nmadd(n, c.k(finely ? 7.549533620476723e-8f : 7.549789948768648e-8f), rest);
  return {finely ? c.nmadd(n, c.k(2.5633440682570896e-12f), less) : less, sum};
}

/// A function of an angle. Large angles take the long reduction.
Vec of_angle(const Calc& c, Vec x, int first, bool finely, FunctionRef<Vec(const Angle&)> function) {
  const Vec value = function(reduced_small(c, x, first, finely)), large = c.cmp(Compare::gt, c.abs(x), c.k(10000));
  c.e.if_any(large, [&] {
    const Angle angle = reduced_large(c, x);
    c.e.select(value, large, function({angle.rest, c.iadd(angle.quadrant, c.ki(first))}), value);
  });
  return value;
}

/// Sine and cosine of the rest, and a mask of odd quadrants.
struct Legs {
  Vec sine, cosine, odd;
};

Legs legs(const Calc& c, const Angle& angle) {
  const Vec r = angle.rest, z = c.mul(r, r);
  const Vec s = c.polynomial(z, {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f, 1.0f});
  const Vec k = c.polynomial(z, {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f});
  return {c.mul(s, r),  // a product keeps -0
          c.madd(c.mul(z, z), k, c.nmadd(z, c.k(0.5f), c.k(1))), c.shr(c.shl(angle.quadrant, 31), 31)};
}

/// The sine of x plus `first` right angles.
Vec sine(Emitter& e, Vec x, int first) {
  const Calc c(e);
  return of_angle(c, x, first, false, [&](const Angle& angle) {
    const Legs l = legs(c, angle);
    return c.differ(c.select(l.odd, l.cosine, l.sine), c.shl(c.both(angle.quadrant, c.ki(2)), 30));
  });
}

}  // namespace

Vec sin(Emitter& e, Vec x) { return sine(e, x, 0); }
Vec cos(Emitter& e, Vec x) { return sine(e, x, 1); }

Vec tan(Emitter& e, Vec x) {
  const Calc c(e);
  return of_angle(c, x, 0, true, [&](const Angle& angle) {
    const Legs l = legs(c, angle);
    const Vec t = c.div(c.select(l.odd, l.cosine, l.sine), c.select(l.odd, l.sine, l.cosine));
    return c.differ(t, c.sign_of(l.odd));
  });
}

Vec atan2(Emitter& e, Vec y, Vec x) {
  const Calc c(e);
  const Vec one = c.k(1), zero = c.k(0);
  const Vec ax = c.op(VecUnary::abs, x), ay = c.op(VecUnary::abs, y);
  const Vec high = c.max(ax, ay), low = c.min(ax, ay);
  Vec t = c.select(c.cmp(Compare::eq, low, high), one, c.div(low, high));  // inf / inf is 1 here
  t = c.select(c.cmp(Compare::eq, low, zero), zero, t);
  // atan(t) = pi/4 + atan((t - 1) / (t + 1)) for t > tan(pi/8)
  const Vec upper = c.cmp(Compare::gt, t, c.k(0.414213562373095f));
  const Vec u = c.select(upper, c.div(c.sub(t, one), c.add(t, one)), t);
  const Vec z = c.mul(u, u);
  const Vec p = c.polynomial(z, {8.05374449538e-2f, -1.38776856032e-1f, 1.99777106478e-1f, -3.33329491539e-1f});
  Vec r = c.madd(c.mul(p, z), u, u);
  r = c.add(r, c.op(VecBinary::and_, upper, c.k(0.785398163397448f)));
  r = c.select(c.cmp(Compare::gt, ay, ax), c.sub(c.k(1.57079632679490f), r), r);
  r = c.select(c.shr(x, 31), c.sub(c.k(3.14159265358979f), r), r);  // the sign bit: -0 counts as negative
  r = c.op(VecBinary::or_, r, c.op(VecBinary::and_, y, c.ki(INT32_MIN)));
  r = c.select(c.cmp(Compare::eq, x, x), r, x);
  return c.select(c.cmp(Compare::eq, y, y), r, y);
}

}  // namespace kiln::math
