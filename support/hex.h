#pragma once

#include <cstdint>
#include <string>

namespace kiln {

/// Sixteen hexadecimal digits.
inline std::string hex(uint64_t number) {
  std::string out;
  for (int bit = 60; bit >= 0; bit -= 4) out += "0123456789abcdef"[number >> bit & 15];
  return out;
}

}  // namespace kiln
