// Chooses schedules for the kernels of one model: from wisdom, else from a search, else from the prior.
#pragma once

#include <memory>
#include <vector>

#include "runtime/compile.h"

namespace kiln {

class Chooser {
 public:
  /// `planned` must outlive the chooser.
  Chooser(const Planned& planned, Target target, Device device);

  /// Adds earlier measurements. Call it before the first batch.
  void add(const Wisdom& wisdom) { wisdom_.merge(wisdom); }
  /// The next candidates to measure, of specs that are not in the wisdom. Their `spec` is an index into searched().
  const std::vector<Search::Candidate>& next_batch(int max_candidates);
  /// The program that measures this batch.
  BenchProgram bench() const { return make_bench_program(searched_, batch_, target_, duel()); }
  /// Whether the batch is the best candidate so far of one spec and the one that has beaten it.
  bool duel() const { return search_->confirming(); }
  const std::vector<KernelSpec>& searched() const { return searched_; }
  /// Reports the best time of one candidate of the last batch in nanoseconds. < 0: it failed.
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
