#include <cstdio>

#include "runtime/cli/commands.h"
#include "runtime/native_device.h"

namespace kiln::cli {
namespace {

struct MergeFlags {
  std::vector<std::string> inputs;
  std::string output;
};
void describe(CLI::App& command, MergeFlags& flags) {
  command.add_option("files", flags.inputs, "wisdom files")->required();
  command.add_option("-o,--output", flags.output, "where the merged wisdom goes")->required();
}

Status merge(const MergeFlags& flags) {
  Wisdom all;
  for (const std::string& path : flags.inputs) {
    KILN_ASSIGN(const Wisdom wisdom, WisdomFile(path).load());
    all.merge(wisdom);
  }
  KILN_TRY(WisdomFile(flags.output).replace(all));
  std::printf("%s: %zu scopes\n", flags.output.c_str(), all.size());
  return ok();
}

}  // namespace

void add_wisdom(CLI::App& app, Work& work) {
  CLI::App* wisdom = app.add_subcommand("wisdom", "What was measured, as files");
  wisdom->require_subcommand(1);
  add_command<MergeFlags>(*wisdom, work, "merge", "One file of several; of two measurements the faster stays", describe,
                          merge);
}

}  // namespace kiln::cli
