// The wire format of Protocol Buffers, read in place. (protozero throws exceptions, which the layers are built
// without.)
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace kiln {

/// Fields of one message, in the order in which they stand. After what is no message `next()` is false and `bad` true.
class Message {
 public:
  enum class Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  Message() = default;
  explicit Message(std::string_view all) : at_(all.data()), end_(all.data() + all.size()) {}

  /// Goes to the next field and reads its value.
  bool next() {
    if (at_ == end_ || bad) return false;
    const uint64_t key = read_varint();
    field = static_cast<uint32_t>(key >> 3);
    wire = static_cast<Wire>(key & 7);
    number = 0, bytes = {};
    switch (wire) {
      case Wire::varint:
        number = read_varint();
        break;
      case Wire::fixed64:
        read_fixed(8);
        break;
      case Wire::fixed32:
        read_fixed(4);
        break;
      case Wire::bytes: {
        const uint64_t size = read_varint();
        if (size > static_cast<uint64_t>(end_ - at_)) bad = true;
        if (!bad) bytes = {at_, static_cast<size_t>(size)}, at_ += size;
        break;
      }
      default:  // groups, which nobody writes any more
        bad = true;
    }
    bad = bad || key >> 35 || field == 0;
    return !bad;
  }

  int64_t integer() const { return static_cast<int64_t>(number); }
  float real() const {
    const auto bits = static_cast<uint32_t>(number);
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
  }
  double real64() const {
    double out;
    std::memcpy(&out, &number, 8);
    return out;
  }

  uint32_t field = 0;
  Wire wire = Wire::varint;
  uint64_t number = 0;     ///< 0 where the field is of bytes
  std::string_view bytes;  ///< a text, a message, or packed numbers; empty where it is a number
  bool bad = false;

 private:
  uint64_t read_varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 70 && at_ != end_; shift += 7) {
      const auto byte = static_cast<uint8_t>(*at_++);
      if (shift < 64) out |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return out;
    }
    bad = true;
    return 0;
  }
  void read_fixed(size_t size) {
    if (size > static_cast<size_t>(end_ - at_)) {
      bad = true;
      return;
    }
    std::memcpy(&number, at_, size);
    at_ += size;
  }

  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

/// Every number of a repeated field of varints: one, or many packed.
template <class F>
bool each_varint(const Message& m, F take) {
  if (m.wire == Message::Wire::varint) return take(m.integer()), true;
  if (m.wire != Message::Wire::bytes) return false;
  // Packed numbers are varints without keys.
  uint64_t out = 0;
  int shift = 0;
  for (const char c : m.bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (shift > 63) return false;
    out |= static_cast<uint64_t>(byte & 127) << shift;
    shift += 7;
    if (byte < 128) take(static_cast<int64_t>(out)), out = 0, shift = 0;
  }
  return shift == 0;
}

}  // namespace kiln
