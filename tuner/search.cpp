#include <algorithm>

#include "tuner/tuner.h"

namespace kiln {

/// Candidates are tried in the order of what the prior thinks of them: the first batches hold the likely winners.
Search::Search(std::vector<KernelSpec> specs, Target target, const Device& device) : target_(std::move(target)) {
  for (KernelSpec& spec : specs) {
    Entry e;
    e.best.schedule = prior(spec, target_, device);
    e.untried = candidates(spec, target_);
    if (e.untried.size() < 2) e.untried.clear();
    const auto first = std::find(e.untried.begin(), e.untried.end(), e.best.schedule);
    if (first != e.untried.end())
      std::rotate(e.untried.begin(), first, first + 1);
    else if (!e.untried.empty())
      e.untried.insert(e.untried.begin(), e.best.schedule);
    // Neighbours of the prior's pick next: the same tile at other blockings, then other tiles.
    std::stable_sort(
        e.untried.begin() + (e.untried.empty() ? 0 : 1), e.untried.end(), [&](const Schedule& a, const Schedule& b) {
          const auto far = [&](const Schedule& s) {
            return (s.algorithm == e.best.schedule.algorithm ? 0 : 2) + std::abs(s.mr - e.best.schedule.mr) +
                   std::abs(s.nv - e.best.schedule.nv) * 2 + std::abs(s.tile_w - e.best.schedule.tile_w);
          };
          return far(a) < far(b);
        });
    std::reverse(e.untried.begin(), e.untried.end());  // taken from the back
    e.spec = std::move(spec);
    entries_.push_back(std::move(e));
  }
}

std::vector<Search::Candidate> Search::next_batch(int max_candidates) {
  batch_.clear();
  // The spec with the most work left unexplored goes first.
  const auto weight = [&](const Entry& e) {
    return e.untried.empty() ? -1.0 : flops_of(e.spec) * static_cast<double>(e.untried.size());
  };
  const auto e = std::max_element(entries_.begin(), entries_.end(),
                                  [&](const Entry& a, const Entry& b) { return weight(a) < weight(b); });
  if (e == entries_.end()) return batch_;
  const int spec = static_cast<int>(e - entries_.begin());
  while (!e->untried.empty() && static_cast<int>(batch_.size()) < max_candidates) {
    batch_.push_back({spec, e->untried.back()});
    e->untried.pop_back();
  }
  return batch_;
}

void Search::report(size_t index, double nanoseconds) {
  if (index >= batch_.size() || nanoseconds < 0) return;
  Choice& best = entries_[static_cast<size_t>(batch_[index].spec)].best;
  if (best.origin == Origin::measured && nanoseconds >= best.nanoseconds) return;
  best = {batch_[index].schedule, Origin::measured, nanoseconds};
}

Choice Search::best(int spec) const { return entries_[static_cast<size_t>(spec)].best; }

}  // namespace kiln
