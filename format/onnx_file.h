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
  std::string_view bytes;     ///< of the file, or of `made`
  std::vector<uint8_t> made;  ///< where the file spells numbers out one by one
  std::string external;       ///< else: a file beside the model, and where in it they lie
  int64_t offset = 0;
};

struct OnnxModel {
  Graph graph;  ///< source nodes "onnx.Conv", "com.microsoft.Gelu"; only inputs and weights have a type
  std::vector<OnnxWeights> weights;
};

/// `file` must outlive the result.
Result<OnnxModel> read_onnx(std::string_view file);
/// Whether bytes begin as an .onnx file does.
bool looks_like_onnx(const uint8_t* bytes, int64_t size);

}  // namespace kiln
