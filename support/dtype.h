// Element types of tensors in memory.
#pragma once

#include <cstdint>

namespace kiln {

enum class DType : uint8_t { f32, f16, bf16, i8, u8, i32, i64, boolean };

constexpr int64_t size_of(DType t) {
  switch (t) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::i64:
      return 8;
    default:
      return 1;
  }
}

/// Types that files may hold and no kernel reads or writes.
constexpr bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

constexpr const char* name_of(DType t) {
  constexpr const char* kNames[] = {"float32", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool"};
  return kNames[static_cast<int>(t)];
}

constexpr int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }
constexpr int64_t ceil_div(int64_t x, int64_t by) { return (x + by - 1) / by; }

}  // namespace kiln
