// .kiln: bytes → Graph. Trusts no one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "support/result.h"

namespace kiln {

constexpr uint32_t kFormatVersion = 4;  ///< the only one that is read: those before were never released
constexpr int64_t kSegmentAlign = 64;
constexpr int64_t kHashBlock = 1 << 20;  ///< bytes of the weights under one hash, and under one digest
constexpr int64_t kDigestBytes = 32;     ///< of SHA-256
/// A head larger than this is refused.
constexpr int64_t kMaxHeadBytes = int64_t{256} << 20;

/// Where the head ends and the weights begin, from the first 16 bytes of a file. Error: not a .kiln file.
struct HeadLayout {
  int64_t head_bytes = 0, weights_begin = 0;
};
Result<HeadLayout> read_head_layout(const uint8_t* bytes, int64_t size);

/// What a file is that begins like this, and what to do: "an ONNX model: export …"; empty where that cannot be told.
std::string foreign_file(const uint8_t* bytes, int64_t size);
/// Bytes begin as those of an .onnx file do.
bool looks_like_onnx(const uint8_t* bytes, int64_t size);

/// Verifies (FlatBuffers verifier, then every index, offset, size and dim product) and builds the graph from the head
/// alone. `file_bytes`: the size of the whole file when it is known, else -1.
Result<Graph> read_kiln(const uint8_t* head, int64_t size, int64_t file_bytes = -1);

/// XXH64 (xxHash): what a block's bytes are compared by. It notices damage, not malice.
uint64_t block_hash(const uint8_t* bytes, int64_t size);

/// The same of a head, the eight bytes from `field` on taken as zeros.
uint64_t head_hash(const uint8_t* head, int64_t size, int64_t field);

}  // namespace kiln
