// Rounded rows (see jit/kernel_spec.h). A load writes them once; products and gathers read them.
#pragma once

#include <string>
#include <vector>

#include "jit/family.h"
#include "jit/kernels/loops.h"

namespace kiln {

/// for_vectors over the k elements of the rounded row at `row`: body(element, lanes, value). The values are not yet
/// multiplied by the row's scale. `unroll` is even.
void for_rounded(Emitter& e, int64_t k, int unroll, Int row, const std::vector<Int>& bases,
                 const std::vector<int64_t>& steps, FunctionRef<void(int64_t element, int lanes, Vec value)> body);

/// The pack family's answers for a spec with `scales`. Units are rows.
Func emit_round(Emitter& e, const PackSpec& spec, const std::string& name);
KernelCode round_code(const PackSpec& spec);
std::vector<int64_t> round_sizes(const PackSpec& spec);

}  // namespace kiln
