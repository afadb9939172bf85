// Measures candidate kernels on this machine. Candidates are warmed up and interleaved. The least of several samples of
// about a millisecond counts.
#pragma once

#include <chrono>
#include <functional>

#include "runtime/chooser.h"

namespace kiln {

using Clock = std::chrono::steady_clock;
/// Milliseconds since `start`.
inline double since_ms(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct TuneProgress {
  double elapsed_ms = 0, budget_ms = 0;
  int measured = 0;  ///< candidates
};

/// Lets the search measure until it is done or the budget is spent. The last batch may exceed the budget a little.
Status tune(Chooser& chooser, const Target& target, double budget_ms,
            const std::function<void(const TuneProgress&)>& progress = {});

/// The peak of this target on one core in GFLOP/s, measured with independent fused multiply-adds.
Result<double> measure_peak(const Target& target);

}  // namespace kiln
