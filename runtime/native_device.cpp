#include "runtime/native_device.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "jit/backends/native_code.h"
#include "runtime/native_file.h"
#include "support/hex.h"

namespace kiln {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown cpu";
}

int64_t cache_bytes(int name, int64_t otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

Error unwritable(const std::string& path) { return {ErrorCode::bad_option, path + " cannot be written", ""}; }

}  // namespace

int host_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Device host_device(int threads) {
  Device d;
  d.id = cpu_model() + "; native";
  d.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, d.l1_bytes);
  d.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, d.l2_bytes);
  d.threads = threads;
#if !defined(__x86_64__)
  d.fast_dots = false;
#endif
  return d;
}

Result<Target> target_by_name(const std::string& name) {
  if (name == "host") return host_target();
  if (name == "reference") return reference_target(8);
  std::string known = "host, reference";
  for (const Target& t : host_targets()) {
    const std::string text = to_string(t), isa = text.substr(0, text.find('+'));
    if (isa == name) return t;
    known += ", " + isa;
  }
  return Error{ErrorCode::bad_option, "this machine has no '" + name + "': choose one of " + known, ""};
}

std::optional<WisdomFile> WisdomFile::of_device(const Device& device) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (cache && *cache)
    folder = cache;
  else if (home && *home)
    folder = std::filesystem::path(home) / ".cache";
  else
    return std::nullopt;
  const auto* id = reinterpret_cast<const uint8_t*>(device.id.data());
  const std::string name = hex(block_hash(id, static_cast<int64_t>(device.id.size())));
  return WisdomFile(folder / "wasmkiln" / ("wisdom-" + name + ".json"));
}

Result<Wisdom> WisdomFile::load() const {
  KILN_ASSIGN(const std::string text, read_text(path_));
  auto wisdom = Wisdom::parse(text);
  if (!wisdom) {
    Error error = wisdom.error();
    error.where = path_;
    return error;
  }
  return wisdom;
}

Status WisdomFile::merge(const Wisdom& learned) const {
  Wisdom all;
  const auto known = load();
  if (known) all = *known;
  all.merge(learned);
  return replace(all);
}

Status WisdomFile::replace(const Wisdom& wisdom) const {
  std::error_code failed;
  const std::filesystem::path file(path_);
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), failed);
  if (failed) return unwritable(path_);
  const std::string draft = path_ + "." + std::to_string(getpid());
  {
    std::ofstream out(draft, std::ios::binary);
    out << wisdom.to_json();
    out.flush();
    if (!out) return unwritable(draft);
  }
  if (std::rename(draft.c_str(), path_.c_str()) != 0) return unwritable(path_);
  return ok();
}

}  // namespace kiln
