#include <algorithm>
#include <vector>

#include "ir/plan.h"
#include "support/checked.h"

namespace kiln {
namespace {

constexpr int64_t kAlign = 64;

int64_t size_of_buffer(const Buffer& b) { return round_up(b.bytes, kAlign); }
bool together(const Buffer& a, const Buffer& b) { return a.first <= b.last && b.first <= a.last; }

/// Places buffers in the given order. Each goes into the smallest gap that holds it between placed buffers that are
/// alive at the same time.
int64_t place(std::vector<Buffer>& buffers, const std::vector<int>& order) {
  std::vector<int> placed;  // by offset
  int64_t end = 0;
  for (int i : order) {
    Buffer& b = buffers[static_cast<size_t>(i)];
    const int64_t size = size_of_buffer(b);
    int64_t best = -1, best_gap = INT64_MAX, top = 0;
    for (int j : placed) {
      const Buffer& o = buffers[static_cast<size_t>(j)];
      if (!together(b, o)) continue;
      const int64_t gap = o.offset - top;
      if (gap >= size && gap < best_gap) best = top, best_gap = gap;
      top = std::max(top, plus(o.offset, size_of_buffer(o)));
    }
    b.offset = best >= 0 ? best : top;
    end = std::max(end, plus(b.offset, size));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), b.offset,
                         [&](int64_t offset, int j) { return offset < buffers[static_cast<size_t>(j)].offset; }),
        i);
  }
  return end;
}

int64_t lower_bound_of(const std::vector<Buffer>& buffers, const std::vector<int>& members) {
  int64_t bound = 0;
  for (int at : members) {  // the peak begins where some buffer does
    int64_t live = 0;
    for (int i : members) {
      const Buffer& b = buffers[static_cast<size_t>(i)];
      const int time = buffers[static_cast<size_t>(at)].first;
      if (b.first <= time && time <= b.last) live = plus(live, size_of_buffer(b));
    }
    bound = std::max(bound, live);
  }
  return bound;
}

}  // namespace

int64_t plan_arena(std::vector<Buffer>& buffers, Space space, int64_t* lower_bound) {
  std::vector<int> members;
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].space == space) members.push_back(static_cast<int>(i));
  if (space == Space::weights) {  // everything lives for ever
    int64_t end = 0;
    for (int i : members) {
      buffers[static_cast<size_t>(i)].offset = end;
      end = plus(end, size_of_buffer(buffers[static_cast<size_t>(i)]));
    }
    if (lower_bound) *lower_bound = end;
    return end;
  }
  const auto by = [&](auto key) {
    std::vector<std::pair<int64_t, int>> keyed;
    for (int i : members) keyed.emplace_back(-key(buffers[static_cast<size_t>(i)]), i);
    std::sort(keyed.begin(), keyed.end());
    std::vector<int> order;
    for (const auto& [k, i] : keyed) order.push_back(i);
    return order;
  };
  const std::vector<int> orders[] = {
      by([](const Buffer& b) { return size_of_buffer(b); }),
      by([](const Buffer& b) { return times(size_of_buffer(b), int64_t{b.last} - b.first + 1); }),
      by([](const Buffer& b) { return int64_t{b.last} - b.first; }),
      by([](const Buffer& b) { return -int64_t{b.first}; }),
  };
  int64_t best = INT64_MAX;
  std::vector<Buffer> chosen;
  for (const std::vector<int>& order : orders) {
    std::vector<Buffer> attempt = buffers;
    const int64_t size = place(attempt, order);
    if (size < best) best = size, chosen = std::move(attempt);
  }
  buffers = std::move(chosen);
  if (lower_bound) *lower_bound = lower_bound_of(buffers, members);
  return best;
}

}  // namespace kiln
