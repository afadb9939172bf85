// After the last step: in which memory each buffer lies, from when to when, and where threads wait for each other.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// Calls visit(operand, written) for what a step touches, its conditions too.
template <class Visit>
void each_operand(const PlanStep& step, const Visit& visit) {
  const size_t results = num_written(step.spec);
  for (size_t o = 0; o < step.operands.size(); ++o)
    if (step.operands[o].buffer >= 0) visit(static_cast<size_t>(step.operands[o].buffer), o < results);
  for (const Operand& o : step.when) visit(static_cast<size_t>(o.buffer), false);
}
/// The same for what a loop itself touches.
template <class Visit>
void each_operand(const Loop& loop, const Visit& visit) {
  visit(static_cast<size_t>(loop.number.buffer), true);
  if (loop.condition.buffer >= 0) visit(static_cast<size_t>(loop.condition.buffer), false);
  for (const Operand& o : loop.when) visit(static_cast<size_t>(o.buffer), false);
}

/// When each step runs: a loop with all its steps at its last one.
std::vector<int> moments(const Plan& plan) {
  std::vector<int> at;
  for (size_t i = 0; i < plan.steps.size(); ++i) at.push_back(static_cast<int>(i));
  for (const Loop& loop : plan.loops)
    for (int i = loop.begin; i < loop.end; ++i)
      at[static_cast<size_t>(i)] = std::max(at[static_cast<size_t>(i)], loop.end - 1);
  return at;
}

}  // namespace

void Lowering::assign_spaces() {
  std::vector<bool> run_reads(plan.buffers.size());
  const auto note = [&](size_t buffer, bool) { run_reads[buffer] = true; };
  for (const PlanStep& step : plan.steps) each_operand(step, note);
  for (const Loop& loop : plan.loops) each_operand(loop, note);
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    plan.buffers[i].space = buffer_phase_[i] == kRunPhase          ? Space::arena
                            : run_reads[i] || buffer_phase_[i] < 0 ? Space::weights
                                                                   : Space::staging;
}

void Lowering::set_lifetimes() {
  std::vector<bool> seen(plan.buffers.size());
  const auto touch = [&](int buffer, int time) {
    if (buffer < 0) return;
    Buffer& b = plan.buffers[static_cast<size_t>(buffer)];
    if (!seen[static_cast<size_t>(buffer)]) b.first = time;
    b.last = std::max(b.last, time);
    seen[static_cast<size_t>(buffer)] = true;
  };
  for (const Port& p : plan.inputs) {  // for ever: a caller may leave an input as it is from run to run
    touch(p.at.buffer, 0);
    touch(p.at.buffer, static_cast<int>(plan.steps.size()));
  }
  const auto touch_at = [&](int time) {
    return [&touch, &buffers = plan.buffers, time](size_t buffer, bool) {
      if (buffers[buffer].space == Space::arena) touch(static_cast<int>(buffer), time);
    };
  };
  auto next = plan.loops.begin();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    for (; next != plan.loops.end() && next->begin == static_cast<int>(i); ++next)
      for (const int time : {next->begin, next->end - 1}) each_operand(*next, touch_at(time));
    each_operand(plan.steps[i], touch_at(static_cast<int>(i)));
  }
  for (const auto* ports : {&plan.outputs, &plan.counts})
    for (const Port& p : *ports) touch(p.at.buffer, static_cast<int>(plan.steps.size()));
  stretch_over_loops();
  for (size_t t = 0; t < plan.transfers.size(); ++t) {
    const Transfer& transfer = plan.transfers[t];
    if (plan.buffers[static_cast<size_t>(transfer.dst.buffer)].space == Space::staging)
      touch(transfer.dst.buffer, static_cast<int>(t));
    if (transfer.phase < 0) continue;
    for (const PlanStep& step : plan.init[static_cast<size_t>(transfer.phase)])
      for (const Operand& o : step.operands)
        if (o.buffer >= 0 && plan.buffers[static_cast<size_t>(o.buffer)].space == Space::staging)
          touch(o.buffer, static_cast<int>(t));
  }
}

