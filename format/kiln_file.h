// .kiln: bytes ⇄ Graph. The only place that trusts no one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "support/result.h"

namespace kiln {

constexpr uint32_t kFormatVersion = 2;
constexpr uint32_t kFirstChecked = 2;  ///< from this version on, heads carry a checksum
constexpr int64_t kSegmentAlign = 64;
/// A head larger than this is refused.
constexpr int64_t kMaxHeadBytes = int64_t{256} << 20;

/// Where the head ends and the weights begin, from the first 16 bytes of a file. Error: not a .kiln file.
struct HeadLayout {
  int64_t head_bytes = 0, weights_begin = 0;
};
Result<HeadLayout> read_head_layout(const uint8_t* bytes, int64_t size);

/// Verifies (FlatBuffers verifier, then every index, offset, size and dim product) and builds the graph from the head
/// alone. `file_bytes`: the size of the whole file when it is known, else -1.
Result<Graph> read_kiln(const uint8_t* head, int64_t size, int64_t file_bytes = -1);

/// CRC-32 (as zlib's) of a head, the four bytes from `field` on taken as zeros.
uint32_t head_crc32(const uint8_t* head, int64_t size, int64_t field);

}  // namespace kiln
