#include "ir/ops.h"

#include <cstdio>

#include "runtime/cli/commands.h"

namespace kiln::cli {
namespace {

struct Flags {};

Status ops(const Flags&) {
  std::fputs(op_table_text().c_str(), stdout);
  return ok();
}

}  // namespace

void add_ops(CLI::App& app, Work& work) {
  add_command<Flags>(
      app, work, "ops", "The operators that models may use", [](CLI::App&, Flags&) {}, ops);
}

}  // namespace kiln::cli
