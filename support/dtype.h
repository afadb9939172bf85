// Element types of tensors in memory, in one table: a type is a row here, and in the schema of files.
#pragma once

#include <cstdint>

namespace kiln {

/// The kind of an element in an expression. Narrower numbers are widened when loaded and cut when stored: integers to
/// the lane that holds all of their values, so uint32 to i64; 16-bit floats to f32, and rounded when stored. A mask is
/// all ones or all zeros; in memory it is a boolean. Integers wrap around, as in PyTorch.
enum class Lane : uint8_t { f32, i32, mask, i64, u64 };
constexpr bool is_integer(Lane lane) { return lane == Lane::i32 || lane == Lane::i64 || lane == Lane::u64; }
/// A pair of 32-bit words.
constexpr bool is_pair(Lane lane) { return lane == Lane::i64 || lane == Lane::u64; }

/// In the order of format/model.fbs and runtime/c_api.h.
enum class DType : uint8_t { f32, f16, bf16, i8, u8, i32, i64, boolean, i16, u16, u32, u64 };

struct DTypeRow {
  const char* name;  ///< as PyTorch, NumPy and JavaScript have it
  uint8_t size;      ///< bytes
  Lane lane;
  bool is_signed;
  uint8_t onnx;  ///< TensorProto.DataType
};
constexpr DTypeRow kDTypes[] = {
    {"float32", 4, Lane::f32, true, 1}, {"float16", 2, Lane::f32, true, 10}, {"bfloat16", 2, Lane::f32, true, 16},
    {"int8", 1, Lane::i32, true, 3},    {"uint8", 1, Lane::i32, false, 2},   {"int32", 4, Lane::i32, true, 6},
    {"int64", 8, Lane::i64, true, 7},   {"bool", 1, Lane::mask, false, 9},   {"int16", 2, Lane::i32, true, 5},
    {"uint16", 2, Lane::i32, false, 4}, {"uint32", 4, Lane::i64, false, 12}, {"uint64", 8, Lane::u64, false, 13},
};
constexpr int kNumDTypes = sizeof kDTypes / sizeof kDTypes[0];

constexpr const DTypeRow& row_of(DType t) { return kDTypes[static_cast<int>(t)]; }
constexpr int64_t size_of(DType t) { return row_of(t).size; }
constexpr const char* name_of(DType t) { return row_of(t).name; }
/// How the elements of a tensor appear in an expression.
constexpr Lane lane_of(DType t) { return row_of(t).lane; }
constexpr bool is_signed(DType t) { return row_of(t).is_signed; }
/// Whether a lane holds the same after a store and a load: there is nothing to cut.
constexpr bool fills_lane(DType t) { return lane_of(t) == Lane::mask || size_of(t) == (is_pair(lane_of(t)) ? 8 : 4); }

/// 16-bit floats: types of inputs, outputs and weights. What lies between is computed in float32.
constexpr bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }
constexpr DType computed_in(DType t) { return is_half(t) ? DType::f32 : t; }
/// The type in which kernels add, multiply, compare and sort numbers of this type; of uint64 only add and multiply.
constexpr DType kernel_type(DType t) {
  return lane_of(t) == Lane::f32 ? DType::f32 : is_pair(lane_of(t)) ? DType::i64 : DType::i32;
}

constexpr int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }
constexpr int64_t ceil_div(int64_t x, int64_t by) { return (x + by - 1) / by; }

}  // namespace kiln
