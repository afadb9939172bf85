// The module with which a page hashes weights piece by piece, while they arrive. kiln_add() hashes what was written to
// kiln_room().
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

namespace {
constexpr uint32_t kRoomBytes = 1 << 17;
alignas(64) uint8_t room[kRoomBytes];
XXH64_state_t state;
}  // namespace

extern "C" {
uint8_t* kiln_room() { return room; }
uint32_t kiln_room_bytes() { return kRoomBytes; }
/// Begins a hash.
void kiln_begin(uint64_t seed) { XXH64_reset(&state, seed); }
/// Adds the first `size` bytes of the room to the hash.
void kiln_add(uint32_t size) { XXH64_update(&state, room, size); }
/// The XXH64 of everything that was added since kiln_begin().
uint64_t kiln_end() { return XXH64_digest(&state); }
}
