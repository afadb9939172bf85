#include <unistd.h>

#include <cstdio>

#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"
#include "runtime/native_file.h"

namespace kiln::cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string output;
  double budget_ms = 2000;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.model);
  command.add_option("--budget-ms", flags.budget_ms, "how long to measure")->capture_default_str();
  command.add_option("-o,--output", flags.output, "the wisdom file to add to (default: this device's own)");
}

void print_progress(const TuneProgress& p) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, "\r%d candidates, %.1f of %.1f s", p.measured, p.elapsed_ms / 1e3, p.budget_ms / 1e3);
  std::fflush(stderr);
}

Result<WisdomFile> store_of(const Flags& flags, const Device& device) {
  if (!flags.output.empty()) return WisdomFile(flags.output);
  const auto own = WisdomFile::of_device(device);
  if (own) return *own;
  return Error{ErrorCode::bad_option, "this process has no home directory: say --output FILE", ""};
}

Status tune_model(const Flags& flags) {
  KILN_ASSIGN(const Target target, target_by_name(flags.model.isa));
  KILN_ASSIGN(const CompileOptions options, compile_options(flags.model, target));
  KILN_ASSIGN(const WisdomFile store, store_of(flags, options.device));
  KILN_ASSIGN(const ModelFile file, ModelFile::open(flags.model.path));
  KILN_ASSIGN(Graph graph, file.graph());
  KILN_ASSIGN(const Planned planned, plan_model(std::move(graph), options));
  Chooser chooser(planned, target, options.device);
  KILN_ASSIGN(const std::vector<Wisdom> known, load_wisdom(flags.model));
  for (const Wisdom& wisdom : known) chooser.add(wisdom);
  int measured = 0;
  KILN_TRY(tune(chooser, target, flags.budget_ms, [&](const TuneProgress& p) {
    measured = p.measured;
    print_progress(p);
  }));
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\n");
  KILN_TRY(store.merge(chooser.learned()));
  std::printf("%d candidates for %zu kernels; wisdom in %s\n", measured, chooser.searched().size(),
              store.path().c_str());
  return ok();
}

}  // namespace

void add_tune(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "tune", "Measures kernels ahead of time and keeps what is fastest", describe,
                     tune_model);
}

}  // namespace kiln::cli
