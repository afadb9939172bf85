// Single kernels against a peak that is measured beside them: GFLOP/s and share of the peak; for products also the
// prior's pick against the best of all candidates. Usage: kiln_bench [--search] [--json FILE] [--only TEXT] [--target
// TEXT]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/kernels/cases.h"
#include "bench/kernels/lab.h"

namespace kiln::bench {
namespace {

constexpr int kRepetitions = 12;  ///< samples of what is reported
constexpr int kScreening = 3;     ///< samples of every candidate; the fastest kFinalists are measured again
constexpr size_t kFinalists = 8;
constexpr int64_t kWorkspaceBytes = 96 << 20, kOperands = 6;

struct Options {
  bool search = false;
  std::string json, only, target;  ///< only: rows whose name holds this; target: likewise
};

struct Row {
  std::string name, schedule, best_schedule;
  double flops = 0, elements = 0, seconds = 0, best_seconds = 0, peak = 0;  ///< peak: flops per second
};

BenchProgram lay_out(std::vector<Program::Kernel> kernels) {
  BenchProgram out;
  for (const Program::Kernel& k : kernels) {
    ProgramStep step;
    // Operands are not multiples of a page apart. Otherwise loads would seem to depend on stores.
    for (int64_t i = 0; i < num_operands(k.spec); ++i)
      step.operands.push_back(i * (kWorkspaceBytes / kOperands + 1088));
    out.program.steps.push_back(std::move(step));
  }
  out.program.kernels = std::move(kernels);
  return out;
}

class Runner {
 public:
  Runner(Target target, Options options, const Workspace& workspace)
      : target_(std::move(target)), options_(std::move(options)), workspace_(workspace), peak_(target_) {}

  void products() {
    std::printf("  %-16s %6s  %-28s %6s %6s", "M x N x K", "peak", "prior", "GF", "share");
    std::printf(options_.search ? "  %-28s %6s %6s %6s\n" : "\n", "best", "GF", "share", "prior/best");
    double of_peak = 0, of_best = 0, best_of_peak = 0, count = 0;
    for (const Case& c : chosen(gemm_cases())) {
      const Row r = run(c, options_.search);
      std::printf("  %-16s %6.1f  %-28s %6.1f %5.1f%%", r.name.c_str(), r.peak / 1e9, r.schedule.c_str(),
                  r.flops / r.seconds / 1e9, 100 * share(r, r.seconds));
      if (options_.search)
        std::printf("  %-28s %6.1f %5.1f%% %5.1f%%", r.best_schedule.c_str(), r.flops / r.best_seconds / 1e9,
                    100 * share(r, r.best_seconds), 100 * r.best_seconds / r.seconds);
      std::printf("\n");
      std::fflush(stdout);
      of_peak += std::log(share(r, r.seconds)), best_of_peak += std::log(share(r, r.best_seconds));
      of_best += std::log(r.best_seconds / r.seconds);
      ++count;
    }
    if (count == 0) return;
    std::printf("  geomean: prior against peak %.1f%%", 100 * std::exp(of_peak / count));
    if (options_.search)
      std::printf(", best against peak %.1f%%, prior against best %.1f%%", 100 * std::exp(best_of_peak / count),
                  100 * std::exp(of_best / count));
    std::printf("\n");
  }

  void others(std::vector<Case> cases) {
    for (const Case& c : chosen(std::move(cases))) {
      const Row r = run(c, false);
      std::printf("  %-40s", r.name.c_str());
      if (r.elements > 0)
        std::printf(" %8.3f ns/element", r.seconds * 1e9 / r.elements);
      else
        std::printf(" %6.1f GF %5.1f%%", r.flops / r.seconds / 1e9, 100 * share(r, r.seconds));
      std::printf(" %10.1f us  %s\n", r.seconds * 1e6, r.schedule.c_str());
      std::fflush(stdout);
    }
  }

  const nlohmann::json& json() const { return json_; }

 private:
  static double share(const Row& r, double seconds) { return r.flops / seconds / r.peak; }

