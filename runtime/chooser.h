// Schedules for the kernels of one model: wisdom where there is some, else what a search measured, else the prior.
#pragma once

#include <memory>
#include <vector>

#include "runtime/compile.h"

namespace kiln {

class Chooser {
 public:
  /// `planned` must outlive the chooser.
  Chooser(const Planned& planned, Target target, Device device);

  /// What was measured before; before the first batch.
  void add(const Wisdom& wisdom) { wisdom_.merge(wisdom); }
  /// The next kernels to measure, of those that wisdom says nothing of; indices are those of searched().
  const std::vector<Search::Candidate>& next_batch(int max_candidates);
  /// What measures them.
  BenchProgram bench() const { return make_bench_program(searched_, batch_, target_, duel()); }
  /// Whether they are the best so far of one spec and who has beaten it.
  bool duel() const { return search_->confirming(); }
  const std::vector<KernelSpec>& searched() const { return searched_; }
  /// Best time of one candidate of the last batch in nanoseconds; < 0: it failed.
  void report(size_t index, double nanoseconds) { search_->report(index, nanoseconds); }

  /// One per spec of `planned`.
  std::vector<Choice> choices() const;
  /// What was measured here.
  Wisdom learned() const;

 private:
  const Planned& planned_;
  const Target target_;
  const Device device_;
  const std::string scope_;
  Wisdom wisdom_;
  std::unique_ptr<Search> search_;
  std::vector<KernelSpec> searched_;
  std::vector<int> searched_of_;  ///< spec of planned → index into searched_, -1: not searched
  std::vector<Search::Candidate> batch_;
};

}  // namespace kiln
