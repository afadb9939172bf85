// Integer arithmetic on vector registers that the emitter lacks: 64-bit integers as pairs of 32-bit lanes, and
// division of both widths. All of it is exact and wraps around. jit/expr.h defines each operation, and apply_integer
// computes it for single numbers.
#pragma once

#include "jit/emitter.h"

namespace kiln::integer {

/// The two halves of a 64-bit integer in each lane. For 32-bit elements only `low` is used.
struct Wide {
  Vec low, high = {};
};

Vec divide(Emitter& e, Vec a, Vec b);  ///< of i32 lanes

Wide constant(Emitter& e, int64_t value);
Wide from_i32(Emitter& e, Vec x);
Wide from_f32(Emitter& e, Vec x);                              ///< truncated, clamped to the range, 0 for NaN
Wide unsigned_from_f32(Emitter& e, Vec x);                     ///< the same up to 2^64; of negative numbers as from_f32
Vec to_f32(Emitter& e, const Wide& x, bool is_signed = true);  ///< rounded once
Vec to_mask(Emitter& e, const Wide& x);
Wide add(Emitter& e, const Wide& a, const Wide& b);
Wide subtract(Emitter& e, const Wide& a, const Wide& b);
Wide multiply(Emitter& e, const Wide& a, const Wide& b);
Wide divide(Emitter& e, const Wide& a, const Wide& b, bool is_signed = true);
Wide power(Emitter& e, const Wide& a, const Wide& b, bool is_signed = true);
Wide absolute(Emitter& e, const Wide& a);
Wide bits(Emitter& e, VecBinary op, const Wide& a, const Wide& b);  ///< and, or, xor
Wide shift(Emitter& e, PointOp op, const Wide& a, const Wide& by, bool is_signed = true);
Wide shift(Emitter& e, PointOp op, const Wide& a, int64_t by, bool is_signed = true);
Vec compare(Emitter& e, Compare cmp, const Wide& a, const Wide& b, bool is_signed = true);
Wide select(Emitter& e, Vec mask, const Wide& a, const Wide& b);

}  // namespace kiln::integer
