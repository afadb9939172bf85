// Random strided tensors with guards around them.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "support/dtype.h"

namespace kiln::testing {

using Sizes = std::vector<int64_t>;
using Random = std::mt19937;

inline int64_t pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

/// Strides of a tensor with its dims in random order, sometimes with gaps.
inline Sizes random_strides(Random& random, const Sizes& dims, bool gaps = true) {
  std::vector<size_t> order(dims.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (pick(random, 0, 1)) std::shuffle(order.begin(), order.end(), random);
  Sizes strides(dims.size());
  int64_t step = gaps && pick(random, 0, 5) == 0 ? 2 : 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = step;
    step *= dims[order[i]] + (gaps && pick(random, 0, 3) == 0 ? pick(random, 1, 3) : 0);
  }
  return strides;
}

inline int64_t extent(const Sizes& dims, const Sizes& strides) {
  int64_t last = 0;
  for (size_t d = 0; d < dims.size(); ++d) last += (dims[d] - 1) * strides[d];
  return last + 1;
}

/// Calls f(index) for every point of a box, last dim fastest.
template <class F>
void each_index(const Sizes& dims, F f) {
  Sizes index(dims.size(), 0);
  for (;;) {
    f(index);
    size_t d = dims.size();
    while (d > 0 && ++index[d - 1] == dims[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

inline int64_t dot(const Sizes& a, const Sizes& b) {
  int64_t s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

/// `count` elements with 64 guard bytes on either side, all filled with a pattern at first.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count)
      : count_(count), bytes_(static_cast<size_t>(count) * sizeof(T) + 2 * kGuard, kPattern) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data() + kGuard); }
  T& operator[](int64_t i) { return data()[i]; }
  int64_t size() const { return count_; }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (bytes_[i] != kPattern || bytes_[bytes_.size() - 1 - i] != kPattern) return false;
    return true;
  }
  /// Whether element i was never written.
  bool untouched(int64_t i) const {
    for (size_t b = 0; b < sizeof(T); ++b)
      if (bytes_[kGuard + static_cast<size_t>(i) * sizeof(T) + b] != kPattern) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr unsigned char kPattern = 0xa7;
  int64_t count_;
  std::vector<unsigned char> bytes_;
};

}  // namespace kiln::testing
