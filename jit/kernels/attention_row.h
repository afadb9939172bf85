// Attention of one query over keys and values as they lie in memory.
#pragma once

#include <string>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// Emits score(query, keys, out, epilogue operands…): a row of scores, the epilogue applied.
Func emit_score_row(Emitter& emitter, const AttentionSpec& spec, const std::string& name);
/// Emits weigh(weights, V, out): the sum of the rows of V by their weights.
Func emit_weigh_row(Emitter& emitter, const AttentionSpec& spec, const std::string& name);

}  // namespace kiln
