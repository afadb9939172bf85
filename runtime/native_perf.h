// Tells Linux perf about code that is in no file: where each function lies, and its bytes.
#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "jit/backends/native_code.h"

namespace kiln {

/// Tells perf about a module's functions, as KILN_PERF says. "map" writes /tmp/perf-<pid>.map (names, for `perf
/// report`). "dump" writes jit-<pid>.dump in the working folder (names and instructions, for `perf inject --jit`).
/// "map,dump" writes both. Without KILN_PERF it does nothing. Call it after the code is loaded and before it runs.
Status perf_register(const NativeCode& code);

/// The files themselves.
class PerfLog {
 public:
  /// An empty path writes no such file. Files are made anew.
  static Result<std::unique_ptr<PerfLog>> open(const std::string& map_path, const std::string& dump_path);
  ~PerfLog();
  PerfLog(const PerfLog&) = delete;
  PerfLog& operator=(const PerfLog&) = delete;
  Status add(const NativeCode& code);

 private:
  PerfLog() = default;
  Status open_dump(const std::string& path);
  void add_to_map(uint64_t address, const Module::Symbol& function);
  void add_to_dump(uint64_t address, const Module::Symbol& function);

  std::mutex mutex_;
  std::string names_;  ///< of the files, for errors
  std::FILE* map_ = nullptr;
  std::FILE* dump_ = nullptr;
  void* mark_ = nullptr;  ///< the dump, mapped as code: perf finds it by this
  uint64_t functions_ = 0;
};

}  // namespace kiln
