// Contraction: matrix products and convolutions as one loop nest around one micro-kernel.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Columns of a tile.
inline int64_t tile_columns(const Schedule& s, const Target& t) { return int64_t{s.nv} * t.width; }
/// Output pixels as one row of `columns` with constant strides, when the strides allow it: then no tile wraps. Rows
/// that a tile cannot cross (see ContractionSpec) become batches.
ContractionSpec flattened(const ContractionSpec& spec);

/// Emits panel(a, b, c, fused…, x, count, rest): consecutive output pixels against one panel of `columns` columns of B:
/// `count` tiles of the schedule's rows from image column x, then, if rest ≠ 0, the tile of the rows that are left over
/// of all rows of the spec. With `ahead_tiles` there is one parameter more, the panel that comes next (or any other):
/// that many tiles touch all of it between them, a little in every round of the innermost loop, so that weights arrive
/// from memory while the multipliers are busy. Hardware does not do it: it sees one panel's end, then a miss elsewhere.
Func emit_panel(Emitter& emitter, const ContractionSpec& flattened, const Schedule& schedule, const std::string& name,
                int64_t columns, int64_t ahead_tiles = 0);

/// Elements from a packed B's start to its end: more of them for Winograd, whose taps are transformed.
int64_t packed_elements(const PackSpec& spec, const Schedule& schedule);

}  // namespace kiln
