// Sums of many terms. A single float32 would lose a little at each term, and more as it grows.
#pragma once

#include <vector>

#include "jit/emitter.h"

namespace kiln {

/// Adds in a cascade, as PyTorch does. A sum takes at most `kRun` terms, then goes into a sum of the next level, which
/// takes as many of those, and so on. The error grows with the number of levels (four for ten million terms), not with
/// the number of terms. A short sum is a plain loop.
class Cascade {
 public:
  static constexpr int64_t kRun = 64;

  /// `sums` are the registers that a round adds to. If they are empty, the result is no sum of floats, and loops are
  /// plain.
  Cascade(Emitter& e, std::vector<Vec> sums, int64_t run = kRun) : e_(e), sums_(std::move(sums)), run_(run) {}

  /// for (i = 0; i < rounds; ++i) round(), each of which adds `terms` to a sum.
  void loop(int64_t rounds, int64_t terms, FunctionRef<void()> round) const;
  /// The same with a number of rounds that only the run knows. It is at most `bound`.
  void loop(Arg rounds, int64_t bound, int64_t terms, FunctionRef<void()> round) const;
  /// How many terms a sum has taken after such a loop.
  int64_t terms_after(int64_t rounds, int64_t terms) const;

  /// A nest of loops that moves pointers (see loops.h), whose innermost body adds `terms`.
  void nest(const std::vector<int64_t>& dims, const std::vector<Int>& pointers,
            const std::vector<std::vector<int64_t>>& strides, int64_t terms, FunctionRef<void()> body) const;

 private:
  /// The rounds of the innermost level, of the next one, and so on. The last level takes all that is left.
  std::vector<int64_t> chunks(int64_t rounds, int64_t terms) const;
  void level(const std::vector<int64_t>& chunks, size_t level, Arg rounds, FunctionRef<void()> round) const;

  Emitter& e_;
  std::vector<Vec> sums_;
  int64_t run_;
};

}  // namespace kiln
