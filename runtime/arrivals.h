// What a run may begin with while weights still arrive.
#pragma once

#include "ir/plan.h"

namespace kiln {

/// Counts of transfers, in their order: once so many are complete, with the phases that they start …
struct Arrivals {
  int arena = 0;           ///< … no byte of a weight comes to the arena any more
  std::vector<int> steps;  ///< … all that each step of a run reads is in place
};

/// `buffers` are the plan's, where they lie in the end.
Arrivals find_arrivals(const Plan& plan, const std::vector<Buffer>& buffers);

}  // namespace kiln
