// Numbers that a function's code depends on. They are immediates or, if kernels share the function, its last
// parameters.
#pragma once

#include "jit/emitter.h"

namespace kiln {

struct Size {
  int64_t value = 0;
  int param = -1;
};

/// A function, and the last arguments of each of its calls.
struct SizedFunc {
  Func function{};
  std::vector<int64_t> sizes;
};

class Sizes {
 public:
  /// Parameters from `first` on, if the function is shared.
  Sizes(bool shared, int first) : shared_(shared), first_(first) {}
  bool shared() const { return shared_; }
  Size add(int64_t value, bool used = true) {
    if (!shared_ || !used) return {value, -1};
    values_.push_back(value);
    return {value, first_ + static_cast<int>(values_.size()) - 1};
  }
  int params() const { return first_ + static_cast<int>(values_.size()); }
  const std::vector<int64_t>& values() const { return values_; }

 private:
  bool shared_;
  int first_;
  std::vector<int64_t> values_;
};

/// Emits the function under its own name. A shared function is emitted once per `key`, which names everything that the
/// code depends on besides sizes.
inline SizedFunc share(Emitter& e, const Sizes& sizes, const std::string& own_name, const std::string& key,
                       FunctionRef<Func(const std::string& name)> emit) {
  if (!sizes.shared()) return {emit(own_name), {}};
  return {e.shared_function(key, [&] { return emit(key); }), sizes.values()};
}

inline Arg arg(Emitter& e, const Size& s) { return s.param < 0 ? Arg(s.value) : Arg(e.param(s.param)); }

/// The addresses base, base + stride, … in order. They are offsets if the stride is known, else a register.
class Walk {
 public:
  Walk(Emitter& e, Int base, const Size& stride) : e_(e), at_(base), stride_(stride) {
    if (stride.param < 0) return;
    e.set(at_ = e.integer(), base);
  }
  Mem next() {
    const int64_t i = taken_++;
    if (stride_.param < 0) return {at_, i * stride_.value};
    if (i) kiln::add(e_, at_, at_, e_.param(stride_.param));
    return {at_, 0};
  }

 private:
  Emitter& e_;
  Int at_;
  Size stride_;
  int64_t taken_ = 0;
};

}  // namespace kiln
