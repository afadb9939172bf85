#include "runtime/arrivals.h"

#include <algorithm>

namespace kiln {
namespace {

/// For each load phase, how many transfers are complete when it runs.
std::vector<int> starts_of_phases(const Plan& plan) {
  std::vector<int> starts(plan.init.size());
  for (size_t t = 0; t < plan.transfers.size(); ++t)
    if (const int phase = plan.transfers[t].phase; phase >= 0)
      starts[static_cast<size_t>(phase)] = static_cast<int>(t) + 1;
  return starts;
}

}  // namespace

Arrivals find_arrivals(const Plan& plan, const std::vector<Buffer>& buffers) {
  Arrivals out;
  std::vector<int> filled(buffers.size());  // when all of a buffer has been written
  const auto touch = [&](const Operand& operand, int when, bool write) {
    if (operand.buffer < 0) return;
    const auto buffer = static_cast<size_t>(operand.buffer);
    if (write) filled[buffer] = std::max(filled[buffer], when);
    if (buffers[buffer].space == Space::staging) out.arena = std::max(out.arena, when);
  };
  for (size_t t = 0; t < plan.transfers.size(); ++t) touch(plan.transfers[t].dst, static_cast<int>(t) + 1, true);
  const std::vector<int> starts = starts_of_phases(plan);
  for (size_t phase = 0; phase < plan.init.size(); ++phase)
    for (const PlanStep& step : plan.init[phase])
      for (size_t i = 0; i < step.operands.size(); ++i)
        touch(step.operands[i], starts[phase], i < num_written(step.spec));
  for (const PlanStep& step : plan.steps) {
    int when = 0;
    for (const Operand& operand : step.operands)
      if (operand.buffer >= 0) when = std::max(when, filled[static_cast<size_t>(operand.buffer)]);
    for (const Operand& operand : step.when) when = std::max(when, filled[static_cast<size_t>(operand.buffer)]);
    out.steps.push_back(when);
  }
  for (const Loop& loop : plan.loops)  // runs at its last step
    for (int i = loop.begin; i < loop.end; ++i) {
      int& last = out.steps[static_cast<size_t>(loop.end) - 1];
      last = std::max(last, out.steps[static_cast<size_t>(i)]);
    }
  return out;
}

}  // namespace kiln
