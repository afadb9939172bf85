#include "runtime/native_tune.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "runtime/native_executable.h"
#include "runtime/native_memory.h"

namespace kiln {
namespace {

constexpr int kBatch = 8, kSamples = 10;
constexpr double kWarmUpMs = 0.2;
constexpr double kHopeless = 1.3;  ///< a candidate that is so much slower than the best cannot win

/// The milliseconds of `repeats` calls.
template <class Run>
double time_ms(const Run& run, int64_t repeats) {
  const Clock::time_point start = Clock::now();
  run(repeats);
  return since_ms(start);
}

/// Warms up, and returns the milliseconds of one call, roughly.
template <class Run>
double warm_up(const Run& run, double sample_ms) {
  for (int64_t count = 1;; count *= 4) {
    const double took = time_ms(run, count);
    if (took >= std::min(kWarmUpMs, sample_ms / 4)) return took / static_cast<double>(count);
  }
}

/// How many calls of `once_ms` make a sample.
int64_t calls(double sample_ms, double once_ms) { return std::max<int64_t>(1, std::llround(sample_ms / once_ms)); }

/// The least nanoseconds of each candidate's whole kernel. When it is `late` it stops, with at least one sample each.
/// All samples are as long as the longest call of a candidate that may win. On a busy machine a shorter sample would
/// find a quiet moment sooner.
std::vector<double> measure(const std::function<void(size_t index, int64_t repeats)>& bench,
                            const std::vector<BenchPortion>& portions, double sample_ms,
                            const std::function<bool()>& late) {
  const size_t count = portions.size();
  std::vector<double> once, best(count, std::numeric_limits<double>::infinity());
  double least = best[0];
  for (size_t i = 0; i < count; ++i) {
    once.push_back(warm_up([&](int64_t n) { bench(i, n); }, sample_ms));
    least = std::min(least, once[i] / portions[i].share);
  }
  for (size_t i = 0; i < count; ++i)
    if (once[i] / portions[i].share <= kHopeless * least) sample_ms = std::max(sample_ms, once[i]);
  for (int sample = 0; sample < kSamples && (sample == 0 || !late()); ++sample)
    for (size_t i = 0; i < count; ++i) {
      const int64_t repeats = calls(sample_ms, once[i]);
      const double took = time_ms([&](int64_t n) { bench(i, n); }, repeats);
      best[i] = std::min(best[i], took * 1e6 / static_cast<double>(repeats) / portions[i].share);
    }
  return best;
}

/// Operands of ordinary size. Zeros are no faster to multiply on any machine, but denormals are slower.
void fill(const NativeMemory& memory) {
  auto* at = reinterpret_cast<float*>(memory.at(0));
  for (int64_t i = 0; i < memory.bytes() / 4; ++i) at[i] = static_cast<float>(i % 64) * 0.015625f;
}

}  // namespace

Status tune(Chooser& chooser, const Target& target, double budget_ms,
            const std::function<void(const TuneProgress&)>& progress) {
  const Clock::time_point start = Clock::now();
  const auto late = [&] { return since_ms(start) >= budget_ms; };
  const double sample_ms = std::min(1.0, budget_ms / 400);
  NativeMemory memory;
  TuneProgress now{0, budget_ms, 0};
  while (!late()) {
    const std::vector<Search::Candidate>& batch = chooser.next_batch(kBatch);
    if (batch.empty()) break;
    const BenchProgram bench = chooser.bench();
    KILN_ASSIGN(const auto code, load_executable(target, [&](Emitter& e) { return emit_bench(e, bench); }));
    if (memory.bytes() < bench.bytes) {
      KILN_ASSIGN(memory, NativeMemory::allocate(bench.bytes));
      fill(memory);
    }
    Status failure = ok();
    const auto run = [&](size_t index, int64_t repeats) {
      const Status done = code->call(Entry::bench, {memory.base(), static_cast<int64_t>(index), repeats});
      if (!done) failure = done;
    };
    const std::vector<double> best = measure(run, bench.portions, sample_ms, late);
    KILN_TRY(failure);
    if (chooser.duel() && late()) break;  // cut short: nobody has won
    for (size_t i = 0; i < best.size(); ++i) chooser.report(i, best[i]);
    now.elapsed_ms = since_ms(start);
    now.measured += static_cast<int>(best.size());
    if (progress) progress(now);
  }
  return ok();
}

Result<double> measure_peak(const Target& target) {
  constexpr int kChains = 12, kRounds = 64;  // more than latency × rate of any target, fewer than its registers
  constexpr int kOperations = kRounds / kChains * kChains;
  const auto emit = [](Emitter& e) -> Status {
    e.begin_function("peak", 2, true);
    const Int i = e.integer();
    const Vec a = e.vec(), b = e.vec();
    e.splat(a, 0.5f);
    e.splat(b, 0.25f);
    std::vector<Vec> sums;
    for (int c = 0; c < kChains; ++c) {
      sums.push_back(e.vec());
      e.splat(sums.back(), 1.0f);
    }
    e.for_range(i, 0, e.param(1), 1, [&] {
      for (int round = 0; round < kRounds / kChains; ++round)
        for (Vec sum : sums) e.madd(sum, a, b, sum);
    });
    for (int c = 1; c < kChains; ++c) e.op(VecBinary::add, sums[0], sums[0], sums[static_cast<size_t>(c)]);
    e.store({e.param(0), 0}, sums[0]);
    e.end_function();
    return ok();
  };
  KILN_ASSIGN(const auto code, load_executable(target, emit));
  alignas(64) std::array<float, 16> sink{};
  const auto run = [&](int64_t repeats) {
    (void)code->call(Entry::peak, {static_cast<int64_t>(reinterpret_cast<intptr_t>(sink.data())), repeats});
  };
  constexpr double kPeakMs = 2;
  const int64_t repeats = calls(kPeakMs, warm_up(run, kPeakMs));
  double best = std::numeric_limits<double>::infinity();
  for (int sample = 0; sample < 2 * kSamples; ++sample) best = std::min(best, time_ms(run, repeats));
  const double flops = 2.0 * target.width * kOperations * static_cast<double>(repeats);
  return flops / best / 1e6;
}

}  // namespace kiln
