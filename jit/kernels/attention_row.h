// What attention of one query does with values as they lie in memory (for keys see dots.h).
#pragma once

#include <string>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// Emits weigh(weights, V, out): the sum of the rows of V by their weights.
Func emit_weigh_row(Emitter& emitter, const AttentionSpec& spec, const std::string& name);

}  // namespace kiln
