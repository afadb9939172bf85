#include "support/text.h"

#include <cstdint>

namespace kiln {

size_t printable(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(i < text.size() ? text[i] : 0); };
  const uint8_t first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f;
  const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint32_t code = first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const auto within = [&](uint32_t low, uint32_t high) { return code >= low && code <= high; };
  constexpr uint32_t kLeast[] = {0xa0, 0x800, 0x10000};  // of each length; below 0xa0 are control characters too
  if (first < 0xc2 || !within(kLeast[size - 2], 0x10ffff) || within(0xd800, 0xdfff)) return 0;
  return within(0x2028, 0x202e) || within(0x2066, 0x2069) ? 0 : size;
}

bool is_plain(std::string_view text) {
  while (!text.empty()) {
    const size_t size = printable(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace kiln
