// Each function adds one subcommand. If the command line chooses it, parsing sets `work`, and main() calls that.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "support/result.h"

namespace kiln::cli {

using Work = std::function<Status()>;

void add_inspect(CLI::App& app, Work& work);
void add_run(CLI::App& app, Work& work);
void add_bench(CLI::App& app, Work& work);
void add_profile(CLI::App& app, Work& work);
void add_dump(CLI::App& app, Work& work);
void add_ops(CLI::App& app, Work& work);
void add_tune(CLI::App& app, Work& work);
void add_wisdom(CLI::App& app, Work& work);

/// A subcommand whose flags are a `Flags`, described by `describe(command, flags)`, and whose work is `run(flags)`.
template <class Flags>
void add_command(CLI::App& app, Work& work, const char* name, const char* help,
                 void (*describe)(CLI::App& command, Flags& flags), Status (*run)(const Flags& flags)) {
  CLI::App* command = app.add_subcommand(name, help);
  const auto flags = std::make_shared<Flags>();
  describe(*command, *flags);
  command->callback([&work, flags, run] { work = [flags, run] { return run(*flags); }; });
}

}  // namespace kiln::cli
