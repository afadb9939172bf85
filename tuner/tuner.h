// KernelSpec → Schedule: wisdom first, then the analytic prior, then, within a budget, measurement.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jit/family.h"
#include "jit/program.h"

namespace kiln {

/// Part of every wisdom key. Raise it when a (spec, schedule) stands for other code.
constexpr int kGeneratorVersion = 5;
/// Of the form of wisdom files.
constexpr int kWisdomVersion = 1;

/// What the prior knows of the machine.
struct Device {
  std::string id = "unknown";  ///< CPU or user-agent class, part of the wisdom key
  int64_t l1_bytes = 32 << 10, l2_bytes = 1 << 20;
  int threads = 1;
  bool fast_dots = true;  ///< a product of pairs of i16 is one instruction (x86); elsewhere it is four
};

enum class Origin : uint8_t { prior, wisdom, measured };
constexpr const char* name_of(Origin origin) {
  return origin == Origin::prior ? "prior" : origin == Origin::wisdom ? "wisdom" : "measured";
}
struct Choice {
  Schedule schedule;
  Origin origin = Origin::prior;
  double nanoseconds = 0;
};

/// All feasible schedules of a spec, small enough to measure (tuner/space.cpp).
std::vector<Schedule> candidates(const KernelSpec& spec, const Target& target);
/// The best guess without measuring (tuner/prior.cpp).
Schedule prior(const KernelSpec& spec, const Target& target, const Device& device);
/// The schedule of a step that runs once, at load. It selects kernels that many specs share, if there are any.
Schedule prior_at_load(const KernelSpec& spec, const Target& target, const Device& device);

/// Measured choices (tuner/wisdom.cpp, wisdom_json.cpp). The key of an entry names target, device, threads, generator
/// version and spec. An entry is used for no other key.
class Wisdom {
 public:
  static std::string scope(const Target& target, const Device& device);
  std::optional<Choice> find(const std::string& scope, const KernelSpec& spec) const;
  void put(const std::string& scope, const KernelSpec& spec, const Choice& choice);
  void merge(const Wisdom& other);  ///< keeps the faster of two
  /// JSON: {"wasmkiln-wisdom": 1, "entries": [{"scope", "spec", "schedule", "ns"}]}. Refuses other versions, malformed
  /// or infeasible entries.
  static Result<Wisdom> parse(std::string_view json);
  /// Its entries, one a line: scope, spec, schedule and nanoseconds, with tabs between.
  static Result<Wisdom> parse_lines(std::string_view lines);
  std::string to_json() const;
  size_t size() const { return entries_.size(); }

 private:
  /// False: it is malformed.
  bool put(const std::string& scope, const std::string& spec, std::string_view schedule, double nanoseconds);
  std::map<std::string, std::map<std::string, Choice>> entries_;  // scope → spec → choice
};

/// A search that its caller drives (a page, a native loop): take a batch, measure it, report, until it is done.
class Search {
 public:
  Search(std::vector<KernelSpec> specs, Target target, const Device& device);
  struct Candidate {
    int spec;
    Schedule schedule;
  };
  /// The next candidates to measure against each other, all of one spec. Empty when nothing is left. A candidate that
  /// beats the best so far is measured against it once more, because one of many may win by chance.
  std::vector<Candidate> next_batch(int max_candidates);
  /// Reports the best time of candidate `index` of the last batch, in nanoseconds for the whole kernel on one thread.
  /// < 0: it failed.
  void report(size_t index, double nanoseconds);
  Choice best(int spec) const;
  /// Whether the last batch is the best candidate so far of a spec and the one that has beaten it. Measure these whole.
  bool confirming() const { return confirming_; }

 private:
  struct Entry {
    KernelSpec spec;
    std::vector<Schedule> untried;
    int batches = 0;  ///< taken so far
    Choice best;      ///< begins with the prior's, which is measured first
    std::optional<Choice> challenger;
  };
  Target target_;
  std::vector<Entry> entries_;
  std::vector<Candidate> batch_;
  bool confirming_ = false;  ///< the batch is the best so far and its challenger
};

/// What one repeat runs of a kernel: `units` of its first `last` units, others each time. `share` is their part of the
/// kernel's work.
struct BenchPortion {
  int64_t units, last;
  double share;
};

/// A program that measures candidates, one kernel each. Scratch and operands lie over arbitrary data. `bench(base,
/// index, repeats)` runs a kernel, or some units of a large one, others each time. At base there is a word of state for
/// each.
struct BenchProgram {
  std::vector<BenchPortion> portions;  ///< per kernel; empty: all of every kernel
  Program program;
  int64_t bytes = 0;
};
/// `whole`: runs all of every kernel, however large it is.
BenchProgram make_bench_program(const std::vector<KernelSpec>& specs, const std::vector<Search::Candidate>& batch,
                                const Target& target, bool whole = false);
/// Emits it: exports bench(base, index, repeats).
Status emit_bench(Emitter& emitter, const BenchProgram& bench);

}  // namespace kiln