  std::vector<Case> chosen(std::vector<Case> cases) const {
    const auto other = [&](const Case& c) { return c.name.find(options_.only) == std::string::npos; };
    cases.erase(std::remove_if(cases.begin(), cases.end(), other), cases.end());
    return cases;
  }

  Row run(const Case& c, bool search) {
    Row r;
    r.name = c.name, r.flops = flops_of(c.spec), r.elements = c.elements;
    const Schedule pick = prior(c.spec, target_, Device{});
    std::vector<Schedule> schedules{pick};
    if (search)
      for (const Schedule& s : candidates(c.spec, target_))
        if (s != pick) schedules.push_back(s);
    if (schedules.size() > 1 + kFinalists) {
      const std::vector<double> screened = time(c.spec, schedules, kScreening, nullptr);
      std::vector<size_t> order;
      for (size_t i = 1; i < schedules.size(); ++i) order.push_back(i);
      std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return screened[a] < screened[b]; });
      std::vector<Schedule> best{pick};
      for (size_t i = 0; i < kFinalists; ++i) best.push_back(schedules[order[i]]);
      schedules = best;
    }
    const std::vector<double> seconds = time(c.spec, schedules, kRepetitions, &r.peak);
    const auto best = std::min_element(seconds.begin(), seconds.end());
    r.seconds = seconds[0], r.best_seconds = *best;
    r.schedule = to_string(pick), r.best_schedule = to_string(schedules[static_cast<size_t>(best - seconds.begin())]);
    json_.push_back({{"kernel", r.name},
                     {"target", to_string(target_)},
                     {"schedule", r.schedule},
                     {"seconds", r.seconds},
                     {"flops", r.flops},
                     {"peak_flops_per_second", r.peak}});
    if (r.elements > 0) json_.back()["elements"] = r.elements;
    if (search) json_.back()["best_schedule"] = r.best_schedule, json_.back()["best_seconds"] = r.best_seconds;
    return r;
  }

  std::vector<double> time(const KernelSpec& spec, const std::vector<Schedule>& schedules, int repetitions,
                           double* peak) {
    std::vector<Program::Kernel> kernels;
    for (const Schedule& s : schedules) kernels.push_back({spec, s});
    auto machine = load(target_, lay_out(kernels));
    const double work = std::max(flops_of(spec), bytes_of(spec));
    std::vector<Subject> subjects;
    for (size_t i = 0; i < kernels.size(); ++i)
      subjects.push_back({"", work, machine ? machine->get() : nullptr, static_cast<int>(i)});
    if (peak) subjects.push_back(peak_.subject());
    std::vector<double> seconds = measure(subjects, workspace_, repetitions);
    if (peak) {
      *peak = peak_.subject().work / seconds.back();
      seconds.pop_back();
    }
    return seconds;
  }

  Target target_;
  Options options_;
  const Workspace& workspace_;
  Peak peak_;
  nlohmann::json json_ = nlohmann::json::array();
};

int main_of(const Options& options) {
  const Workspace workspace(kWorkspaceBytes + kOperands * 1088);
  nlohmann::json all = nlohmann::json::array();
  for (const Target& target : testing::real_targets()) {
    if (to_string(target).find(options.target) == std::string::npos) continue;
    std::printf("%s\n", to_string(target).c_str());
    Runner runner(target, options, workspace);
    runner.products();
    runner.others(convolution_cases());
    runner.others(row_cases());
    all.insert(all.end(), runner.json().begin(), runner.json().end());
  }
  if (!options.json.empty()) std::ofstream(options.json) << all.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace kiln::bench

int main(int argc, char** argv) {
  kiln::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--search")) options.search = true;
    if (!std::strcmp(argv[i], "--json") && i + 1 < argc) options.json = argv[++i];
    if (!std::strcmp(argv[i], "--only") && i + 1 < argc) options.only = argv[++i];
    if (!std::strcmp(argv[i], "--target") && i + 1 < argc) options.target = argv[++i];
  }
  return kiln::bench::main_of(options);
}
