// .onnx: bytes → Graph, and where its weights lie. Trusts no one, as the reader of .kiln files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "support/result.h"

namespace kiln {

/// Where the bytes of Graph::segments[i] come from.
struct OnnxWeights {
  std::vector<uint8_t> made;  ///< not empty: here, as the file spells the numbers out one by one
  std::string external;       ///< not empty: a file beside the model; else the model's own
  int64_t offset = 0;         ///< in that file
};

struct OnnxModel {
  Graph graph;  ///< source nodes "onnx.Conv", "com.microsoft.Gelu"; only inputs and weights have a type
  std::vector<OnnxWeights> weights;
};

/// A file is one message of Protocol Buffers, which ends there.
constexpr int64_t kMaxOnnxBytes = (int64_t{1} << 31) - 1;

Result<OnnxModel> read_onnx(std::string_view file);

/// The same of a skeleton: a file of `file_bytes` bytes in which tensors without their bytes (external data, of no
/// location) say where in that file they lie. A page makes one, so that the compiler need not hold the weights
/// (js-sdk/src/host/skeleton.ts).
Result<OnnxModel> read_onnx_skeleton(std::string_view skeleton, int64_t file_bytes);

}  // namespace kiln
