#include "jit/math.h"

#include <cstdint>
#include <limits>

namespace kiln::math {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Three-address arithmetic with fresh registers: reads like the formula.
class Calc {
 public:
  explicit Calc(Emitter& emitter) : e(emitter) {}
  Vec k(float value) const {
    const Vec v = e.vec();
    e.splat(v, value);
    return v;
  }
  Vec ki(int32_t value) const {
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
  Vec add(Vec a, Vec b) const { return op(VecBinary::add, a, b); }
  Vec sub(Vec a, Vec b) const { return op(VecBinary::sub, a, b); }
  Vec mul(Vec a, Vec b) const { return op(VecBinary::mul, a, b); }
  Vec div(Vec a, Vec b) const { return op(VecBinary::div, a, b); }
  Vec min(Vec a, Vec b) const { return op(VecBinary::min, a, b); }
  Vec max(Vec a, Vec b) const { return op(VecBinary::max, a, b); }
  Vec madd(Vec a, Vec b, Vec c) const {
    const Vec v = e.vec();
    e.madd(v, a, b, c);
    return v;
  }
  Vec nmadd(Vec a, Vec b, Vec c) const {
    const Vec v = e.vec();
    e.nmadd(v, a, b, c);
    return v;
  }
  Vec cmp(Compare c, Vec a, Vec b) const {
    const Vec v = e.vec();
    e.compare(v, Lane::f32, c, a, b);
    return v;
  }
  Vec select(Vec mask, Vec a, Vec b) const {
    const Vec v = e.vec();
    e.select(v, mask, a, b);
    return v;
  }
  Vec shl(Vec a, int bits) const {
    const Vec v = e.vec();
    e.shift_left(v, a, bits);
    return v;
  }
  Vec shr(Vec a, int bits) const {
    const Vec v = e.vec();
    e.shift_right(v, a, bits);
    return v;
  }
  /// Horner's scheme, highest coefficient first.
  Vec polynomial(Vec x, std::initializer_list<float> coefficients) const {
    Vec p{};
    for (float c : coefficients) p = p.id < 0 ? k(c) : madd(p, x, k(c));
    return p;
  }

  Emitter& e;
};

}  // namespace

namespace {

// 1.5·2^23: adding it rounds to an integer, which then stands in the low bits of the sum.
constexpr float kMagic = 12582912.0f;
constexpr int32_t kMagicBits = 0x4b400000;

/// exp(x − n·ln 2), |x − n·ln 2| ≤ ln 2 / 2.
Vec exp_reduced(const Calc& c, Vec x, Vec n) {
  const Vec r = c.nmadd(n, c.k(-2.12194440e-4f), c.nmadd(n, c.k(0.693359375f), x));
  const Vec p = c.polynomial(
      r, {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f});
  return c.madd(p, c.mul(r, r), c.add(r, c.k(1)));
}

}  // namespace

// Clamps read max(min(x, high), low) in this order of operands, which keeps a NaN in x.

Vec exp(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(89.0f)), c.k(-104.0f));
  const Vec magic = c.k(kMagic);
  const Vec sum = c.madd(x, c.k(1.44269504088896f), magic);
  const Vec y = exp_reduced(c, x, c.sub(sum, magic));
  // 2^n in two steps, so that results in the denormal range and next to overflow come out right
  const Vec i = c.op(VecBinary::i32_sub, sum, c.ki(kMagicBits));
  const Vec half = c.shr(i, 1);
  const Vec rest = c.op(VecBinary::i32_sub, i, half);
  const Vec bias = c.ki(127);
  const Vec s1 = c.shl(c.op(VecBinary::i32_add, half, bias), 23), s2 = c.shl(c.op(VecBinary::i32_add, rest, bias), 23);
  return c.mul(c.mul(y, s1), s2);
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
  const Vec p = c.polynomial(x, {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f});
  const Vec small = c.madd(c.mul(x, x), p, x);
  return c.select(c.cmp(Compare::lt, c.op(VecUnary::abs, x), c.k(0.35f)), small, big);
}

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
  Vec result = c.madd(n, c.k(0.693359375f), c.add(m, y));
  result = c.select(c.cmp(Compare::eq, x0, c.k(0)), c.k(-kInf), result);
  result = c.select(c.cmp(Compare::eq, x0, c.k(kInf)), x0, result);
  return c.select(c.cmp(Compare::ge, x0, c.k(0)), result, c.k(kNan));
}

