#include "jit/math.h"

#include <cmath>

#include "jit/calc.h"

namespace kiln::math {
namespace {

/// exp(x − n·ln 2), |x − n·ln 2| ≤ ln 2 / 2.
Vec exp_reduced(const Calc& c, Vec x, Vec n) {
  const Vec r = c.nmadd(n, c.k(-2.12194440e-4f), c.nmadd(n, c.k(0.693359375f), x));
  const Vec p = c.polynomial(
      r, {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f});
  return c.madd(p, c.mul(r, r), c.add(r, c.k(1)));
}

}  // namespace

// Clamps are max(min(x, high), low), in this order of operands, which keeps a NaN in x.

Vec exp(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(89.0f)), c.k(-104.0f));
  const Vec magic = c.k(kMagic);
  const Vec sum = c.madd(x, c.k(1.44269504088896f), magic);
  const Vec y = exp_reduced(c, x, c.sub(sum, magic));
  return c.scale(y, c.isub(sum, c.ki(kMagicBits)));
}

Vec exp2(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(130)), c.k(-152));
  const Vec magic = c.k(kMagic);
  const Vec sum = c.add(x, magic);
  const Vec r = c.sub(x, c.sub(sum, magic));
  const Vec p =
      c.polynomial(r, {1.53533532e-4f, 1.33988762e-3f, 9.61843785e-3f, 5.55033237e-2f, 2.40226477e-1f, 6.93147182e-1f});
  return c.scale(c.madd(p, r, c.k(1)), c.isub(sum, c.ki(kMagicBits)));
}

Vec exp_flushed(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(x0, c.k(-88.029f));  // n = -127 there, for which the scale is 0
  const Vec magic = c.k(kMagic + 127);
  const Vec sum = c.madd(x, c.k(1.44269504088896f), magic);
  const Vec y = exp_reduced(c, x, c.sub(sum, magic));
  return c.mul(y, c.shl(sum, 23));
}

Vec expm1(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec big = c.sub(exp(e, x), c.k(1));
  const Vec p = c.polynomial(x, {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f});
  return c.select(c.cmp(Compare::lt, c.abs(x), c.k(0.35f)), c.mul(p, x), big);  // a product keeps -0
}

// Where erf and tanh saturate, their rationals are exactly 1, whether a step rounds once or twice. Otherwise GELU of
// huge negative numbers would not be 0.

Vec erf(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(3.99473643f)), c.k(-3.99473643f));
  const Vec z = c.mul(x, x);
  const Vec p =
      c.polynomial(z, {-2.72614225801306e-10f, 2.77068142495902e-08f, -2.10102402082508e-06f, -5.69250639462346e-05f,
                       -7.34990630326855e-04f, -2.95459980854025e-03f, -1.60960333262415e-02f});
  const Vec q = c.polynomial(z, {-1.45660718464996e-05f, -2.13374055278905e-04f, -1.68282697438203e-03f,
                                 -7.37332916720468e-03f, -1.42647390514189e-02f});
  return c.div(c.mul(p, x), q);
}

Vec tanh(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(9.05597973f)), c.k(-9.05597973f));
  const Vec z = c.mul(x, x);
  const Vec p = c.polynomial(
      z, {-5.64167616e-14f, 4.08741721e-11f, -1.75837886e-8f, 1.04674991e-5f, 3.03609832e-3f, 0.130225539f, 1.0f});
  const Vec q = c.polynomial(z, {2.44866096e-4f, 0.0242227633f, 0.463558376f, 1.0f});
  return c.div(c.mul(p, x), q);
}

Vec sigmoid(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec one = c.k(1);
  // exp_flushed gives inf from 88.4 to 89, so the result is 0 where the sigmoid is below 5e-39
  return c.div(one, c.add(one, exp_flushed(e, c.min(c.op(VecUnary::neg, x), c.k(89)))));
}

namespace {

/// Subtracts a multiple of d from r, exactly, such that |r| is below d. r/d must be below 2^127. Each round takes 11
/// bits of the quotient, whose products with the halves of d are exact. Lanes with |r| below d stay.
void reduce_by(const Calc& c, Vec r, Vec d) {
  const Vec hi = c.leading(d), lo = c.sub(d, hi), on = c.cmp(Compare::ge, c.abs(r), d);
  const Int again = c.e.integer();
  c.e.do_while(
      [&] {
        const Vec bits = c.both(c.iadd(c.div(r, d), c.ki(0x1000)), c.ki(~0x1fff));  // the nearest with 11
        const Vec q = c.op(VecUnary::round, bits);
        c.e.select(r, on, c.nmadd(q, lo, c.nmadd(q, hi, r)), r);
        c.e.compare(on, Lane::f32, Compare::ge, c.abs(r), d);
        c.e.any(again, on);
      },
      again, Compare::ne, 0);
}

}  // namespace

Vec fmod(Emitter& e, Vec a, Vec b) {
  const Calc c(e);
  const Vec y = c.abs(b), r = e.vec();
  e.op(VecUnary::abs, r, a);
  // Large quotients take steps of 96 bits. Large numbers are scaled by a quarter, because their products would
  // overflow.
  const Vec far = c.mul(y, c.k(0x1p96f)), rare = c.cmp(Compare::ge, r, c.min(far, c.k(0x1p126f)));
  e.if_any(rare, [&] {
    const Vec quarter = c.mul(r, c.k(0.25f)), step = c.mul(far, c.k(0.25f));
    reduce_by(c, quarter, c.mul(step, c.k(0x1p96f)));
    reduce_by(c, quarter, step);
    reduce_by(c, quarter, c.select(c.cmp(Compare::ge, y, c.k(1)), c.mul(y, c.k(0.25f)), c.k(HUGE_VALF)));
    e.select(r, rare, c.mul(quarter, c.k(4)), r);
  });
  reduce_by(c, r, y);
  const Vec rest = c.select(c.cmp(Compare::lt, r, c.k(0)), c.add(r, y), r);
  return c.select(c.cmp(Compare::eq, b, b), c.either(rest, c.sign_of(a)), b);
}

}  // namespace kiln::math