/// What is touched in a loop and outside of it is there in all rounds.
void Lowering::stretch_over_loops() {
  const LoopNest nest = nest_of(plan.loops, plan.steps.size());
  const auto outermost = [&](int step, int without) {  // loop around `step` that `without` is not in; or null
    const Loop* found = nullptr;
    int at = step < static_cast<int>(plan.steps.size()) ? nest.of_step[static_cast<size_t>(step)] : -1;
    for (; at >= 0; at = nest.around[static_cast<size_t>(at)]) {
      const Loop& loop = plan.loops[static_cast<size_t>(at)];
      if (without >= loop.begin && without < loop.end) break;
      found = &loop;
    }
    return found;
  };
  if (plan.loops.empty()) return;
  for (Buffer& b : plan.buffers) {
    if (b.space != Space::arena) continue;
    const Loop *of_first = outermost(b.first, b.last), *of_last = outermost(b.last, b.first);
    if (of_first) b.first = of_first->begin;
    if (of_last) b.last = of_last->end - 1;
  }
}

/// For each buffer of the arena the last step that touches what lay in its place before it; -1: none did.
std::vector<int> Lowering::last_tenants() const {
  std::vector<int> last(plan.buffers.size(), -1), before = last;
  const std::vector<int> moment = moments(plan);
  const auto touch_at = [&](int time) {
    return [&last, time](size_t buffer, bool) { last[buffer] = std::max(last[buffer], time); };
  };
  for (size_t i = 0; i < plan.steps.size(); ++i) each_operand(plan.steps[i], touch_at(moment[i]));
  for (const Loop& loop : plan.loops) each_operand(loop, touch_at(moment[static_cast<size_t>(loop.begin)]));
  std::vector<std::pair<int64_t, int>> order;  // in which buffers come up
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    if (plan.buffers[i].space == Space::arena) order.emplace_back(plan.buffers[i].first, static_cast<int>(i));
  std::sort(order.begin(), order.end());
  // From each address to the next: the last step that touches it. (The containers are those of ir/arena.cpp: less
  // code.)
  std::set<std::pair<int64_t, int64_t>> tenants{{0, -1}};
  const auto split = [&](int64_t at) {
    const auto next = tenants.lower_bound({at, -1});
    return next != tenants.end() && next->first == at ? next : tenants.insert({at, std::prev(next)->second}).first;
  };
  for (const auto& [first, i] : order) {
    const Buffer& b = plan.buffers[static_cast<size_t>(i)];
    int& latest = before[static_cast<size_t>(i)];
    const int64_t end = split(b.offset + b.bytes)->first;
    for (auto tenant = split(b.offset); tenant->first != end; tenant = tenants.lower_bound({b.offset, -1})) {
      latest = std::max(latest, static_cast<int>(tenant->second));
      tenants.erase(*tenant);
    }
    tenants.insert({b.offset, last[static_cast<size_t>(i)]});
  }
  return before;
}

/// A barrier stands where a step touches memory that a step since the last barrier has touched, unless both
/// only read, or both write parts of one buffer (a halo and its inside, the parts of a concatenation: never
/// the same bytes). A loop is one step, its last.
void Lowering::set_barriers() {
  const std::vector<int> before = last_tenants(), at = moments(plan);
  std::vector<int> read(plan.buffers.size(), -1), written = read;  // by which step last
  int barrier = 0;
  auto next = plan.loops.begin();
  for (size_t i = 0; i < plan.steps.size();) {
    const size_t begin = i, end = static_cast<size_t>(at[i]) + 1;
    PlanStep& step = plan.steps[end - 1];
    const auto each = [&](const auto& visit) {
      for (i = begin; i < end; ++i) each_operand(plan.steps[i], visit);
      for (auto loop = next; loop != plan.loops.end() && loop->begin < static_cast<int>(end); ++loop)
        each_operand(*loop, visit);
    };
    each([&](size_t buffer, bool write) {
      const bool first = read[buffer] < 0 && written[buffer] < 0;
      const int tenant = first && before[buffer] < static_cast<int>(begin) ? before[buffer] : -1;
      const int last = std::max(write ? read[buffer] : written[buffer], tenant);
      if (last >= barrier) step.barrier_before = true;
    });
    if (step.barrier_before) barrier = static_cast<int>(end) - 1;
    each([&](size_t buffer, bool write) { (write ? written : read)[buffer] = static_cast<int>(end) - 1; });
    while (next != plan.loops.end() && next->begin < static_cast<int>(end)) ++next;
  }
}

}  // namespace kiln