Vec log1p(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec u = c.add(x, c.k(1));
  const Vec d = c.sub(u, c.k(1));
  const Vec corrected = c.mul(log(e, u), c.div(x, d));
  const Vec exact = c.select(c.cmp(Compare::eq, d, c.k(0)), x, corrected);
  return c.select(c.cmp(Compare::lt, x, c.k(kInf)), exact, c.add(x, c.k(0)));
}

Vec erf(Emitter& e, Vec x0) {
  const Calc c(e);
  const Vec x = c.max(c.min(x0, c.k(4)), c.k(-4));
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
  const Vec x = c.max(c.min(x0, c.k(7.90531110763549805f)), c.k(-7.90531110763549805f));
  const Vec z = c.mul(x, x);
  const Vec p =
      c.polynomial(z, {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f, 5.12229709037114e-08f,
                       1.48572235717979e-05f, 6.37261928875436e-04f, 4.89352455891786e-03f});
  const Vec q =
      c.polynomial(z, {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f, 4.89352518554385e-03f});
  const Vec small = c.cmp(Compare::lt, c.op(VecUnary::abs, x0), c.k(0.0004f));
  return c.select(small, x0, c.div(c.mul(p, x), q));
}

Vec sigmoid(Emitter& e, Vec x) {
  const Calc c(e);
  const Vec one = c.k(1);
  // exp_flushed answers inf from 88.4 to 89: 0 comes out where the sigmoid is below 5e-39
  return c.div(one, c.add(one, exp_flushed(e, c.min(c.op(VecUnary::neg, x), c.k(89)))));
}

Vec pow(Emitter& e, Vec x, Vec y) {
  const Calc c(e);
  const Vec zero = c.k(0), one = c.k(1);
  const Vec magnitude = exp(e, c.mul(y, log(e, c.op(VecUnary::abs, x))));
  const Vec whole = c.cmp(Compare::eq, c.op(VecUnary::floor, y), y);
  const Vec half = c.mul(y, c.k(0.5f));
  const Vec even = c.cmp(Compare::eq, c.op(VecUnary::floor, half), half);
  const Vec negative = c.select(whole, c.select(even, magnitude, c.op(VecUnary::neg, magnitude)), c.k(kNan));
  const Vec value = c.select(c.cmp(Compare::lt, x, zero), negative, magnitude);
  return c.select(c.op(VecBinary::or_, c.cmp(Compare::eq, y, zero), c.cmp(Compare::eq, x, one)), one, value);
}

namespace {

/// sin for quadrant offset 0, cos for 1.
Vec sine(Emitter& e, Vec x, int quadrant) {
  const Calc c(e);
  const Vec n = c.op(VecUnary::round, c.mul(x, c.k(0.636619772367581343f)));
  Vec r = c.nmadd(n, c.k(1.5703125f), x);
  r = c.nmadd(n, c.k(4.837512969970703125e-4f), r);
  r = c.nmadd(n, c.k(7.549789948768648e-8f), r);
  const Vec q = c.op(VecBinary::i32_add, c.op(VecUnary::f32_to_i32, n), c.ki(quadrant));
  const Vec z = c.mul(r, r);
  const Vec s = c.madd(c.mul(c.polynomial(z, {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f}), z), r, r);
  const Vec k =
      c.madd(c.mul(z, z), c.polynomial(z, {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f}),
             c.nmadd(z, c.k(0.5f), c.k(1)));
  const Vec odd = c.shr(c.shl(q, 31), 31);
  const Vec value = c.select(odd, k, s);
  const Vec sign = c.shl(c.op(VecBinary::and_, q, c.ki(2)), 30);
  return c.op(VecBinary::xor_, value, sign);
}

}  // namespace

Vec sin(Emitter& e, Vec x) { return sine(e, x, 0); }
Vec cos(Emitter& e, Vec x) { return sine(e, x, 1); }

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

Vec fmod(Emitter& e, Vec a, Vec b) {
  const Calc c(e);
  const Vec sign = c.op(VecBinary::and_, a, c.ki(INT32_MIN));
  const Vec x = c.op(VecUnary::abs, a), y = c.op(VecUnary::abs, b), zero = c.k(0);
  // the rounded quotient may be one off, to either side
  Vec r = c.nmadd(c.op(VecUnary::trunc, c.div(x, y)), y, x);
  r = c.select(c.cmp(Compare::lt, r, zero), c.add(r, y), r);
  r = c.select(c.cmp(Compare::ge, r, y), c.sub(r, y), r);
  r = c.select(c.cmp(Compare::eq, y, c.k(kInf)), c.nmadd(x, zero, x),
               r);  // x mod inf = x, and NaN for inf mod inf
  return c.op(VecBinary::or_, r, sign);
}

}  // namespace kiln::math
