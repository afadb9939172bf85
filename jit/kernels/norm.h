// One row of a NormSpec.
#pragma once

#include <string>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// Emits row(out, in, [scale], [shift], epilogue operands…): `spec.cols` elements; `out` may be `in`.
Func emit_norm_row(Emitter& emitter, const NormSpec& spec, const std::string& name);

}  // namespace kiln
