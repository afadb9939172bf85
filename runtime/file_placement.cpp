#include "runtime/file_placement.h"

#include <algorithm>
#include <numeric>

namespace kiln {
namespace {

constexpr int64_t kAlign = 64;

/// When a buffer is first written to, and which byte of the file it may not reach then. Time 0 is before the file; at
/// time t + 1 everything from transfer t on is needed.
struct Write {
  size_t time;
  int64_t before = INT64_MAX;
};

class Placer {
 public:
  Placer(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed, FunctionRef<int64_t(const PlanStep&)> panel)
      : plan_(plan),
        buffers_(buffers),
        landed_(landed),
        panel_(panel),
        writes_(buffers.size(), Write{plan.transfers.size() + 1}) {}

  FilePlacement place() {
    for (size_t t = 0; t < plan_.transfers.size(); ++t) read_in_place(static_cast<int>(t));
    find_writes();
    std::vector<size_t> order(buffers_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return writes_[a].time < writes_[b].time; });
    FilePlacement out;
    for (const size_t i : order) {
      if (buffers_[i].space != Space::weights) continue;
      buffers_[i].offset = out.weights_bytes;
      out.weights_bytes += round_up(buffers_[i].bytes, kAlign);
      const int64_t before = std::min(writes_[i].before, needed_at(writes_[i].time));
      if (before != INT64_MAX) out.lead = std::max(out.lead, out.weights_bytes - before);
    }
    out.lead = round_up(out.lead, kAlign);
    out.staging_bytes = plan_arena(buffers_, Space::staging);
    return out;
  }

 private:
  /// What is read when it comes, and then no more, stays where it is.
  void read_in_place(int t) {
    const Transfer& transfer = plan_.transfers[static_cast<size_t>(t)];
    Buffer& buffer = buffers_[static_cast<size_t>(transfer.dst.buffer)];
    if (buffer.space != Space::staging || buffer.first != t || buffer.last != t) return;
    if (transfer.file_offset + transfer.size > landed_) return;
    buffer.space = Space::file;
    buffer.offset = transfer.file_offset;
  }

  int64_t needed_at(size_t time) const {
    if (time == 0) return 0;
    const int64_t next = time <= plan_.transfers.size() ? plan_.transfers[time - 1].file_offset : INT64_MAX;
    return next < landed_ ? next : INT64_MAX;
  }

  void write(const Operand& to, Write write) {
    if (to.buffer < 0) return;
    Write& first = writes_[static_cast<size_t>(to.buffer)];
    first.time = std::min(first.time, write.time);
    first.before = std::min(first.before, write.before);
  }

  void find_writes() {
    std::vector<size_t> starts(plan_.init.size(), SIZE_MAX);
    for (size_t t = 0; t < plan_.transfers.size(); ++t) {
      const Transfer& transfer = plan_.transfers[t];
      write(transfer.dst, {t + 2});  // moving a weight goes over its own bytes
      if (transfer.phase >= 0) starts[static_cast<size_t>(transfer.phase)] = t;
    }
    for (size_t phase = 0; phase < plan_.init.size(); ++phase)
      for (const PlanStep& step : plan_.init[phase]) write(step.operands[0], write_of(step, starts[phase]));
    for (const Plan::Inline& constant : plan_.constants) write(constant.dst, {0});
  }

  /// A step that transfer `t` starts.
  Write write_of(const PlanStep& step, size_t t) const {
    if (t == SIZE_MAX) return {0};
    const Transfer& transfer = plan_.transfers[t];
    const int64_t panel = panel_(step);
    const bool reads_it = step.operands.size() == 2 && step.operands[1].buffer == transfer.dst.buffer;
    if (panel == 0 || !reads_it || buffers_[static_cast<size_t>(transfer.dst.buffer)].space != Space::file)
      return {t + 1};
    return {t + 2, transfer.file_offset + transfer.size - panel};
  }

  const Plan& plan_;
  std::vector<Buffer>& buffers_;
  int64_t landed_;
  FunctionRef<int64_t(const PlanStep&)> panel_;
  std::vector<Write> writes_;
};

}  // namespace

FilePlacement place_over_file(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
                              FunctionRef<int64_t(const PlanStep&)> panel) {
  return Placer(plan, buffers, landed, panel).place();
}

}  // namespace kiln
