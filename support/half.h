// 16-bit floats as single numbers. jit/half.h has them in vectors.
#pragma once

#include <cstdint>
#include <cstring>

#include "support/dtype.h"

namespace kiln {

inline float half_to_float(uint16_t bits, DType type) {
  uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  if (type == DType::f16) {
    const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fff) << 13;
    std::memcpy(&value, &magnitude, 4);
    value *= 0x1p112f;  // exact
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    if ((bits & 0x7c00) == 0x7c00) wide |= 0x7f800000;
    word = wide | (word & 0x80000000);
  }
  std::memcpy(&value, &word, 4);
  return value;
}

/// To the nearest, halves to even; beyond the largest to infinity.
inline uint16_t float_to_half(float value, DType type) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  const uint32_t sign = word >> 16 & 0x8000;
  uint32_t rest = word & 0x7fffffff;
  if (rest > 0x7f800000) return static_cast<uint16_t>(sign | (type == DType::f16 ? 0x7e00 : 0x7fc0));
  if (type == DType::bf16) return static_cast<uint16_t>(sign | ((rest + 0x7fff + (rest >> 16 & 1)) >> 16));
  if (rest >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);
  if (rest < 0x38800000) {  // the sum's last bit is the smallest half
    float magnitude;
    std::memcpy(&magnitude, &rest, 4);
    magnitude += 0.5f;
    std::memcpy(&rest, &magnitude, 4);
    return static_cast<uint16_t>(sign | (rest - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}

}  // namespace kiln
