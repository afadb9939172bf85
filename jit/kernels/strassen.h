// One level of Strassen's algorithm in Winograd's form: a product as seven products of its quadrants, which together
// multiply 7/8 times as much as the direct form.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Rows of an M block. Each block is divided into its own quadrants.
int64_t strassen_rows(const ContractionSpec& flattened, const Schedule& schedule);
/// The product of two quadrants against one panel: rows that share their panels, half of k, `columns` columns.
ContractionSpec strassen_product(const ContractionSpec& flattened, int64_t rows, int64_t columns);

// What the contraction family does with such a schedule (see Family).
int64_t strassen_units(const ContractionSpec& spec, const Schedule& schedule, const Target& target);
int64_t strassen_scratch(const ContractionSpec& spec, const Schedule& schedule, const Target& target);
bool strassen_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target);
Func emit_strassen(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, const std::string& name);

}  // namespace kiln
