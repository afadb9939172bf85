#include "ir/plan.h"

namespace kiln {
namespace {

std::string text_of(const Plan& plan, const Operand& o) {
  constexpr const char* kSpace[] = {"w", "a", "s"};
  if (o.buffer < 0) return " status";
  return std::string(" ") + kSpace[static_cast<int>(plan.buffers[static_cast<size_t>(o.buffer)].space)] +
         std::to_string(plan.buffers[static_cast<size_t>(o.buffer)].offset + o.offset);
}

std::string text_of(const Plan& plan, const PlanStep& step) {
  std::string text = (step.barrier_before ? "| " : "  ") + to_string(step.spec) + "\n      ";
  for (const Operand& o : step.operands) text += text_of(plan, o);
  for (const Operand& o : step.when) text += " when" + text_of(plan, o);
  if (step.moves) text += " moves " + std::to_string(step.moves);
  return text + "  # " + step.label + "\n";
}

}  // namespace

LoopNest nest_of(const std::vector<Loop>& loops, size_t steps) {
  LoopNest nest{std::vector<int>(steps, -1), {}};
  std::vector<int> open;
  size_t next = 0;
  for (size_t i = 0; i < steps; ++i) {
    const auto step = static_cast<int>(i);
    while (!open.empty() && loops[static_cast<size_t>(open.back())].end <= step) open.pop_back();
    for (; next < loops.size() && loops[next].begin == step; ++next) {
      nest.around.push_back(open.empty() ? -1 : open.back());
      open.push_back(static_cast<int>(next));
    }
    if (!open.empty()) nest.of_step[i] = open.back();
  }
  return nest;
}

Result<Precision> precision_by_name(std::string_view name) {
  if (name == "exact") return Precision::exact;
  if (name == "balanced") return Precision::balanced;
  if (name == "fast") return Precision::fast;
  return Error{ErrorCode::bad_option,
               "precision must be 'exact', 'balanced' or 'fast', not '" + std::string(name) + "'", ""};
}

std::string to_string(const Plan& plan) {
  std::string text = "weights " + std::to_string(plan.weights_bytes) + " arena " + std::to_string(plan.arena_bytes) +
                     " (bound " + std::to_string(plan.arena_lower_bound) + ") staging " +
                     std::to_string(plan.staging_bytes) + "\n";
  for (size_t phase = 0; phase < plan.init.size(); ++phase) {
    text += "init " + std::to_string(phase) + "\n";
    for (const PlanStep& step : plan.init[phase]) text += text_of(plan, step);
  }
  text += "run\n";
  for (const Loop& loop : plan.loops) {
    text += "loop " + std::to_string(loop.begin) + " to " + std::to_string(loop.end) + " bound " +
            std::to_string(loop.bound);
    if (loop.condition.buffer >= 0) text += " while" + text_of(plan, loop.condition);
    for (const Operand& o : loop.when) text += " when" + text_of(plan, o);
    text += "\n";
  }
  for (size_t i = 0; i < plan.steps.size(); ++i) text += std::to_string(i) + " " + text_of(plan, plan.steps[i]);
  return text;
}

}  // namespace kiln
