// Contraction: matrix products and convolutions as one loop nest around one micro-kernel.
#pragma once

#include "jit/family.h"

namespace kiln {

extern const FieldList kContractionFields;
Work work_of(const ContractionSpec& spec);

/// Columns of a tile.
inline int64_t tile_columns(const Schedule& s, const Target& t) { return int64_t{s.nv} * t.width; }
/// Whether a tile's sums, a row of B and one element of A fit the registers.
bool tile_fits(const Schedule& s, const Target& t);
/// For one row of A and n columns of B where it lies: the widest tiles of equal width.
Schedule row_schedule(int64_t n, const Target& target);
/// Output pixels as one row of `columns` with constant strides, if the strides allow it. Then no tile wraps. Rows that
/// a tile cannot cross (see ContractionSpec) become batches.
ContractionSpec flattened(const ContractionSpec& spec);

/// Rows of the one or two tiles that end a product, if its rows are no multiple of the schedule's. A tile of one or two
/// rows would leave most multipliers idle, so it shares rows with its neighbour.
std::vector<int64_t> remainder_tiles(const ContractionSpec& flattened, const Schedule& schedule);
int64_t remainder_rows(const ContractionSpec& flattened, const Schedule& schedule);
/// From the `rows` of a block, computes the number of whole tiles. `rest` is not 0 if the remainder_tiles follow.
void split_rows(Emitter& e, const ContractionSpec& flattened, const Schedule& schedule, Int rows, Int count, Int rest);
/// How many tiles of a block read the next panel, of `bytes` of weights. 0: none should. Caches still hold few bytes
/// from the last run, and many tiles hide a panel's arrival without this.
int64_t ahead_tiles(const ContractionSpec& flattened, const Schedule& schedule, const Target& target, int64_t bytes);

/// Emits panel(a, b, c, fused…, x, count, rest): consecutive output pixels against one panel of `columns` columns of B.
/// It runs `count` tiles of the schedule's rows from image column x, then, if rest ≠ 0, the remainder_tiles of the
/// spec. With `ahead_tiles` it takes one more parameter, the panel that comes next (or any other). So many tiles touch
/// all of it, a little in every round of the innermost loop. So weights arrive from memory while the multipliers are
/// busy. Hardware does not prefetch across panels: it sees the end of one, then a miss elsewhere.
Func emit_panel(Emitter& emitter, const ContractionSpec& flattened, const Schedule& schedule, const std::string& name,
                int64_t columns, int64_t ahead_tiles = 0);
/// Calls it for panel `index` of `full` adjacent ones. `ahead_bytes` is the size of a panel if it reads ahead, else 0.
void call_panel(Emitter& e, Func panel, std::vector<Arg> args, Int index, int64_t full, int64_t ahead_bytes);

/// Emits panels(a, b, c, fused…, panel, panels, count, rest): the same rows against `panels` panels of a packed B, from
/// number `panel` on. Every pointer is that panel's. For plain products (oh = 1). `ahead_tiles` is as in emit_panel.
Func emit_panels(Emitter& emitter, const ContractionSpec& product, const Schedule& schedule, const std::string& name,
                 int64_t ahead_tiles = 0);

/// The number of elements that a pack writes. Winograd's transformed taps are more. (Not for rounded rows.)
int64_t packed_elements(const PackSpec& spec, const Schedule& schedule);

}  // namespace kiln
