// Which steps of a run may begin while weights still arrive.
#pragma once

#include "ir/plan.h"

namespace kiln {

/// Counts of transfers, in their order. When so many are complete, with the phases that they start, …
struct Arrivals {
  int arena = 0;           ///< … no more weights arrive in the arena
  std::vector<int> steps;  ///< … everything that step i of a run reads is in place
};

/// `buffers` are the plan's, with their final offsets.
Arrivals find_arrivals(const Plan& plan, const std::vector<Buffer>& buffers);

}  // namespace kiln
