// Machine code in executable memory, and what this CPU can run of it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "jit/emitter.h"

namespace kiln {

/// A native module that any number of threads may call. Its pages are first writable and then executable, never both.
class NativeCode {
 public:
  /// Copies the module's code, so the module may be freed. The module must come from a native emitter of this process,
  /// because code holds addresses of functions of this process.
  static Result<std::unique_ptr<NativeCode>> load(const Module& module);
  ~NativeCode();
  NativeCode(const NativeCode&) = delete;
  NativeCode& operator=(const NativeCode&) = delete;

  /// An exported function, or null. It takes the int64_t parameters with which it was emitted, and returns nothing.
  void* find(std::string_view exported) const;

  const uint8_t* base() const { return static_cast<const uint8_t*>(base_); }
  size_t size() const { return size_; }
  /// Offsets count from base().
  const std::vector<Module::Symbol>& symbols() const { return symbols_; }

 private:
  NativeCode() = default;
  void* base_ = nullptr;
  size_t size_ = 0;
  std::vector<Module::Symbol> symbols_;
};

/// The native targets that this CPU supports, best first.
std::vector<Target> host_targets();
/// The best of them, or the reference interpreter's target if there is none.
Target host_target();

}  // namespace kiln
