// Flags that several subcommands share: how a model is opened, what it is fed, where its answers go.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "runtime/native_session.h"

namespace kiln::cli {

struct ModelFlags {
  std::string path, isa = "host";
  int threads = 0;
  double tuning_ms = 0;
  std::vector<std::string> dims, wisdom;
  bool no_device_wisdom = false, no_verify = false;
};
void describe(CLI::App& command, ModelFlags& flags);
Result<std::map<std::string, int64_t>> parse_dims(const std::vector<std::string>& dims);
/// Opens the model; notes go to stderr.
Result<std::unique_ptr<NativeSession>> open(const ModelFlags& flags);

struct DataFlags {
  std::vector<std::string> inputs;
  std::string output_dir;
};
void describe(CLI::App& command, DataFlags& flags);

/// Inputs in memory, and views of them.
struct Inputs {
  std::vector<std::vector<char>> bytes;
  std::vector<InputView> views;
};
/// From the files that were named.
Result<Inputs> read_inputs(const std::vector<Port>& ports, const DataFlags& flags);
/// The same; ports that no file was named for get numbers between -1 and 1 (floats), or zeros.
Result<Inputs> read_or_invent_inputs(const std::vector<Port>& ports, const DataFlags& flags);

struct Outputs {
  std::vector<std::vector<char>> bytes;
  std::vector<OutputView> views;
};
Outputs room_for(const std::vector<Port>& ports);
/// <name>.bin each, raw and little-endian; nothing without --output-dir.
Status write(const Outputs& outputs, const DataFlags& flags);

}  // namespace kiln::cli
