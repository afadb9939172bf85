// Weights are packed over the bytes that they are made of: those of the file lie in memory, and what becomes of them
// lies in front, in such an order and so far in front that nothing is written over what is still to be read.
#pragma once

#include "ir/plan.h"
#include "support/function_ref.h"

namespace kiln {

struct FilePlacement {
  int64_t lead = 0;  ///< from the first packed weight to the first byte of the file's
  int64_t weights_bytes = 0, staging_bytes = 0;
};

/// How a load step goes through its first source.
struct Traversal {
  int64_t bytes = 0;  ///< it reads so many from where the operand begins; 0: perhaps all of the buffer
  int64_t panel =
      0;  ///< it looks at so many before it writes as many and goes on behind them; 0: it reads in any order
};

/// Gives the buffers of weights, file and staging their offsets. Only the first `landed` bytes of the file lie in
/// memory, the others come to the staging area.
FilePlacement place_over_file(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
                              FunctionRef<Traversal(const PlanStep&)> traversal);

}  // namespace kiln
