#include "runtime/cli/flags.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "runtime/cli/text.h"
#include "runtime/native_sandbox.h"
#include "support/half.h"
#include "support/text.h"

namespace kiln::cli {
namespace {

Error bad_option(std::string message) { return {ErrorCode::bad_option, std::move(message), ""}; }

/// "name=value"
Result<std::pair<std::string, std::string>> split(const std::string& text, const char* what) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) return bad_option("'" + text + "' is not of the form " + what);
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<std::map<std::string, int64_t>> parse_dims(const std::vector<std::string>& dims) {
  std::map<std::string, int64_t> out;
  for (const std::string& text : dims) {
    KILN_ASSIGN(const auto pair, split(text, "--dim name=size"));
    char* end = nullptr;
    const long long size = std::strtoll(pair.second.c_str(), &end, 10);
    if (pair.second.empty() || *end || size < 0)
      return bad_option("the dim " + pair.first + " needs a size, a whole number");
    out[pair.first] = size;
  }
  return out;
}

std::vector<char> invent(const Port& port) {
  std::vector<char> bytes(static_cast<size_t>(bytes_of(port)));
  if (lane_of(port.dtype) != Lane::f32) return bytes;
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto size = static_cast<size_t>(size_of(port.dtype));
  for (size_t at = 0; at < bytes.size(); at += size) {
    const float number = uniform(random);
    const uint16_t half = is_half(port.dtype) ? float_to_half(number, port.dtype) : 0;
    std::memcpy(&bytes[at], is_half(port.dtype) ? static_cast<const void*>(&half) : &number, size);
  }
  return bytes;
}

Result<Inputs> gather(const std::vector<Port>& ports, const DataFlags& flags, bool invent_missing) {
  std::map<std::string, std::string> files;
  for (const std::string& text : flags.inputs) {
    KILN_ASSIGN(const auto pair, split(text, "--input name=file"));
    if (!files.insert(pair).second) return bad_option("the input '" + pair.first + "' is given twice");
  }
  Inputs in;
  std::vector<const Port*> taken;
  for (const Port& port : ports) {
    const auto file = files.find(port.name);
    if (file == files.end() && !invent_missing) continue;  // the session names what is missing
    taken.push_back(&port);
    if (file == files.end()) {
      in.bytes.push_back(invent(port));
      continue;
    }
    KILN_ASSIGN(const std::string text, read_text(file->second));
    in.bytes.emplace_back(text.begin(), text.end());
    files.erase(file);
  }
  if (!files.empty())
    return Error{ErrorCode::bad_input, "the model has no input '" + files.begin()->first + "'; kiln inspect lists them",
                 ""};
  for (size_t i = 0; i < taken.size(); ++i)
    in.views.push_back({taken[i]->name, taken[i]->dtype, taken[i]->shape, in.bytes[i].data(),
                        static_cast<int64_t>(in.bytes[i].size())});
  return in;
}

}  // namespace

void describe(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.path, "a .kiln or .onnx file")->required();
  command.add_option("--isa", flags.isa, "host (the best of this CPU), avx2, avx512, neon, reference")
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "0: as many as this process has cores")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command
      .add_option(
          "--precision", flags.precision,
          "exact (no Winograd F(4,3), no Strassen, no weights of 16 bits), balanced, or fast: what rounds more too")
      ->capture_default_str();
  command.add_option("--dim", flags.dims, "name=size of a symbolic dim");
  command.add_option("--wisdom", flags.wisdom, "files of measured choices to read");
}

Result<CompileOptions> compile_options(const ModelFlags& flags, const Target& target) {
  CompileOptions options;
  options.target = target;
  options.threads = flags.threads ? flags.threads : host_threads();
  options.device = host_device(options.threads);
  KILN_ASSIGN(options.precision, precision_by_name(flags.precision));
  KILN_ASSIGN(options.dims, parse_dims(flags.dims));
  return options;
}

Result<std::vector<Wisdom>> load_wisdom(const ModelFlags& flags) {
  std::vector<Wisdom> all;
  for (const std::string& path : flags.wisdom) {
    KILN_ASSIGN(Wisdom wisdom, WisdomFile(path).load());
    all.push_back(std::move(wisdom));
  }
  return all;
}

