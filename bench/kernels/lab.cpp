#include "bench/kernels/lab.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace kiln::bench {
namespace {

constexpr double kSampleSeconds = 1e-3;
/// V8 recompiles a kernel after some 3 MFLOP, on a thread of its own.
constexpr double kWarmupWork = 5e6;
/// A call into a module costs about a microsecond under Node, so a batch takes some fifty.
constexpr double kBatchSeconds = 50e-6, kGuessedWorkPerSecond = 40e9;

/// Keeps the least time of every benchmark.
class Collector final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.error_occurred || run.run_type != Run::RT_Iteration || run.iterations == 0) continue;
      const double seconds = run.real_accumulated_time / static_cast<double>(run.iterations);
      const auto [at, is_new] = least.emplace(run.run_name.function_name, seconds);
      if (!is_new) at->second = std::min(at->second, seconds);
    }
  }
  std::map<std::string, double> least;
};

void initialize() {
  static bool done = false;
  if (done) return;
  done = true;
  char name[] = "kernels", interleave[] = "--benchmark_enable_random_interleaving=true";
  char* arguments[] = {name, interleave, nullptr};
  int count = 2;
  benchmark::Initialize(&count, arguments);
}

}  // namespace

Workspace::Workspace(int64_t bytes)
    : floats_(static_cast<size_t>(bytes / 4 + 64)),
      base_(round_up(testing::address(floats_.data()), 64)),
      bytes_(bytes) {
  for (size_t i = 0; i < floats_.size(); ++i) floats_[i] = static_cast<float>(i * 7919 % 2003) / 250 - 4;
}

Result<std::unique_ptr<testing::Machine>> load(const Target& target, const BenchProgram& program) {
  Status emitted = ok();
  auto machine = testing::load(target, [&](Emitter& e) { emitted = emit_bench(e, program); });
  if (!emitted) return emitted.error();
  return machine;
}

Peak::Peak(const Target& target) {
  constexpr int64_t kRounds = 1000, kUnroll = 4, kAccumulators = 12;
  flops_ = 2.0 * kRounds * kUnroll * kAccumulators * target.width;
  auto loaded = testing::load(target, [&](Emitter& e) {
    const Func f = e.begin_function("multiply_adds", 1);
    const Int i = e.integer();
    const Vec a = e.vec(), b = e.vec();
    e.splat(a, 0.5f);
    e.splat(b, 0.25f);
    std::vector<Vec> acc;
    for (int64_t j = 0; j < kAccumulators; ++j) e.splat(acc.emplace_back(e.vec()), static_cast<float>(j));
    e.for_range(i, 0, kRounds, 1, [&] {
      for (int64_t j = 0; j < kAccumulators * kUnroll; ++j) {
        const Vec v = acc[static_cast<size_t>(j % kAccumulators)];
        e.madd(v, a, b, v);
      }
    });
    for (int64_t j = 0; j < kAccumulators; ++j) e.store({e.param(0), j * 64}, acc[static_cast<size_t>(j)]);
    e.end_function();
    e.begin_function("bench", 3, true);
    const Int repeats = e.param(2);
    e.do_while(
        [&] {
          e.call(f, {e.param(0)});
          add(e, repeats, repeats, -1);
        },
        repeats, Compare::gt, 0);
    e.end_function();
  });
  if (loaded) machine_ = std::move(*loaded);
}

Subject Peak::subject() const { return {"peak", flops_, machine_.get(), 0}; }

std::vector<double> measure(const std::vector<Subject>& subjects, const Workspace& workspace, int repetitions) {
  initialize();
  benchmark::ClearRegisteredBenchmarks();
  const auto batch_of = [](const Subject& s, double work) {
    return std::max<int64_t>(1, static_cast<int64_t>(work / std::max(s.work, 1.0)));
  };
  for (size_t i = 0; i < subjects.size(); ++i) {
    const Subject& s = subjects[i];
    if (!s.machine) continue;
    const auto call = [&workspace, s](int64_t repeats) {
      return s.machine->call("bench", {workspace.base(), s.index, repeats}).ok();
    };
    if (!call(batch_of(s, kWarmupWork))) continue;
    const int64_t batch = batch_of(s, kBatchSeconds * kGuessedWorkPerSecond);
    benchmark::RegisterBenchmark(std::to_string(i).c_str(),
                                 [call, batch](benchmark::State& state) {
                                   while (state.KeepRunningBatch(batch))
                                     if (!call(batch)) return state.SkipWithError("trapped");
                                 })
        ->MinTime(kSampleSeconds)
        ->Repetitions(repetitions)
        ->UseRealTime();
  }
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector, ".");
  std::vector<double> out;
  for (size_t i = 0; i < subjects.size(); ++i) {
    const auto found = collector.least.find(std::to_string(i));
    out.push_back(found == collector.least.end() ? std::numeric_limits<double>::infinity() : found->second);
  }
  return out;
}

}  // namespace kiln::bench
