#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"

namespace kiln::cli {
namespace {

struct Flags {
  SessionFlags session;
  DataFlags data;
  int passes = 20;
  bool json = false, by_time = false;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.session);
  describe(command, flags.data);
  command.add_option("--passes", flags.passes, "the least time of so many counts")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_flag("--by-time", flags.by_time, "slowest steps first");
  command.add_flag("--json", flags.json, "print one JSON object");
}

struct StepTime {
  size_t index;
  double ms, flops, bytes;
};

struct Profile {
  std::vector<StepTime> steps;
  double total_ms = 0, peak = 0;  ///< GFLOP/s of all threads together
};

Result<Profile> measure(const Flags& flags, NativeSession& session) {
  KILN_ASSIGN(const Inputs inputs, read_or_invent_inputs(session.inputs(), flags.data));
  Profile p;
  KILN_ASSIGN(const double before, measure_peak(session.options().target));
  KILN_ASSIGN(const std::vector<double> ms, session.profile(inputs.views, flags.passes));
  KILN_ASSIGN(const double after, measure_peak(session.options().target));
  p.peak = std::max(before, after) * session.options().threads;
  const std::vector<PlanStep>& steps = session.planned().plan.steps;
  for (size_t i = 0; i < ms.size(); ++i) {
    p.steps.push_back({i, ms[i], flops_of(steps[i].spec), bytes_of(steps[i].spec)});
    p.total_ms += ms[i];
  }
  if (flags.by_time)
    std::stable_sort(p.steps.begin(), p.steps.end(), [](const auto& a, const auto& b) { return a.ms > b.ms; });
  return p;
}

/// 0 if nothing was measured.
double per_second(double amount, double ms) { return ms > 0 ? amount / ms / 1e6 : 0; }

void print_steps(const NativeSession& session, const Profile& p) {
  Table table({"step", "kernel", "ms", "%", "GFLOP/s", "% of peak", "MB", "GB/s", "schedule", "what"});
  for (const StepTime& s : p.steps) {
    const PlanStep& step = session.planned().plan.steps[s.index];
    const double rate = per_second(s.flops, s.ms);
    table.add({std::to_string(s.index), family_name(step.spec), fixed(s.ms, 4), fixed(100 * s.ms / p.total_ms, 1),
               fixed(rate, 1), fixed(100 * rate / p.peak, 1), fixed(s.bytes / 1e6, 2),
               fixed(per_second(s.bytes, s.ms), 1), to_string(session.choice_of(s.index).schedule), step.label});
  }
  table.print();
}

void print_families(const NativeSession& session, const Profile& p) {
  std::map<std::string, StepTime> families;
  for (const StepTime& s : p.steps) {
    StepTime& f = families[family_name(session.planned().plan.steps[s.index].spec)];
    f.ms += s.ms, f.flops += s.flops, f.bytes += s.bytes, ++f.index;
  }
  Table table({"family", "steps", "ms", "%", "GFLOP/s", "% of peak"});
  for (const auto& [name, f] : families)
    table.add({name, std::to_string(f.index), fixed(f.ms, 3), fixed(100 * f.ms / p.total_ms, 1),
               fixed(per_second(f.flops, f.ms), 1), fixed(100 * per_second(f.flops, f.ms) / p.peak, 1)});
  table.print();
}

void print_json(const NativeSession& session, const Profile& p) {
  nlohmann::json steps = nlohmann::json::array();
  for (const StepTime& s : p.steps) {
    const PlanStep& step = session.planned().plan.steps[s.index];
    const Choice& choice = session.choice_of(s.index);
    steps.push_back({{"step", s.index},
                     {"kernel", family_name(step.spec)},
                     {"label", step.label},
                     {"spec", to_string(step.spec)},
                     {"schedule", to_string(choice.schedule)},
                     {"origin", name_of(choice.origin)},
                     {"ms", s.ms},
                     {"flops", s.flops},
                     {"bytes", s.bytes}});
  }
  const nlohmann::json out{{"target", to_string(session.options().target)},
                           {"threads", session.options().threads},
                           {"peak_gflops", p.peak},
                           {"total_ms", p.total_ms},
                           {"steps", steps}};
  std::printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status profile(const Flags& flags) {
  KILN_ASSIGN(const auto session, open(flags.session));
  KILN_ASSIGN(const Profile p, measure(flags, *session));
  if (flags.json) {
    print_json(*session, p);
    return ok();
  }
  print_steps(*session, p);
  std::printf("\n");
  print_families(*session, p);
  std::printf("\n%s: %s ms in %zu steps, %d threads; peak %s GFLOP/s, measured in this run\n",
              to_string(session->options().target).c_str(), fixed(p.total_ms, 3).c_str(), p.steps.size(),
              session->options().threads, fixed(p.peak, 1).c_str());
  return ok();
}

}  // namespace

void add_profile(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "profile", "Where the time of a model goes, step by step", describe, profile);
}

}  // namespace kiln::cli
