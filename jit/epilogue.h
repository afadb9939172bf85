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

/// The same of elements as an expression has them: i64 lanes are pairs, all else is in `low`.
integer::Wide load_strided(Emitter& e, Mem at, DType type, Lane lane, int64_t stride, int lanes);
void store_strided(Emitter& e, Mem at, const integer::Wide& v, DType type, Lane lane, int64_t stride, int lanes);

/// The value to store for `acc`: `operand(i)` says where element 0 of fused operand i lies for this vector; its
/// innermost stride is that of the spec.
Vec apply_epilogue(Emitter& e, const Epilogue& epilogue, Vec acc, int lanes, FunctionRef<Mem(int operand)> operand);

/// Everything that the code of a contraction's epilogue depends on besides the strides from pixel to pixel, as text.
std::string code_text(const Epilogue& epilogue);
/// Whether an operand of a contraction's epilogue differs from pixel to pixel.
inline bool moves(const FusedOperand& o) { return o.strides[2] || o.strides[3]; }

/// The operand that an epilogue does nothing with but add it to the sum, if it is the same for every pixel (a bias).
std::optional<size_t> bias_of(const Epilogue& epilogue);
/// The expression for sums that have begun with the bias.
Expr without_bias(const Epilogue& epilogue);

/// The dtype in memory of a result: f32 without an epilogue, else by the expression's lane.
DType stored_type(const Epilogue& epilogue, DType plain = DType::f32);

}  // namespace kiln
