// Logarithms and powers.
#include <limits>

#include "jit/calc.h"
#include "jit/math.h"

namespace kiln::math {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The logarithm of 0, infinity, negative numbers and NaN.
Vec with_limits(const Calc& c, Vec x, Vec result) {
  result = c.select(c.cmp(Compare::eq, x, c.k(0)), c.k(-kInf), result);
  result = c.select(c.cmp(Compare::eq, x, c.k(kInf)), x, result);
  return c.select(c.cmp(Compare::ge, x, c.k(0)), result, c.k(kNan));
}

/// hi + lo, where hi has 12 bits.
struct Pair {
  Vec hi, lo;
};

/// log2 of finite x > 0 with a relative error of 2^-33: n + log2 p + log2(m/p), with m from √¾ to √3 and p of 1 or 1½.
/// log2(m/p) is 2/ln 2 · (s + s³/3 + …) with s = (m − p) / (m + p), at most 0.1. Large terms are kept in two parts,
/// whose products are exact.
Pair log2_pair(const Calc& c, Vec x0) {
  const Vec tiny = c.cmp(Compare::lt, x0, c.k(1.17549435e-38f));
  const Vec x = c.select(tiny, c.mul(x0, c.k(16777216.0f)), x0);
  const Vec exponent = c.shr(c.isub(x, c.ki(0x3f5db3d7)), 23);  // that are the bits of √¾
  const Vec m = c.isub(x, c.shl(exponent, 23)), one = c.k(1);
  const Vec upper = c.cmp(Compare::gt, m, c.k(1.22474487f));
  const Vec p = c.add(one, c.both(upper, c.k(0.5f)));
  const Vec n =
      c.add(c.sub(c.op(VecUnary::i32_to_f32, exponent), c.both(tiny, c.k(24))), c.both(upper, c.k(0.5849609375f)));
  const Vec f = c.sub(m, p), t = c.add(m, p), inverse = c.div(one, t);
  const Vec t_hi = c.leading(t), t_lo = c.add(c.sub(t, t_hi), c.sub(m, c.sub(t, p)));
  const Vec s_hi = c.leading(c.mul(f, inverse));
  const Vec s_lo = c.mul(c.nmadd(s_hi, t_lo, c.nmadd(s_hi, t_hi, f)), inverse);
  const Vec s = c.add(s_hi, s_lo), z = c.mul(s, s);
  const Vec cube = c.mul(c.mul(s, z), c.polynomial(z, {0.418579549f, 0.577039957f, 0.961796761f}));
  const Vec hi = c.mul(s_hi, c.k(2.88476562f));
  const Vec rest = c.madd(s_hi, c.k(6.24456778e-4f), c.madd(s_lo, c.k(2.88539004f), cube));
  const Vec lo = c.add(rest, c.both(upper, c.k(1.56322116e-6f)));
  const Vec sum = c.leading(c.add(n, c.add(hi, lo)));
  return {sum, c.sub(lo, c.sub(c.sub(sum, n), hi))};
}

/// 2^(hi + lo) within 0.7 units in the last place, for finite arguments.
Vec exp2_of(const Calc& c, Vec hi, Vec lo) {
  const Vec magic = c.k(kMagic), sum = c.add(c.add(hi, lo), magic);
  hi = c.sub(hi, c.sub(sum, magic));
  const Vec r = c.leading(c.add(hi, lo)), rest = c.sub(lo, c.sub(r, hi));
  // e^(u + v) = 1 + u + (v + w²·E(w)), w = u + v
  const Vec u = c.mul(r, c.k(0.693115234f));
  const Vec v = c.madd(rest, c.k(0.693147182f), c.mul(r, c.k(3.19461849e-5f)));
  const Vec w = c.add(u, v), one = c.k(1), y = c.add(one, u);
  const Vec p = c.polynomial(w, {1.39553449e-3f, 8.37169681e-3f, 4.16661315e-2f, 1.66664943e-1f, 0.5f});
  const Vec small = c.add(c.add(c.sub(one, y), u), c.madd(c.mul(w, w), p, v));
  return c.scale(c.add(y, small), c.isub(sum, c.ki(kMagicBits)));
}

}  // namespace

