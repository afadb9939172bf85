#include <algorithm>
#include <set>
#include <vector>

#include "ir/plan.h"
#include "support/checked.h"
#include "support/function_ref.h"

namespace kiln {
namespace {

constexpr int64_t kAlign = 64;
/// Orders that compare every buffer with every other are tried for so many.
constexpr size_t kFew = 2048;

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

/// The memory between buffers that live now.
class Gaps {
 public:
  /// The smallest gap that holds `size`, else what is above all.
  int64_t take(int64_t size) {
    const auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) {
      const int64_t at = top_;
      top_ = plus(top_, size);
      return at;
    }
    const auto [gap, at] = *found;
    remove(at, gap);
    if (gap > size) add(at + size, gap - size);
    return at;
  }
  void give(int64_t at, int64_t size) {
    const auto next = by_offset_.lower_bound({at, 0});
    const Gap after = next == by_offset_.end() ? Gap{-1, 0} : *next;
    const Gap before = next == by_offset_.begin() ? Gap{-1, 0} : *std::prev(next);
    if (after.first == plus(at, size)) remove(after.first, after.second), size += after.second;
    if (before.first + before.second == at)
      remove(before.first, before.second), at -= before.second, size += before.second;
    plus(at, size) == top_ ? void(top_ = at) : add(at, size);
  }

 private:
  using Gap = std::pair<int64_t, int64_t>;
  void add(int64_t at, int64_t size) { by_offset_.insert({at, size}), by_size_.insert({size, at}); }
  void remove(int64_t at, int64_t size) { by_offset_.erase({at, size}), by_size_.erase({size, at}); }
  std::set<Gap> by_offset_, by_size_;
  int64_t top_ = 0;
};

/// The same in the order in which buffers come up, where only those that live count; and the most that live at once.
int64_t place_as_they_come(std::vector<Buffer>& buffers, const std::vector<int>& order, int64_t* most) {
  std::set<std::pair<int64_t, int64_t>> ends;  // the last moment of each that lives
  Gaps gaps;
  int64_t end = 0, live = 0;
  *most = 0;
  for (int i : order) {
    Buffer& b = buffers[static_cast<size_t>(i)];
    for (; !ends.empty() && ends.begin()->first < b.first; ends.erase(*ends.begin())) {
      const Buffer& gone = buffers[static_cast<size_t>(ends.begin()->second)];
      gaps.give(gone.offset, size_of_buffer(gone));
      live -= size_of_buffer(gone);
    }
    b.offset = gaps.take(size_of_buffer(b));
    end = std::max(end, plus(b.offset, size_of_buffer(b)));
    ends.insert({b.last, i});
    live = plus(live, size_of_buffer(b));
    *most = std::max(*most, live);
  }
  return end;
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
  const auto by = [&](FunctionRef<int64_t(const Buffer&)> key) {
    std::vector<std::pair<int64_t, int>> keyed;
    for (int i : members) keyed.emplace_back(-key(buffers[static_cast<size_t>(i)]), i);
    std::sort(keyed.begin(), keyed.end());
    std::vector<int> order;
    for (const auto& [k, i] : keyed) order.push_back(i);
    return order;
  };
  int64_t bound = 0;
  std::vector<Buffer> chosen = buffers;
  int64_t best = place_as_they_come(chosen, by([](const Buffer& b) { return -int64_t{b.first}; }), &bound);
  if (lower_bound) *lower_bound = bound;
  const auto attempt = [&](FunctionRef<int64_t(const Buffer&)> key) {
    if (members.size() > kFew || best == bound) return;
    std::vector<Buffer> other = buffers;
    const int64_t size = place(other, by(key));
    if (size < best) best = size, chosen = std::move(other);
  };
  attempt([](const Buffer& b) { return size_of_buffer(b); });
  attempt([](const Buffer& b) { return times(size_of_buffer(b), int64_t{b.last} - b.first + 1); });
  attempt([](const Buffer& b) { return int64_t{b.last} - b.first; });
  buffers = std::move(chosen);
  return best;
}

}  // namespace kiln
