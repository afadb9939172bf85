// Winograd's minimal filtering F(m×m, 3×3) computes a 3×3 convolution of stride 1 as (m+2)² matrix products. Together
// they multiply (m+2)²/(9m²) times as often as the direct form: 4/9 for m = 2, 1/4 for m = 4. For stride 2 it is F(m×m,
// 2×2) over the phases: (m+1)² products. Each sums four phases, or two at infinity. They multiply (2m+1)²/(9m²) times
// as often: 25/36 and 9/16.
#pragma once

#include "jit/family.h"
#include "jit/kernels/winograd_transform.h"

namespace kiln {

/// The form in which a schedule filters a convolution that allows it (ContractionSpec::winograd).
WinogradForm winograd_form(const ContractionSpec& spec, Algorithm algorithm);
/// m×m tiles that cover the output: the rows of each product.
int64_t winograd_tiles(const ContractionSpec& spec, int m);

// What the contraction family does with such a schedule (see Family).
int64_t winograd_units(const ContractionSpec& spec, const Schedule& schedule);
int64_t winograd_scratch(const ContractionSpec& spec, const Schedule& schedule, const Target& target);
bool winograd_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target);
Func emit_winograd(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, const std::string& name);

}  // namespace kiln
