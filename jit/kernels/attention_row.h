// What attention of one query does with values as they lie in memory (for keys see dots.h).
#pragma once

#include <string>

#include "jit/emitter.h"

namespace kiln {

/// Rows of V, `row` elements from one to the next; `add`: their sum is added to what is there.
struct WeighedRows {
  int64_t columns, keys, row;
  bool add;
};
/// Emits weigh(weights, V, out): the sum of the rows of V by their weights.
Func emit_weigh_row(Emitter& emitter, const WeighedRows& rows, const std::string& name);

}  // namespace kiln
