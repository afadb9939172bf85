// The fused expression between an accumulator and the store, for every family.
#pragma once

#include <optional>

#include "jit/emitter.h"
#include "jit/expr_emit.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// `lanes` elements of an operand whose neighbours lie `stride` elements apart (0: one element in every lane).
Vec load_strided(Emitter& e, Mem at, DType type, int64_t stride, int lanes);
/// The reverse; `stride` is not 0.
void store_strided(Emitter& e, Mem at, Vec v, DType type, int64_t stride, int lanes);

/// The same for the lanes of an expression: 64-bit lanes are pairs, all others are in `low`.
integer::Wide load_strided(Emitter& e, Mem at, DType type, Lane lane, int64_t stride, int lanes);
void store_strided(Emitter& e, Mem at, const integer::Wide& v, DType type, Lane lane, int64_t stride, int lanes);

/// The value to store for `acc`. `operand(i)` is the address of element 0 of fused operand i for this vector. Its
/// innermost stride is that of the spec.
Vec apply_epilogue(Emitter& e, const Epilogue& epilogue, Vec acc, int lanes, FunctionRef<Mem(int operand)> operand);

/// As text: everything that a contraction's epilogue code depends on, except the strides from pixel to pixel.
std::string code_text(const Epilogue& epilogue);
/// Whether an operand of a contraction's epilogue differs from pixel to pixel.
inline bool moves(const FusedOperand& o) { return o.strides[2] || o.strides[3]; }

/// The operand that is a bias: the epilogue only adds it to the sum, and it is the same for every pixel.
std::optional<size_t> bias_of(const Epilogue& epilogue);
/// The expression without the bias, for sums that begin with it.
Expr without_bias(const Epilogue& epilogue);

/// The dtype of a result in memory: f32 without an epilogue, else that of the expression's lane.
DType stored_type(const Epilogue& epilogue, DType plain = DType::f32);

}  // namespace kiln