Vec log(Emitter& e, Vec x0) {
  const Calc c(e);
  // denormals are scaled into the normal range first
  const Vec tiny = c.cmp(Compare::lt, x0, c.k(1.17549435e-38f));
  const Vec x = c.select(tiny, c.mul(x0, c.k(8388608.0f)), x0);
  const Vec exponent = c.op(VecBinary::i32_sub, c.shr(x, 23), c.ki(126));
  Vec n = c.op(VecUnary::i32_to_f32, exponent);
  n = c.select(tiny, c.sub(n, c.k(23)), n);
  Vec m = c.op(VecBinary::or_, c.op(VecBinary::and_, x, c.ki(0x007fffff)), c.ki(0x3f000000));  // [0.5, 1)
  const Vec low = c.cmp(Compare::lt, m, c.k(0.707106781186547524f));
  n = c.select(low, c.sub(n, c.k(1)), n);
  m = c.sub(c.select(low, c.add(m, m), m), c.k(1));
  const Vec z = c.mul(m, m);
  Vec y = c.polynomial(m, {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                           -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f});
  y = c.mul(c.mul(y, m), z);
  y = c.madd(n, c.k(-2.12194440e-4f), y);
  y = c.nmadd(z, c.k(0.5f), y);
  const Vec result = c.madd(n, c.k(0.693359375f), c.add(m, y));
  return with_limits(c, x0, result);
}

Vec log1p(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec u = c.add(x, c.k(1));
  const Vec d = c.sub(u, c.k(1));
  const Vec corrected = c.mul(log(e, u), c.div(x, d));
  const Vec exact = c.select(c.cmp(Compare::eq, d, c.k(0)), x, corrected);
  return c.select(c.cmp(Compare::lt, x, c.k(kInf)), exact, c.add(x, c.k(0)));
}

Vec log2(Emitter& e, Vec x) {
  const Calc c(e);
  const Pair p = log2_pair(c, x);
  return with_limits(c, x, c.add(p.hi, p.lo));
}

Vec log10(Emitter& e, Vec x) {
  const Calc c(e);
  const Pair p = log2_pair(c, x);
  // log10 2 in two parts
  const Vec lo = c.madd(p.lo, c.k(0.30103001f), c.mul(p.hi, c.k(4.60503898e-6f)));
  return with_limits(c, x, c.add(c.mul(p.hi, c.k(0.301025391f)), lo));
}

Vec pow(Emitter& e, Vec x, Vec y) {
  const Calc c(e);
  const Vec zero = c.k(0), one = c.k(1), inf = c.k(kInf);
  const Vec ax = c.abs(x), ay = c.abs(y);
  const Pair p = log2_pair(c, ax);
  // y·log2|x|. A larger y changes nothing, because |log2| is 0 or more than 2^-24
  const Vec bounded = c.max(c.min(y, c.k(4294967296.0f)), c.k(-4294967296.0f));
  const Vec y_hi = c.leading(bounded);
  const Vec hi = c.mul(y_hi, p.hi), lo = c.madd(bounded, p.lo, c.mul(c.sub(bounded, y_hi), p.hi));
  const Vec z = c.add(hi, lo), in_range = c.cmp(Compare::lt, c.abs(z), c.k(160));
  const Vec limit = c.max(c.min(z, c.k(160)), c.k(-160));
  Vec value = exp2_of(c, c.select(in_range, hi, limit), c.both(in_range, lo));
  // powers of 0 and infinity, infinite powers: infinity or 0
  const Vec extreme =
      c.either(c.either(c.cmp(Compare::eq, ax, zero), c.cmp(Compare::eq, ax, inf)), c.cmp(Compare::eq, ay, inf));
  const Vec grows = c.differ(c.cmp(Compare::gt, ax, one), c.cmp(Compare::lt, y, zero));
  value = c.select(extreme, c.both(grows, inf), value);
  value = c.select(c.cmp(Compare::eq, ax, one), one, value);
  // the sign of odd powers; fractional powers of negative numbers are NaN
  const Vec half = c.mul(y, c.k(0.5f));
  const Vec whole = c.cmp(Compare::eq, c.op(VecUnary::floor, y), y);
  const Vec even = c.cmp(Compare::eq, c.op(VecUnary::floor, half), half);
  value = c.either(value, c.op(VecBinary::andnot, c.both(c.sign_of(x), whole), even));
  const Vec undefined = c.op(VecBinary::andnot, c.cmp(Compare::lt, x, zero), c.either(whole, extreme));
  value = c.select(undefined, c.k(kNan), value);
  const Vec sum = c.add(ax, ay);
  value = c.select(c.cmp(Compare::eq, sum, sum), value, sum);
  return c.select(c.either(c.cmp(Compare::eq, y, zero), c.cmp(Compare::eq, x, one)), one, value);
}

}  // namespace kiln::math
