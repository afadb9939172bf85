// What a generator decides, taken from bytes: the fuzzer's, a seed's, or those of a failing case that is being shrunk.
// Zero is always the simplest choice, and after the last byte there are only zeros, so fewer and smaller bytes make a
// smaller case.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace kiln::testing {

class Choices {
 public:
  Choices(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}

  /// From `low` to `high`, both included.
  int64_t pick(int64_t low, int64_t high) {
    const auto span = static_cast<uint64_t>(high - low) + 1;
    uint64_t number = byte();
    for (uint64_t reach = 256; reach < span; reach *= 256) number = number * 256 + byte();
    return low + static_cast<int64_t>(number % span);
  }
  /// True one time in `n`.
  bool one_in(int64_t n) { return pick(0, n - 1) == n - 1; }
  template <class T, size_t kCount>
  const T& of(const T (&list)[kCount]) {
    return list[pick(0, static_cast<int64_t>(kCount) - 1)];
  }
  bool over() const { return at_ >= size_; }

 private:
  uint8_t byte() { return at_ < size_ ? bytes_[at_++] : 0; }

  const uint8_t* bytes_;
  size_t size_, at_ = 0;
};

/// The bytes of a seed.
inline std::vector<uint8_t> bytes_of_seed(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 32);
  return bytes;
}

}  // namespace kiln::testing
