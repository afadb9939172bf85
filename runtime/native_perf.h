// What Linux perf needs to know of code that no file on disk holds: which function lies where, and its bytes.
#pragma once

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "jit/backends/native_code.h"

namespace kiln {

/// Tells perf of a module's functions, as KILN_PERF asks: "map" writes /tmp/perf-<pid>.map (names, for `perf report`),
/// "dump" writes jit-<pid>.dump into the working folder (names and instructions, for `perf inject --jit`), "map,dump"
/// both. Without it nothing is done. Call it after the code is loaded, before it runs.
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
  void* mark_ = nullptr;  ///< the dump mapped as code: by this perf learns of it
  uint64_t functions_ = 0;
};

}  // namespace kiln
