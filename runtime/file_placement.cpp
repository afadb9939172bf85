#include "runtime/file_placement.h"

#include <algorithm>

namespace kiln {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kNone = INT64_MAX;

/// A load is a sequence of events. First constants are written, and phases run that no transfer starts. Then, for each
/// transfer, bytes come to their place, and the steps of its phase run.
struct Event {
  int written = -1;       ///< a buffer, any part of which may be written
  int64_t needs = kNone;  ///< the first byte of the file that must be unchanged when this begins
  int64_t limit = kNone;  ///< the byte of the file that its writes may not reach meanwhile
};

/// Every byte of the file stays unchanged until the last event that needs it. So what an event writes must end before
/// the first byte that a later event needs, and before the first byte that the event itself has not read yet. The lead
/// is the distance between packed weights and file that ensures this.
class Placer {
 public:
  Placer(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
         FunctionRef<Traversal(const PlanStep&)> traversal)
      : plan_(plan), buffers_(buffers), landed_(landed), traversal_(traversal) {}

  FilePlacement place() {
    for (size_t t = 0; t < plan_.transfers.size(); ++t) read_in_place(static_cast<int>(t));
    find_events();
    const std::vector<int64_t> limits = limits_of_buffers();
    std::vector<size_t> order;
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (buffers_[i].space == Space::weights) order.push_back(i);
    // The lead is the largest `end - limit`. No other order makes it smaller.
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return limits[a] < limits[b]; });
    FilePlacement out;
    for (const size_t i : order) {
      buffers_[i].offset = out.weights_bytes;
      out.weights_bytes += round_up(buffers_[i].bytes, kAlign);
      if (limits[i] != kNone) out.lead = std::max(out.lead, out.weights_bytes - limits[i]);
    }
    out.lead = round_up(out.lead, kAlign);
    out.staging_bytes = plan_arena(buffers_, Space::staging);
    return out;
  }

 private:
  /// Leaves a transfer in the file if it is read when it comes and never again.
  void read_in_place(int t) {
    const Transfer& transfer = plan_.transfers[static_cast<size_t>(t)];
    Buffer& buffer = buffers_[static_cast<size_t>(transfer.dst.buffer)];
    if (buffer.space != Space::staging || buffer.first != t || buffer.last != t) return;
    if (transfer.file_offset + transfer.size > landed_) return;
    buffer.space = Space::file;
    buffer.offset = transfer.file_offset;
  }

  void find_events() {
    std::vector<bool> waits(plan_.init.size());
    for (const Transfer& transfer : plan_.transfers)
      if (transfer.phase >= 0) waits[static_cast<size_t>(transfer.phase)] = true;
    for (const Plan::Inline& constant : plan_.constants) events_.push_back({constant.dst.buffer});
    for (size_t phase = 0; phase < plan_.init.size(); ++phase)
      if (!waits[phase]) run(phase);
    for (const Transfer& transfer : plan_.transfers) {
      // Bytes that stay in the file may come only now, too. Bytes that are moved go over themselves.
      const int64_t needs = transfer.file_offset < landed_ ? transfer.file_offset : kNone;
      events_.push_back({transfer.dst.buffer, needs});
      if (transfer.phase >= 0) run(static_cast<size_t>(transfer.phase));
    }
  }

  void run(size_t phase) {
    for (const PlanStep& step : plan_.init[phase]) {
      const size_t results = num_written(step.spec);
      Event event;
      for (size_t i = results; i < step.operands.size(); ++i) read(step, i, event);
      for (size_t i = 0; i < results; ++i) {  // each as if the step wrote it alone, before or after the others
        event.written = step.operands[i].buffer;
        events_.push_back(event);
      }
    }
  }

  void read(const PlanStep& step, size_t operand, Event& event) const {
    const Operand& from = step.operands[operand];
    if (from.buffer < 0 || buffers_[static_cast<size_t>(from.buffer)].space != Space::file) return;
    const Traversal how = operand == 1 ? traversal_(step) : Traversal{};
    const int64_t begin = buffers_[static_cast<size_t>(from.buffer)].offset + (how.bytes ? from.offset : 0);
    event.needs = std::min(event.needs, begin);
    event.limit = std::min(event.limit, how.panel ? begin + how.bytes - how.panel : begin);
  }

  /// For each buffer, the byte of the file that none of its bytes may reach.
  std::vector<int64_t> limits_of_buffers() const {
    std::vector<int64_t> limits(buffers_.size(), kNone);
    int64_t needed = kNone;  // behind the event
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (event->written >= 0) {
        int64_t& limit = limits[static_cast<size_t>(event->written)];
        limit = std::min({limit, event->limit, needed});
      }
      needed = std::min(needed, event->needs);
    }
    return limits;
  }

  const Plan& plan_;
  std::vector<Buffer>& buffers_;
  int64_t landed_;
  FunctionRef<Traversal(const PlanStep&)> traversal_;
  std::vector<Event> events_;
};

}  // namespace

FilePlacement place_over_file(const Plan& plan, std::vector<Buffer>& buffers, int64_t landed,
                              FunctionRef<Traversal(const PlanStep&)> traversal) {
  return Placer(plan, buffers, landed, traversal).place();
}

}  // namespace kiln
