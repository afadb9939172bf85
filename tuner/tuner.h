// KernelSpec → Schedule: wisdom first, then the analytic prior, then, within a budget, measurement.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jit/family.h"
#include "jit/program.h"

namespace kiln {

/// The generator version: part of every wisdom key; raised when the code a (spec, schedule) stands for changes.
constexpr int kGeneratorVersion = 5;

/// What the prior knows of the machine.
struct Device {
  std::string id = "unknown";  ///< CPU or user-agent class, part of the wisdom key
  int64_t l1_bytes = 32 << 10, l2_bytes = 1 << 20;
  int threads = 1;
  bool fast_dots = true;  ///< products of pairs of i16 are an instruction: of an x86, elsewhere they are four
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
/// The schedule of what runs once, at load: kernels that many specs share, where there are such.
Schedule prior_at_load(const KernelSpec& spec, const Target& target, const Device& device);

/// Measured choices (tuner/wisdom.cpp). The key of an entry names target, device, threads, generator version and spec;
/// an entry of another key is never found.
class Wisdom {
 public:
  static std::string scope(const Target& target, const Device& device);
  std::optional<Choice> find(const std::string& scope, const KernelSpec& spec) const;
  void put(const std::string& scope, const KernelSpec& spec, const Choice& choice);
  void merge(const Wisdom& other);  ///< keeps the faster of two
  /// JSON: {"wasmkiln-wisdom": 1, "entries": [{"scope", "spec", "schedule", "ns"}]}. Refuses other versions, malformed
  /// or infeasible entries.
  static Result<Wisdom> parse(std::string_view json);
  std::string to_json() const;
  size_t size() const { return entries_.size(); }

 private:
  std::map<std::string, std::map<std::string, Choice>> entries_;  // scope → spec → choice
};

/// A search that can be driven from outside (a page, a native loop): take a batch, measure it, report, until done.
class Search {
 public:
  Search(std::vector<KernelSpec> specs, Target target, const Device& device);
  struct Candidate {
    int spec;
    Schedule schedule;
  };
  /// The next kernels to measure against each other, all of one spec; empty when there is nothing left. Whoever beats
  /// the best so far meets it once more: chance favours one of many.
  std::vector<Candidate> next_batch(int max_candidates);
  /// Best time of one candidate of the last batch, in their order, in nanoseconds for the whole kernel on one thread;
  /// < 0: it failed.
  void report(size_t index, double nanoseconds);
  Choice best(int spec) const;
  /// Whether the last batch is to be measured whole: it is the best so far of a spec and who has beaten it.
  bool confirming() const { return confirming_; }

 private:
  struct Entry {
    KernelSpec spec;
    std::vector<Schedule> untried;
    int batches = 0;  ///< taken so far
    Choice best;      ///< at first the prior's, which is measured first
    std::optional<Choice> challenger;
  };
  Target target_;
  std::vector<Entry> entries_;
  std::vector<Candidate> batch_;
  bool confirming_ = false;  ///< the batch is the best so far and its challenger
};

/// What one repeat runs of a kernel: so many of its first `last` units, other ones each time; `share` of all its work.
struct BenchPortion {
  int64_t units, last;
  double share;
};

/// A program that measures candidates: one kernel each, scratch and operands laid out over arbitrary data; `bench(base,
/// index, repeats)` runs one, or of a large one some units, others each time. At base there are as many words of state.
struct BenchProgram {
  std::vector<BenchPortion> portions;  ///< of each kernel; empty: all of every kernel
  Program program;
  int64_t bytes = 0;
};
/// `whole`: all of every kernel, however large.
BenchProgram make_bench_program(const std::vector<KernelSpec>& specs, const std::vector<Search::Candidate>& batch,
                                const Target& target, bool whole = false);
/// Emits it: exports bench(base, index, repeats).
Status emit_bench(Emitter& emitter, const BenchProgram& bench);

}  // namespace kiln
