// One output row of a DepthwiseSpec.
#pragma once

#include <string>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

/// Emits row(out, in, w, epilogue operands…): all columns of one output row. Each pointer is at the start of that row.
Func emit_depthwise_row(Emitter& emitter, const DepthwiseSpec& spec, const Schedule& schedule, const std::string& name);

}  // namespace kiln
