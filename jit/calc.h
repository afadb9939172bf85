// Three-address arithmetic for formulas on vector registers.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "jit/emitter.h"

namespace kiln::math {

// 1.5·2^23. Adding it rounds to an integer, which is then in the low bits of the sum.
constexpr float kMagic = 12582912.0f;
constexpr int32_t kMagicBits = 0x4b400000;

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
  Vec icmp(Compare c, Vec a, Vec b) const {
    const Vec v = e.vec();
    e.compare(v, Lane::i32, c, a, b);
    return v;
  }
  Vec iadd(Vec a, Vec b) const { return op(VecBinary::i32_add, a, b); }
  Vec isub(Vec a, Vec b) const { return op(VecBinary::i32_sub, a, b); }
  Vec imul(Vec a, Vec b) const { return op(VecBinary::i32_mul, a, b); }
  Vec both(Vec a, Vec b) const { return op(VecBinary::and_, a, b); }
  Vec either(Vec a, Vec b) const { return op(VecBinary::or_, a, b); }
  Vec differ(Vec a, Vec b) const { return op(VecBinary::xor_, a, b); }
  Vec abs(Vec a) const { return op(VecUnary::abs, a); }
  Vec sign_of(Vec a) const { return both(a, ki(INT32_MIN)); }
  /// The 12 leading bits. The product of two such numbers is exact, whether the target rounds once or twice.
  Vec leading(Vec a) const { return both(a, ki(~0xfff)); }
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
  Vec logical_shr(Vec a, int bits) const { return both(shr(a, bits), ki(static_cast<int32_t>(~0u >> bits))); }
  /// a·2^n for n from -252 to 254, in two steps. So results are right in the denormal range and near overflow.
  Vec scale(Vec a, Vec n) const {
    const Vec half = shr(n, 1), rest = isub(n, half), bias = ki(127);
    const Vec s1 = shl(iadd(half, bias), 23), s2 = shl(iadd(rest, bias), 23);
    return mul(mul(a, s1), s2);
  }
  /// Horner's scheme, highest coefficient first.
  Vec polynomial(Vec x, std::initializer_list<float> coefficients) const {
    Vec p{};
    for (float c : coefficients) p = p.id < 0 ? k(c) : madd(p, x, k(c));
    return p;
  }

  Emitter& e;
};

}  // namespace kiln::math
