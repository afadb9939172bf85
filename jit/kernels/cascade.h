// Sums of many terms. One float32 that takes them all loses a little at each, and more the larger it gets.
#pragma once

#include <vector>

#include "jit/emitter.h"

namespace kiln {

/// Adds in a cascade, as PyTorch does: sums take at most `kRun` terms each, then go into sums of the next level, which
/// take as many of those, and so on. What is lost grows with the number of levels (four for ten million terms), not
/// with the number of terms. A short sum is the plain loop that it would be anyway.
class Cascade {
 public:
  static constexpr int64_t kRun = 64;

  /// Of registers that a round adds to; none where what is computed is no sum of floats: then loops are plain.
  Cascade(Emitter& e, std::vector<Vec> sums, int64_t run = kRun) : e_(e), sums_(std::move(sums)), run_(run) {}

  /// for (i = 0; i < rounds; ++i) round(), each of which adds `terms` to a sum.
  void loop(int64_t rounds, int64_t terms, FunctionRef<void()> round) const;
  /// The same with a number of rounds that is known when the code runs, at most `bound`.
  void loop(Arg rounds, int64_t bound, int64_t terms, FunctionRef<void()> round) const;
  /// Terms that a sum has taken behind such a loop.
  int64_t terms_after(int64_t rounds, int64_t terms) const;

  /// A nest of loops that moves pointers (see loops.h), whose innermost body adds `terms`.
  void nest(const std::vector<int64_t>& dims, const std::vector<Int>& pointers,
            const std::vector<std::vector<int64_t>>& strides, int64_t terms, FunctionRef<void()> body) const;

 private:
  /// Rounds of the innermost level, of the next one, …; the last level takes what there is.
  std::vector<int64_t> chunks(int64_t rounds, int64_t terms) const;
  void level(const std::vector<int64_t>& chunks, size_t level, Arg rounds, FunctionRef<void()> round) const;

  Emitter& e_;
  std::vector<Vec> sums_;
  int64_t run_;
};

}  // namespace kiln
