// The register tile: the innermost loop of everything that multiplies and adds.
#pragma once

#include "jit/kernel_spec.h"
#include "jit/kernels/sizes.h"

namespace kiln {

/// `rows` consecutive output pixels from column `x` of an image row.
struct Tile {
  int64_t rows = 0, x = 0;
};

/// Elements from the tile's first pixel to its i-th, for a tensor with these strides between pixels of an image.
inline int64_t pixel(const ContractionSpec& flattened, const Tile& t, int64_t i, int64_t row, int64_t col) {
  const int64_t x = t.x + i;
  return (x / flattened.ow) * row + (x % flattened.ow - t.x) * col;
}

/// How a tile multiplies. Each round of its loop takes `unroll` steps of k. With `ahead_step` a round also touches so
/// many bytes of the next panel. With `int16` elements are words of two integers (see int16.h). The rounds of one kh
/// are added as integers, and those sums as floats in the memory of the results. No operand of the epilogue may lie
/// there.
struct TileShape {
  int64_t columns = 0, unroll = 1, ahead_step = 0;
  bool int16 = false;
};

/// Rounds of the innermost loop in a tile.
int64_t rounds_of_tile(const ContractionSpec& flattened, int64_t unroll);

/// Emits f(a, b, c, fused…, [ahead], sizes…). With Target::shared_tiles, contractions that differ only in sizes and
/// strides share it.
SizedFunc emit_tile(Emitter& emitter, const ContractionSpec& flattened, const TileShape& shape, const Tile& tile,
                    const std::string& name);

}  // namespace kiln
