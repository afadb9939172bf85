// How a kernel computes: a tiny frozen value. Zero in a field means "not used by this family".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln {

enum class Algorithm : uint8_t { direct, winograd2, winograd4, strassen, int16 };  ///< of a contraction: jit/kernels/

/// Which loop of a contraction is outermost inside a thread's range of units.
enum class LoopOrder : uint8_t { rows_outer, panels_outer };

struct Schedule {
  Algorithm algorithm = Algorithm::direct;
  LoopOrder order = LoopOrder::rows_outer;
  uint8_t mr = 0;                  ///< contraction: rows (output pixels) of a tile
  uint8_t nv = 0;                  ///< contraction: vectors per row of a tile (NR = nv × vector width)
  uint8_t unroll = 0;              ///< of the innermost loop
  uint8_t tile_h = 0, tile_w = 0;  ///< depthwise: output rows × columns of a tile
  /// contraction: rows of an M block (a multiple of mr; winograd: tiles; strassen: an equal part of all); 0 = all
  uint16_t mc = 0;
  uint16_t nc = 0;        ///< winograd: columns of a unit (a multiple of the tile's); 0 = all
  bool any_size = false;  ///< map: sizes and strides come with each call; for what runs once, at load

  bool operator==(const Schedule& o) const;
  bool operator!=(const Schedule& o) const { return !(*this == o); }
};

/// "mr6 nv2 unroll4"; parse() accepts exactly what to_string() writes.
std::string to_string(const Schedule& schedule);
std::optional<Schedule> parse_schedule(std::string_view text);

}  // namespace kiln
