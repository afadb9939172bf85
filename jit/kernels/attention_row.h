// Attention of one query: the weighted sum of values as they lie in memory. (For keys see dots.h.)
#pragma once

#include <string>

#include "jit/emitter.h"

namespace kiln {

/// Rows of V, `row` elements apart. `add`: their sum is added to the current result.
struct WeighedRows {
  int64_t columns, keys, row;
  bool add;
};
/// Emits weigh(weights, V, out): the weighted sum of the rows of V.
Func emit_weigh_row(Emitter& emitter, const WeighedRows& rows, const std::string& name);

}  // namespace kiln
