#include "ir/plan.h"

namespace kiln {
namespace {

std::string text_of(const Plan& plan, const PlanStep& step) {
  std::string text = (step.barrier_before ? "| " : "  ") + to_string(step.spec) + "\n      ";
  for (const Operand& o : step.operands) {
    constexpr const char* kSpace[] = {"w", "a", "s"};
    if (o.buffer < 0)
      text += " status";
    else
      text += std::string(" ") + kSpace[static_cast<int>(plan.buffers[static_cast<size_t>(o.buffer)].space)] +
              std::to_string(plan.buffers[static_cast<size_t>(o.buffer)].offset + o.offset);
  }
  return text + "  # " + step.label + "\n";
}

}  // namespace

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
  for (size_t i = 0; i < plan.steps.size(); ++i) text += std::to_string(i) + " " + text_of(plan, plan.steps[i]);
  return text;
}

}  // namespace kiln
