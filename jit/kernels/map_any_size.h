// Maps that take sizes and strides at each call. A load runs dozens of maps of different shapes, each once or twice.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Whether there is such a kernel for a spec: few dims and operands, 32-bit elements, no large transpose, which needs
/// blocks.
bool any_size_possible(const MapSpec& spec);
/// What the code depends on, what a call passes, its units, and the code.
MapSpec any_size_code(const MapSpec& spec);
std::vector<int64_t> any_size_sizes(const MapSpec& spec);
int64_t any_size_units(const MapSpec& spec);
Func emit_any_size_map(Emitter& emitter, const MapSpec& code, const std::string& name);

}  // namespace kiln
