#include "jit/half.h"

#include "jit/calc.h"

namespace kiln {

Vec from_half(Emitter& e, Vec bits, DType type) {
  const math::Calc c(e);
  const Vec high = c.shl(bits, 16);
  if (type == DType::bf16) return high;
  const Vec magnitude = c.both(c.shl(bits, 13), c.ki(0x0fffe000));
  const Vec special = c.both(c.icmp(Compare::gt, magnitude, c.ki(0x0f7fe000)), c.ki(0x7f800000));
  return c.either(c.either(c.mul(magnitude, c.k(0x1p112f)), special), c.sign_of(high));
}

Vec to_half(Emitter& e, Vec v, DType type) {
  const math::Calc c(e);
  const Vec rest = c.abs(v), sign = c.logical_shr(c.sign_of(v), 16);
  const auto rounded = [&](Vec x, int bits) {  // drops the low bits
    const Vec odd = c.both(c.logical_shr(x, bits), c.ki(1));
    return c.logical_shr(c.iadd(c.iadd(x, odd), c.ki((1 << (bits - 1)) - 1)), bits);
  };
  const Vec nan = c.cmp(Compare::ne, v, v);
  if (type == DType::bf16) return c.either(sign, c.select(nan, c.ki(0x7fc0), rounded(rest, 16)));
  const Vec small = c.isub(c.add(rest, c.k(0.5f)), c.ki(0x3f000000));  // the sum's last bit is the smallest half
  Vec y = c.select(c.icmp(Compare::lt, rest, c.ki(0x38800000)), small, rounded(c.isub(rest, c.ki(0x38000000)), 13));
  y = c.select(c.icmp(Compare::gt, rest, c.ki(0x477fffff)), c.ki(0x7c00), y);
  return c.either(sign, c.select(nan, c.ki(0x7e00), y));
}

}  // namespace kiln
