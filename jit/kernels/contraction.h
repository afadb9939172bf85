// Contraction: matrix products and convolutions as one loop nest around one micro-kernel.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Columns of a tile.
inline int64_t tile_columns(const Schedule& s, const Target& t) { return int64_t{s.nv} * t.width; }
/// Output pixels as one row of `columns` with constant strides, when the strides allow it: then no tile wraps. Rows
/// that a tile cannot cross (see ContractionSpec) become batches.
ContractionSpec flattened(const ContractionSpec& spec);

}  // namespace kiln
