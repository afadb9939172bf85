// Reductions whose results are 64-bit integers: sums and products of any integers, and everything of 64-bit ones.
#pragma once

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

inline bool is_wide(const ReduceSpec& s) {
  return s.dtype == DType::i64 || (s.dtype != DType::f32 && (s.kind == ReduceKind::sum || s.kind == ReduceKind::prod));
}

/// The body of unit(scratch, out, in). It computes `run` neighbours along the kept dim `lane_dim`. Without one
/// (SIZE_MAX) it computes one result; then lanes run along the reduced dim `row_dim`, if there is one.
void emit_wide_unit(Emitter& e, const ReduceSpec& s, size_t lane_dim, size_t row_dim, int64_t run);

}  // namespace kiln
