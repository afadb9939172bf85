// The `kiln` command. Each subcommand has a file in runtime/cli.
#include <cstdio>

#include "runtime/cli/commands.h"
#include "runtime/cli/text.h"
#include "runtime/native_guard.h"

// NOLINTNEXTLINE(bugprone-exception-escape): the parser's are caught by CLI11_PARSE, and we throw none
int main(int argc, char** argv) {
  using namespace kiln;
  CLI::App app("wasmkiln: runs PyTorch models by compiling them for the machine they are on", "kiln");
  app.set_version_flag("--version", "kiln " KILN_VERSION);
  app.require_subcommand(1);
  cli::Work work;
  cli::add_inspect(app, work);
  cli::add_run(app, work);
  cli::add_bench(app, work);
  cli::add_profile(app, work);
  cli::add_dump(app, work);
  cli::add_ops(app, work);
  cli::add_tune(app, work);
  cli::add_wisdom(app, work);
  CLI11_PARSE(app, argc, argv);
  const Status done = guarded(work);
  if (done) return 0;
  const Error& e = done.error();
  const std::string text = e.message + (e.where.empty() ? "" : " [" + e.where + "]");
  std::fprintf(stderr, "kiln: %s: %s\n", error_code_name(e.code), cli::shown(text).c_str());
  return 1;
}
