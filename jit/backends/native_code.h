// Machine code in executable memory, and what this CPU can run of it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "jit/emitter.h"

namespace kiln {

/// A native module ready to be called, from any number of threads. Its pages are written first and executable after,
/// never both.
class NativeCode {
 public:
  /// Copies the module's code; the module may go. Only a module of this process's own native emitter will do: code
  /// holds addresses of functions of this process.
  static Result<std::unique_ptr<NativeCode>> load(const Module& module);
  ~NativeCode();
  NativeCode(const NativeCode&) = delete;
  NativeCode& operator=(const NativeCode&) = delete;

  /// An exported function, or null. It has the C signature of as many int64_t parameters as it was emitted with, and no
  /// result.
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

/// The native targets that this CPU runs, best first.
std::vector<Target> host_targets();
/// The best of them; the reference interpreter's target on a CPU that has none.
Target host_target();

}  // namespace kiln
