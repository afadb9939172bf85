// Maps whose sizes and strides come with each call: what runs once or twice, at load, in dozens of shapes.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Whether there is such a kernel: few dims and operands, 32-bit elements, no large transpose (which wants blocks).
bool any_size_possible(const MapSpec& spec);
/// What the code depends on, what calls pass, the units of a call, and the code.
MapSpec any_size_code(const MapSpec& spec);
std::vector<int64_t> any_size_sizes(const MapSpec& spec);
int64_t any_size_units(const MapSpec& spec);
Func emit_any_size_map(Emitter& emitter, const MapSpec& code, const std::string& name);

}  // namespace kiln
