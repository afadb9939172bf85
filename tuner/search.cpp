#include <algorithm>
#include <limits>

#include "tuner/cost.h"

namespace kiln {

namespace {
/// The prior's model errs by less than this factor. A candidate that it expects to be slower than its pick by more is
/// not measured.
constexpr double kDoubt = 1.2;
constexpr double kEqual = 0.95;

/// Each tile with the blocks that the prior would choose. One kernel alone cannot show how much of a cache a whole
/// model leaves.
std::vector<Schedule> worth_measuring(const KernelSpec& spec, const Target& target, const Device& device) {
  std::vector<Schedule> out;
  const auto* contraction = std::get_if<ContractionSpec>(&spec);
  for (const Schedule& s : candidates(spec, target)) {
    const bool tile = contraction && !contraction->b_row && s.algorithm == Algorithm::direct;
    if (!tile)
      out.push_back(s);
    else if (!s.mc)
      out.push_back(blocked(*contraction, s, target, device));
  }
  return out;
}
}  // namespace

/// Candidates in the order of their expected cost. The prior's pick is first.
Search::Search(std::vector<KernelSpec> specs, Target target, const Device& device) : target_(std::move(target)) {
  for (KernelSpec& spec : specs) {
    Entry e;
    e.best.schedule = prior(spec, target_, device);
    std::vector<std::pair<double, Schedule>> ranked;
    for (const Schedule& s : worth_measuring(spec, target_, device))
      if (s != e.best.schedule) ranked.emplace_back(predicted_cost(spec, s, target_, device), s);
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const double limit = kDoubt * predicted_cost(spec, e.best.schedule, target_, device);
    for (const auto& [cost, schedule] : ranked)
      if (cost <= limit) e.untried.push_back(schedule);
    if (!e.untried.empty()) e.untried.insert(e.untried.begin(), e.best.schedule);
    std::reverse(e.untried.begin(), e.untried.end());  // taken from the back
    e.spec = std::move(spec);
    entries_.push_back(std::move(e));
  }
}

std::vector<Search::Candidate> Search::next_batch(int max_candidates) {
  batch_.clear();
  const auto challenged = std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.challenger; });
  confirming_ = challenged != entries_.end();
  if (confirming_) {
    const int spec = static_cast<int>(challenged - entries_.begin());
    batch_ = {{spec, challenged->best.schedule}, {spec, challenged->challenger->schedule}};
    return batch_;
  }
  // First the likely winners of every spec, in the order of their work. Then the less likely ones.
  const auto weight = [&](const Entry& e) {
    return e.untried.empty() ? -1.0 : flops_of(e.spec) / (1 + 1e3 * static_cast<double>(e.batches));
  };
  const auto e = std::max_element(entries_.begin(), entries_.end(),
                                  [&](const Entry& a, const Entry& b) { return weight(a) < weight(b); });
  if (e == entries_.end() || e->untried.empty()) return batch_;
  const int spec = static_cast<int>(e - entries_.begin());
  ++e->batches;
  while (!e->untried.empty() && static_cast<int>(batch_.size()) < max_candidates) {
    batch_.push_back({spec, e->untried.back()});
    e->untried.pop_back();
  }
  return batch_;
}

void Search::report(size_t index, double nanoseconds) {
  if (index >= batch_.size()) return;
  Entry& e = entries_[static_cast<size_t>(batch_[index].spec)];
  const Choice measured{batch_[index].schedule, Origin::measured, nanoseconds};
  if (measured.schedule == e.best.schedule) {
    if (nanoseconds >= 0) e.best = measured;
    return;
  }
  // A difference of a few percent may be noise, or the caches of the benchmark. Then the current choice stays.
  constexpr double kAny = std::numeric_limits<double>::infinity();
  const double least = e.best.origin == Origin::measured ? e.best.nanoseconds * kEqual : kAny;
  const bool wins = nanoseconds >= 0 && nanoseconds < least;
  if (confirming_) {
    if (wins) e.best = measured;
    e.challenger.reset();
  } else if (wins && (!e.challenger || nanoseconds < e.challenger->nanoseconds)) {
    e.challenger = measured;
  }
}

Choice Search::best(int spec) const { return entries_[static_cast<size_t>(spec)].best; }

}  // namespace kiln
