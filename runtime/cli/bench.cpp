#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"

namespace kiln::cli {
namespace {

struct Flags {
  SessionFlags session;
  DataFlags data;
  int rounds = 20, warm_up = 5;
  bool json = false;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.session);
  describe(command, flags.data);
  command.add_option("--rounds", flags.rounds)->check(CLI::Range(1, 1000000))->capture_default_str();
  command.add_option("--warm-up", flags.warm_up, "runs before the first that counts")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command.add_flag("--json", flags.json, "print one JSON object");
}

double peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

double quantile(const std::vector<double>& sorted, double q) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(static_cast<double>(sorted.size()) * q))];
}

void print_json(const NativeSession& session, const std::vector<double>& samples, double first_ms) {
  const SessionTimings& t = session.timings();
  const nlohmann::json out{{"samples_ms", samples},
                           {"first_output_ms", first_ms},
                           {"peak_memory_bytes", peak_memory_bytes()},
                           {"model_memory_bytes", session.memory().total_bytes},
                           {"load_ms",
                            {{"plan", t.plan_ms},
                             {"tune", t.tune_ms},
                             {"emit", t.emit_ms},
                             {"weights", t.weights_ms},
                             {"total", t.total_ms}}},
                           {"target", to_string(session.options().target)},
                           {"threads", session.options().threads}};
  std::printf("%s\n", out.dump().c_str());
}

void print_text(const NativeSession& session, std::vector<double> samples, double first_ms) {
  std::sort(samples.begin(), samples.end());
  const SessionTimings& t = session.timings();
  std::printf("%s, %d threads\n", to_string(session.options().target).c_str(), session.options().threads);
  std::printf("run     median %s ms, min %s ms, p95 %s ms (%zu rounds)\n", fixed(quantile(samples, 0.5), 3).c_str(),
              fixed(samples.front(), 3).c_str(), fixed(quantile(samples, 0.95), 3).c_str(), samples.size());
  std::printf("load    plan %s + tune %s + emit %s + weights %s ms; first output after %s ms\n",
              fixed(t.plan_ms, 1).c_str(), fixed(t.tune_ms, 1).c_str(), fixed(t.emit_ms, 1).c_str(),
              fixed(t.weights_ms, 1).c_str(), fixed(first_ms, 1).c_str());
  std::printf("memory  %s MB for the model, %s MB at the process's peak\n",
              fixed(static_cast<double>(session.memory().total_bytes) / 1e6, 1).c_str(),
              fixed(peak_memory_bytes() / 1e6, 1).c_str());
}

Status bench(const Flags& flags) {
  const Clock::time_point start = Clock::now();
  KILN_ASSIGN(const auto session, open(flags.session));
  KILN_ASSIGN(const Inputs inputs, read_or_invent_inputs(session->inputs(), flags.data));
  const Outputs outputs = room_for(session->outputs());
  KILN_TRY(session->run(inputs.views, outputs.views));
  const double first_ms = since_ms(start);
  std::vector<double> samples;
  for (int round = -flags.warm_up; round < flags.rounds; ++round) {
    const Clock::time_point began = Clock::now();
    KILN_TRY(session->run(inputs.views, outputs.views));
    if (round >= 0) samples.push_back(since_ms(began));
  }
  if (flags.json)
    print_json(*session, samples, first_ms);
  else
    print_text(*session, samples, first_ms);
  return write(outputs, flags.data);
}

}  // namespace

void add_bench(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "bench", "How long a model takes to load and to run", describe, bench);
}

}  // namespace kiln::cli
