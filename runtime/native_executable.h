// Emitted code that this process can call: machine code or closures of the reference interpreter.
#pragma once

#include <array>
#include <memory>

#include "jit/emitter.h"

namespace kiln {

/// The functions that a host calls. A module has some of them.
enum class Entry : uint8_t {
  run,    ///< (base, thread, threads, first, last)
  init,   ///< (base, phase)
  bench,  ///< (base, index, repeats)
  peak,   ///< (address, repeats)
};

class NativeExecutable {
 public:
  virtual ~NativeExecutable() = default;
  /// Calls an entry with its first arguments; several threads may do so at once.
  virtual Status call(Entry entry, const std::array<int64_t, 5>& args) const = 0;
  /// Tells Linux perf about the functions, if KILN_PERF asks for it (runtime/native_perf.h).
  virtual Status register_for_perf() const { return ok(); }
  const Module& module() const { return module_; }

 protected:
  explicit NativeExecutable(Module module) : module_(std::move(module)) {}
  Module module_;
};

/// Emits with `emit` for a target that runs here (host_targets(), or any reference target), and loads.
Result<std::unique_ptr<NativeExecutable>> load_executable(const Target& target, FunctionRef<Status(Emitter&)> emit);

}  // namespace kiln
