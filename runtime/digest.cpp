// The module by which a page checks weights while they arrive: bytes are written to kiln_block(), kiln_digest() hashes
// them.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

#include "format/kiln_file.h"

namespace {
alignas(64) uint8_t block[kiln::kHashBlock];
}

extern "C" {
uint8_t* kiln_block() { return block; }
/// XXH64 of the first `size` bytes of the block (at most kHashBlock).
uint64_t kiln_digest(uint32_t size, uint64_t seed) { return XXH64(block, size, seed); }
}
