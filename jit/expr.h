// A pointwise expression: a list of instructions in static single assignment form. The last one is the result.
// A `map` node computes one. A fused epilogue applies one to an accumulator before it is stored.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/dtype.h"

namespace kiln {

enum class PointOp : uint8_t {
  input,     ///< operand number `a`; `lane` says how it is read
  constant,  ///< `value`, in integer and mask lanes `integer` (a mask: 0 or 1)
  // f32 × f32 → f32. All but atan2 also take two integers. Integers divide towards zero. Divided by 0, the quotient is
  // 0 and the remainder is the dividend. A negative power of an integer is 0, except for the bases 1 and -1.
  add,
  sub,
  mul,
  min,
  max,
  div,
  pow,
  atan2,
  fmod,  // fmod: sign of the dividend, as C
  // f32 → f32 (neg, abs also of integers)
  neg,
  abs,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  exp2,
  log,
  log2,
  log10,
  log1p,
  expm1,
  erf,
  tanh,
  sigmoid,
  sin,
  cos,
  tan,
  floor,
  ceil,
  round,
  trunc,  // round: half to even
  // comparisons, of two numbers of one kind → mask
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  // mask × mask → mask (and, or, xor also of integers)
  logical_and,
  logical_or,
  logical_xor,
  logical_not,
  select,   ///< a (mask) ? b : c
  to_f32,   ///< from integers, rounded once, or from mask as 0/1
  to_i32,   ///< from f32: truncated, clamped to the range, 0 for NaN; from i64: the low bits; from mask
  to_mask,  ///< x != 0
  to_i64,   ///< as to_i32; from u64 and to it: the same bits
  // integer × integer → integer: shifts by b bits. If b is negative or not below the width, all bits are shifted out
  // (shr leaves the sign).
  shl,
  shr,
  to_u64,  ///< as to_i64; from f32 also beyond 2^63
};

struct PointInst {
  PointOp op = PointOp::input;
  Lane lane = Lane::f32;         ///< of the result
  uint16_t a = 0, b = 0, c = 0;  ///< earlier instructions (for `input`: the operand number)
  float value = 0;
  int64_t integer = 0;

  bool operator==(const PointInst& o) const {
    return op == o.op && lane == o.lane && a == o.a && b == o.b && c == o.c && integer == o.integer &&
           std::memcmp(&value, &o.value, sizeof value) == 0;
  }
};

/// The result of an integer operation on single numbers: with two operands, or neg or abs.
int64_t apply_integer(PointOp op, Lane lane, int64_t a, int64_t b);
/// The number of the lane that has the same low bits.
int64_t wrapped(int64_t value, Lane lane);
int arity(PointOp op);
/// Whether it is computed by a polynomial or in rounds, and so needs many registers at once.
bool is_polynomial(PointOp op);
const char* name_of(PointOp op);

struct Expr {
  std::vector<PointInst> insts;

  bool empty() const { return insts.empty(); }
  Lane lane() const { return insts.back().lane; }
  uint16_t last() const { return static_cast<uint16_t>(insts.size() - 1); }
  /// One more than the highest operand number that is read; 0 when none is.
  int num_inputs() const;
  bool operator==(const Expr& o) const { return insts == o.insts; }

  // Builders: append an instruction, or find an equal one, and return its index.
  uint16_t input(int operand, Lane lane = Lane::f32);
  uint16_t constant(float value);
  uint16_t integer(int64_t value, Lane lane);  ///< a constant of an integer lane (cut to its width) or a mask
  uint16_t unary(PointOp op, uint16_t a);
  uint16_t binary(PointOp op, uint16_t a, uint16_t b);
  uint16_t select(uint16_t mask, uint16_t a, uint16_t b);
};

/// Whether anything in it is a pair of words.
bool has_pairs(const Expr& expr);

/// The expression that just reads operand 0.
Expr identity_expr(Lane lane = Lane::f32);

/// `outer` with its operand `slot` replaced by the result of `inner`. The maps renumber the operands: operand i of
/// inner becomes inner_map[i], and operand i of outer (i != slot) becomes outer_map[i].
Expr compose(const Expr& outer, int slot, const Expr& inner, const std::vector<int>& outer_map,
             const std::vector<int>& inner_map);

/// One line, stable: part of a kernel's identity ("in0;c6;min(0,1)").
std::string to_string(const Expr& expr);

}  // namespace kiln
