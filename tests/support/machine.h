// Runs emitted code in this process: in the reference interpreter everywhere, and as machine code for the CPU's
// instruction sets. If the tests themselves are WebAssembly under Node, it runs real WebAssembly over the same memory,
// so addresses are the same.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "jit/emitter.h"
#include "jit/family.h"

namespace kiln::testing {

/// The targets that this process can run: reference interpreters of several widths, with and without fused
/// multiply-add, and the CPU's instruction sets. Under Node it is WebAssembly, with and without relaxed SIMD, in place
/// of the CPU's.
std::vector<Target> targets();
/// Those among them that run at the machine's own speed.
std::vector<Target> real_targets();

/// A module that can be called.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual Status call(const std::string& name, const std::vector<int64_t>& args) = 0;
  /// Allows a range. Once there is one, the reference interpreter refuses all other accesses. Other machines ignore
  /// this.
  virtual void allow(const void* start, int64_t bytes) = 0;
};

/// Emits with `build` and loads. Functions to call must be exported.
Result<std::unique_ptr<Machine>> load(const Target& target, const std::function<void(Emitter&)>& build);

inline int64_t address(const void* p) { return static_cast<int64_t>(reinterpret_cast<intptr_t>(p)); }

/// One kernel, emitted and loaded.
class Kernel {
 public:
  /// `neighbours` of the same family and schedule are emitted before it into the same module.
  Kernel(const Target& target, const KernelSpec& spec, const Schedule& schedule = {},
         const std::vector<KernelSpec>& neighbours = {});
  int64_t units() const { return units_; }
  /// Runs all units in `parts` calls, in order, as threads would.
  Status run(const std::vector<void*>& operands, int parts = 1);
  /// Runs some units, as the first that a thread does of a step.
  Status run_range(int64_t begin, int64_t end, const std::vector<void*>& operands);
  void* scratch() { return reinterpret_cast<void*>(round_up(address(scratch_.data()), 64)); }
  void allow(const void* start, int64_t bytes) {
    if (!machine_) return;
    machine_->allow(start, bytes);
    machine_->allow(scratch_.data(), static_cast<int64_t>(scratch_.size()));
  }

 private:
  Status go_on(int64_t begin, int64_t end, const std::vector<void*>& operands);
  std::unique_ptr<Machine> machine_;
  std::vector<char> scratch_;
  int64_t units_ = 0;
  Status loaded_ = ok();
};

}  // namespace kiln::testing
