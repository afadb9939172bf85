// What others use of a depthwise convolution.
#pragma once

#include <string>

#include "jit/family.h"

namespace kiln {

extern const FieldList kDepthwiseFields;
Work work_of(const DepthwiseSpec& spec);

/// Taps of a line that are held in registers at once. A long line is taken in parts, which leaves registers for
/// outputs.
int64_t depthwise_line(const DepthwiseSpec& spec, const Target& target);

/// Emits row(out, in, w, epilogue operands…): all columns of one output row. Each pointer is at the start of that row.
Func emit_depthwise_row(Emitter& emitter, const DepthwiseSpec& spec, const Schedule& schedule, const std::string& name);

}  // namespace kiln
