// Weights are packed over the bytes that they are made of: those of the file lie in memory, and what becomes of them
// lies in front, in the order in which it is made, so that it never reaches what is still to be read.
#pragma once

#include "ir/plan.h"
#include "support/function_ref.h"

namespace kiln {

struct FilePlacement {
  int64_t lead = 0;  ///< from the first packed weight to the first byte of the file's
  int64_t weights_bytes = 0, staging_bytes = 0;
};

/// Gives the buffers of weights, file and staging their offsets. `panel` says how many bytes of its source a step looks
/// at before it writes as many and goes on behind them; 0: it reads in any order. Only the first `landed` bytes of the
/// file lie in memory, the others come to the staging area.
FilePlacement place_over_file(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
                              FunctionRef<int64_t(const PlanStep&)> panel);

}  // namespace kiln
