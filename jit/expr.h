// A pointwise expression: a list of instructions in static single assignment form, the last one is the result.
// It is what a `map` node computes, and what a fused epilogue applies to an accumulator before it is stored.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace kiln {

/// Lanes are 32 bits wide whatever the tensor in memory: f32, i32 (narrower and 64-bit integers are widened or
/// truncated on load), or a mask (all ones or all zeros; a boolean in memory).
enum class Lane : uint8_t { f32, i32, mask };

enum class PointOp : uint8_t {
  input,     ///< operand number `a`; `lane` says how it is read
  constant,  ///< `value` (i32 and mask lanes: its integer value)
  // f32 × f32 → f32, and i32 × i32 → i32 for the first six
  add,
  sub,
  mul,
  min,
  max,
  div,
  pow,
  atan2,
  fmod,  // fmod: sign of the dividend, as C
  // f32 → f32 (neg, abs also i32)
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
  // comparisons, f32 or i32 → mask
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  // mask × mask → mask (and, or, xor also i32)
  logical_and,
  logical_or,
  logical_xor,
  logical_not,
  select,   ///< a (mask) ? b : c
  to_f32,   ///< from i32, or from mask as 0/1
  to_i32,   ///< from f32 by truncation, or from mask as 0/1
  to_mask,  ///< x != 0
};

struct PointInst {
  PointOp op = PointOp::input;
  Lane lane = Lane::f32;         ///< of the result
  uint16_t a = 0, b = 0, c = 0;  ///< earlier instructions (for `input`: the operand number)
  float value = 0;

  bool operator==(const PointInst& o) const {
    return op == o.op && lane == o.lane && a == o.a && b == o.b && c == o.c &&
           std::memcmp(&value, &o.value, sizeof value) == 0;
  }
};

int arity(PointOp op);
/// Whether it is computed by a polynomial, or in rounds: with many constants and values at once.
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

  // Builders: append an instruction (sharing an equal one that stands already) and return its index.
  uint16_t input(int operand, Lane lane = Lane::f32);
  uint16_t constant(float value, Lane lane = Lane::f32);
  uint16_t unary(PointOp op, uint16_t a);
  uint16_t binary(PointOp op, uint16_t a, uint16_t b);
  uint16_t select(uint16_t mask, uint16_t a, uint16_t b);
};

/// The expression that just reads operand 0.
Expr identity_expr(Lane lane = Lane::f32);

/// outer with its operand `slot` replaced by the result of `inner`. The caller says where the operands of each end up:
/// operand i of inner becomes inner_map[i], operand i of outer (i != slot) becomes outer_map[i].
Expr compose(const Expr& outer, int slot, const Expr& inner, const std::vector<int>& outer_map,
             const std::vector<int>& inner_map);

/// One line, stable: part of a kernel's identity ("in0;c6;min(0,1)").
std::string to_string(const Expr& expr);

}  // namespace kiln
