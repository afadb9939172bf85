#include <unistd.h>

#include <cstdio>
#include <set>

#include "runtime/cli/commands.h"
#include "runtime/cli/flags.h"
#include "runtime/cli/text.h"
#include "runtime/native_file.h"

namespace kiln::cli {
namespace {

struct Flags {
  std::string path, isa = "host", output;
  int threads = 1;
  double budget_ms = 2000;
  std::vector<std::string> dims;
};
void describe(CLI::App& command, Flags& flags) {
  command.add_option("model", flags.path, "a .kiln file")->required();
  command.add_option("--isa", flags.isa, "host (the best of this CPU), avx2, avx512, neon")->capture_default_str();
  command.add_option("--threads", flags.threads, "of the sessions that are to use the wisdom")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--budget-ms", flags.budget_ms, "how long to measure")->capture_default_str();
  command.add_option("--dim", flags.dims, "name=size of a symbolic dim");
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
  CompileOptions options;
  KILN_ASSIGN(options.target, target_by_name(flags.isa));
  options.threads = flags.threads;
  options.device = host_device(flags.threads);
  KILN_ASSIGN(options.dims, parse_dims(flags.dims));
  KILN_ASSIGN(const WisdomFile store, store_of(flags, options.device));
  KILN_ASSIGN(const ModelFile file, ModelFile::open(flags.path));
  KILN_ASSIGN(Graph graph, file.graph());
  KILN_ASSIGN(const Planned planned, plan_model(std::move(graph), options));
  Chooser chooser(planned, options.target, options.device);
  int measured = 0;
  KILN_TRY(tune(chooser, options.target, flags.budget_ms, [&](const TuneProgress& p) {
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
