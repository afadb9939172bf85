// One formula on vector registers, run over arrays on any target.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/support/machine.h"

namespace kiln::testing {

/// Emits `function` over arrays: f(out, a, b, vectors).
class Elementwise {
 public:
  Elementwise(const Target& target, FunctionRef<Vec(Emitter& e, Vec a, Vec b)> function)
      : width_(static_cast<size_t>(target.width)) {
    auto loaded = load(target, [&](Emitter& e) {
      e.begin_function("f", 4, true);
      const Int i = e.integer();
      e.for_range(i, 0, e.param(3), 1, [&] {
        const Vec a = e.vec(), b = e.vec();
        e.load(a, {e.param(1), 0});
        e.load(b, {e.param(2), 0});
        e.store({e.param(0), 0}, function(e, a, b));
        for (int p = 0; p < 3; ++p) add(e, e.param(p), e.param(p), 4 * e.width());
      });
      e.end_function();
    });
    EXPECT_TRUE(loaded.ok());
    machine_ = std::move(*loaded);
  }
  template <class T>
  std::vector<T> operator()(std::vector<T> a, std::vector<T> b) {
    const size_t n = a.size(), padded = (n + width_ - 1) / width_ * width_;
    a.resize(padded);
    b.resize(padded, T{1});
    std::vector<T> out(padded);
    const Status s = machine_->call(
        "f", {address(out.data()), address(a.data()), address(b.data()), static_cast<int64_t>(padded / width_)});
    EXPECT_TRUE(s.ok());
    out.resize(n);
    return out;
  }

 private:
  size_t width_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace kiln::testing
