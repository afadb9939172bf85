// Views: a value as lowering sees it, a strided part of a buffer. Everything here is arithmetic on sizes and strides.
// Nothing is emitted.
#pragma once

#include <climits>
#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace kiln {

using Sizes = std::vector<int64_t>;
/// Dims from outermost to innermost in memory.
using Order = std::vector<int>;

/// Pixels of stored zeros around dims 2 and 3.
struct Halo {
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  bool empty() const { return !(top | left | bottom | right); }
  bool covers(const Halo& o) const { return top >= o.top && left >= o.left && bottom >= o.bottom && right >= o.right; }
};
Halo larger(const Halo& a, const Halo& b);

/// When a step can run: in every inference, or at load, when transfer `phase` has arrived.
constexpr int kRunPhase = INT_MAX;

struct View {
  int buffer = -1;
  DType dtype = DType::f32;
  int64_t offset = 0;   ///< elements
  Sizes dims, strides;  ///< elements
  Halo halo;            ///< of a [N,C,H,W] view: zeros that are there for the reading
  int phase = kRunPhase;
  int rank() const { return static_cast<int>(dims.size()); }
};

Sizes sizes_of(const Shape& shape);
int64_t product(const Sizes& sizes);

Order row_major(int rank);
Order channels_last();                  ///< of [N,C,H,W]
Order with_last(Order order, int dim);  ///< `dim` moved innermost
Sizes compact_strides(const Sizes& dims, const Order& order);
Order order_of(const View& view);  ///< by stride; dims that do not move (size 1, broadcast) outermost
bool same_order(const Sizes& dims, const Order& a, const Order& b);  ///< dims of size 1 do not matter
bool is_compact(const View& view, const Order& order);
inline bool is_row_major(const View& view) { return is_compact(view, row_major(view.rank())); }
bool same_place(const View& a, const View& b);  ///< of equal dims: the same elements of the same buffer
/// Consecutive elements along `dim` are neighbours (or there is only one).
inline bool is_contiguous_in(const View& view, int dim) {
  return view.dims[static_cast<size_t>(dim)] == 1 || view.strides[static_cast<size_t>(dim)] == 1;
}

View permuted(const View& view, const std::vector<int64_t>& axes);
View sliced(const View& view, const Sizes& start, const Sizes& step, const Sizes& dims);
View expanded(const View& view, const Sizes& dims);  ///< right-aligned broadcast
/// The type that copies take a type for: i32 for integers of 32 and 64 bits, bits for 16-bit floats.
DType moved_as(DType dtype);
/// The elements as that type; 64-bit ones as pairs of 32-bit ones, in a new last dim.
View moved(View view);
/// The same elements in another shape, where the strides allow it without a copy.
std::optional<View> reshaped(const View& view, const Sizes& dims);

/// A loop nest over several operands at once: strides[operand][loop].
struct Box {
  Sizes dims;
  std::vector<Sizes> strides;
  void add_loop(int64_t size, const Sizes& operand_strides);
  /// Sorts loops by the strides of operand 0, outermost first. Equal ones (broadcast) keep their order.
  void sort();
  /// Drops loops of one round, and merges neighbouring loops that are one loop for every operand.
  void merge();
};

/// The dims other than `axis` of operands that agree on them, merged to as few as possible.
Box beside(size_t axis, const std::vector<View>& operands);

}  // namespace kiln