void describe(CLI::App& command, SessionFlags& flags) {
  describe(command, flags.model);
  command.add_option("--tune-ms", flags.tuning_ms, "how long to measure kernels that no wisdom knows")
      ->capture_default_str();
  command.add_flag("--no-device-wisdom", flags.no_device_wisdom, "neither read nor keep this device's wisdom");
  command.add_flag("--no-verify", flags.no_verify, "do not compare weights with their checksums");
  command.add_option("--integrity", flags.integrity, "sha256-…, as kiln inspect prints it: this file and no other");
}

Result<std::unique_ptr<NativeSession>> open(const SessionFlags& flags) {
  SessionOptions options;
  options.isa = flags.model.isa;
  options.threads = flags.model.threads;
  KILN_ASSIGN(options.precision, precision_by_name(flags.model.precision));
  options.tuning_ms = flags.tuning_ms;
  options.device_wisdom = !flags.no_device_wisdom;
  options.verify_checksums = !flags.no_verify;
  options.integrity = flags.integrity;
  KILN_ASSIGN(options.dims, parse_dims(flags.model.dims));
  KILN_ASSIGN(options.wisdom, load_wisdom(flags.model));
  auto session = NativeSession::open(flags.model.path, options);
  if (session)
    for (const std::string& note : (*session)->notes()) std::fprintf(stderr, "kiln: %s\n", note.c_str());
  return session;
}

void describe(CLI::App& command, DataFlags& flags) {
  command.add_option("--input", flags.inputs, "name=file: raw little-endian elements, row-major");
  command.add_option("--output-dir", flags.output_dir, "where to write <output>.bin");
}

Result<Inputs> read_inputs(const std::vector<Port>& ports, const DataFlags& flags) {
  return gather(ports, flags, false);
}
Result<Inputs> read_or_invent_inputs(const std::vector<Port>& ports, const DataFlags& flags) {
  return gather(ports, flags, true);
}

Outputs room_for(const std::vector<Port>& ports) {
  Outputs out;
  for (const Port& port : ports) out.bytes.emplace_back(static_cast<size_t>(bytes_of(port)));
  out.ports = ports;
  for (size_t i = 0; i < ports.size(); ++i)
    out.views.push_back({ports[i].name, out.bytes[i].data(), bytes_of(ports[i]), out.ports[i].shape.data()});
  return out;
}

void describe(CLI::App& command, SandboxFlags& flags) {
  command.add_flag("--sandbox", flags.wanted, "give up all rights but to read these files and write to --output-dir");
  command.add_option("--sandbox-memory", flags.memory_mb, "MB of addresses at most")
      ->check(CLI::Range(64, 1 << 24))
      ->capture_default_str();
  command.add_option("--sandbox-seconds", flags.seconds, "of processor time at most")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
}

Status enter(const SandboxFlags& flags, SessionFlags& session, const DataFlags& data) {
  if (!flags.wanted) return ok();
  Sandbox sandbox;
  sandbox.memory_bytes = int64_t{flags.memory_mb} << 20;
  sandbox.cpu_seconds = flags.seconds;
  sandbox.read = session.model.wisdom;
  sandbox.read.push_back(session.model.path);
  for (const std::string& text : data.inputs) {
    KILN_ASSIGN(const auto pair, split(text, "--input name=file"));
    sandbox.read.push_back(pair.second);
  }
  std::error_code failed;  // a folder that cannot be made cannot be kept either
  if (!data.output_dir.empty()) std::filesystem::create_directories(data.output_dir, failed);
  sandbox.write = data.output_dir;
  session.no_device_wisdom = true;
  return enter_sandbox(sandbox);
}

Status write(const Outputs& outputs, const DataFlags& flags) {
  if (flags.output_dir.empty()) return ok();
  const std::filesystem::path folder(flags.output_dir);
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  for (size_t i = 0; i < outputs.views.size(); ++i) {
    const std::filesystem::path path = folder / (file_name(outputs.views[i].name) + ".bin");
    std::ofstream file(path, std::ios::binary);
    file.write(outputs.bytes[i].data(), static_cast<std::streamsize>(bytes_of(outputs.ports[i])));
    file.flush();
    if (!file) return bad_option(path.string() + " cannot be written");
  }
  return ok();
}

}  // namespace kiln::cli
