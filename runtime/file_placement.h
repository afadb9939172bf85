// Places packed weights over the bytes of the file that they are made from. The file's bytes lie in memory, and the
// packed weights begin in front of them. Their order and their distance ensure that no write reaches a byte that a
// later step still reads.
#pragma once

#include "ir/plan.h"
#include "support/function_ref.h"

namespace kiln {

struct FilePlacement {
  int64_t lead = 0;  ///< bytes from the first packed weight to the first byte of the file's weights
  int64_t weights_bytes = 0, staging_bytes = 0;
};

/// In which order a load step reads its first source.
struct Traversal {
  int64_t bytes = 0;  ///< how many it reads from the operand on; 0: perhaps all of the buffer
  int64_t panel = 0;  ///< it reads so many, writes as many, and continues behind them; 0: it reads in any order
};

/// Gives the buffers of weights, file and staging their offsets. Only the first `landed` bytes of the file's weights
/// lie in memory. The others come to the staging area.
FilePlacement place_over_file(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
                              FunctionRef<Traversal(const PlanStep&)> traversal);

}  // namespace kiln
