// Flags that several subcommands share: how a model is opened, what it is fed, where its answers go.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/native_session.h"

namespace kiln::cli {

/// A model, and what it is compiled for.
struct ModelFlags {
  std::string path, isa = "host", precision = "balanced";
  int threads = 0;
  std::vector<std::string> dims, wisdom;
};
void describe(CLI::App& command, ModelFlags& flags);
Result<CompileOptions> compile_options(const ModelFlags& flags, const Target& target);
Result<std::vector<Wisdom>> load_wisdom(const ModelFlags& flags);

struct SessionFlags {
  ModelFlags model;
  double tuning_ms = 0;
  bool no_device_wisdom = false, no_verify = false;
  std::optional<std::string> integrity;
};
void describe(CLI::App& command, SessionFlags& flags);
/// Opens the model; notes go to stderr.
Result<std::unique_ptr<NativeSession>> open(const SessionFlags& flags);

struct DataFlags {
  std::vector<std::string> inputs;
  std::string output_dir;
};
void describe(CLI::App& command, DataFlags& flags);

struct SandboxFlags {
  bool wanted = false;
  int memory_mb = 4096, seconds = 60;
};
void describe(CLI::App& command, SandboxFlags& flags);
/// Before the model is opened: enters a sandbox in which the files that the other flags name can be read and written.
Status enter(const SandboxFlags& flags, SessionFlags& session, const DataFlags& data);

/// Inputs in memory, and views of them.
struct Inputs {
  std::vector<std::vector<char>> bytes;
  std::vector<InputView> views;
};
/// From the files that were named.
Result<Inputs> read_inputs(const std::vector<Port>& ports, const DataFlags& flags);
/// The same. A port without a file gets numbers between -1 and 1 (floats) or zeros.
Result<Inputs> read_or_invent_inputs(const std::vector<Port>& ports, const DataFlags& flags);

struct Outputs {
  std::vector<std::vector<char>> bytes;
  std::vector<OutputView> views;
  std::vector<Port> ports;  ///< with the shapes that a run gave the results
};
Outputs room_for(const std::vector<Port>& ports);
/// <name>.bin each, raw and little-endian; nothing without --output-dir.
Status write(const Outputs& outputs, const DataFlags& flags);

}  // namespace kiln::cli
