#include <cstdio>

#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"

namespace kiln::cli {
namespace {

struct Flags {
  SessionFlags session;
  DataFlags data;
  SandboxFlags sandbox;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.session);
  describe(command, flags.data);
  describe(command, flags.sandbox);
}

Status run(const Flags& flags) {
  SessionFlags how = flags.session;
  KILN_TRY(enter(flags.sandbox, how, flags.data));
  KILN_ASSIGN(const auto session, open(how));
  KILN_ASSIGN(const Inputs inputs, read_inputs(session->inputs(), flags.data));
  const Outputs outputs = room_for(session->outputs());
  const Clock::time_point start = Clock::now();
  KILN_TRY(session->run(inputs.views, outputs.views));
  const double ms = since_ms(start);
  KILN_TRY(write(outputs, flags.data));
  for (const Port& port : outputs.ports) std::printf("%s: %s\n", port.name.c_str(), type_text(port).c_str());
  std::printf("loaded in %s ms, ran in %s ms\n", fixed(session->timings().total_ms, 1).c_str(), fixed(ms, 2).c_str());
  return ok();
}

}  // namespace

void add_run(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "run", "Runs a model once on inputs from files", describe, run);
}

}  // namespace kiln::cli
