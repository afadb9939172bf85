// Dot products of one vector with rows as they lie in memory.
#pragma once

#include <string>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// Emits dots(x, rows, sums, out, epilogue operands…): out[j] = epilogue(x · row j) for j < product.n. Rows have
/// product.k elements and are `row` elements apart. `sums` holds n floats and may be `out`. Rounded rows have one more
/// parameter, the scale of the first row.
Func emit_dots(Emitter& emitter, const ContractionSpec& product, int64_t row, const std::string& name);

/// The contraction family's entry for a spec with b_row, and its answers for such a spec.
Func emit_matrix_vector(Emitter& emitter, const ContractionSpec& spec, const std::string& name);
int64_t matrix_vector_units(const ContractionSpec& spec);
int64_t matrix_vector_scratch();

}  // namespace kiln
