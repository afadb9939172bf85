#include <unistd.h>

#include <cstdio>

#include "runtime/cli/browser.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"
#include "runtime/native_file.h"

namespace kiln::cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string output, browser;
  double budget_ms = 2000;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.model);
  command.add_option("--budget-ms", flags.budget_ms, "how long to measure")->capture_default_str();
  command.add_option("--browser", flags.browser, "measure in this engine, for pages that it opens")
      ->check(CLI::IsMember({"chromium", "firefox"}));
  command.add_option("-o,--output", flags.output, "the wisdom file to add to (default: this device's own)");
}

void print_progress(const TuneProgress& p) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, "\r%d candidates, %.1f of %.1f s", p.measured, p.elapsed_ms / 1e3, p.budget_ms / 1e3);
  std::fflush(stderr);
}

Status tune_here(const Flags& flags) {
  KILN_ASSIGN(const Target target, target_by_name(flags.model.isa));
  KILN_ASSIGN(const CompileOptions options, compile_options(flags.model, target));
  const auto store = flags.output.empty() ? WisdomFile::of_device(options.device) : WisdomFile(flags.output);
  if (!store) return Error{ErrorCode::bad_option, "this process has no home directory: say --output FILE", ""};
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
  KILN_TRY(store->merge(chooser.learned()));
  std::printf("%d candidates for %zu kernels; wisdom in %s\n", measured, chooser.searched().size(),
              store->path().c_str());
  return ok();
}

Status tune_model(const Flags& flags) {
  if (flags.browser.empty()) return tune_here(flags);
  if (flags.output.empty())
    return Error{ErrorCode::bad_option, "--browser needs --output FILE: a browser keeps its own wisdom elsewhere", ""};
  KILN_ASSIGN(const Wisdom wisdom, tune_in_browser(flags.model, flags.browser, flags.budget_ms));
  KILN_TRY(WisdomFile(flags.output).merge(wisdom));
  std::printf("wisdom of %s in %s: pass it as tuning.wisdom\n", flags.browser.c_str(), flags.output.c_str());
  return ok();
}

}  // namespace

void add_tune(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "tune", "Measures kernels ahead of time and keeps what is fastest", describe,
                     tune_model);
}

}  // namespace kiln::cli
