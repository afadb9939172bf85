// Elements that data choose: how many there are only a run knows.
#pragma once

#include "ir/legalizer.h"

namespace kiln {

/// Places that were chosen, in order, and then zeros (i32).
struct Chosen {
  ValueId index = kNoValue;
  ValueId count = kNoValue;  ///< how many there are, an i32; none where all of `index` is
};
/// The places where a vector of booleans holds.
Result<Chosen> places(Legalizer& l, ValueId mask);
/// Says that y has as many parts along the axis as were chosen. `zeros`: what lies beyond is zeros.
ValueId bounded(Legalizer& l, ValueId y, int64_t axis, const Chosen& chosen, bool zeros = false);
/// The coordinates of the elements of x that are not zero: [dims, n], or [n, dims].
Result<ValueId> nonzero(Legalizer& l, const Node& node, ValueId x, bool dims_first);
/// 0, 1, … (i32).
Result<ValueId> numbers_to(Legalizer& l, int64_t count);

/// Of n rows those that differ. Each result is along axis 0, and bounded but for `inverse`.
struct Distinct {
  ValueId rows = kNoValue;     ///< the rows that differ
  ValueId first = kNoValue;    ///< where the first of each stood
  ValueId inverse = kNoValue;  ///< for each of the n rows its place among those that differ
  ValueId counts = kNoValue;   ///< how many are equal to it
};
enum class RowOrder : uint8_t { sorted, first, as_given };  ///< as_given: only neighbours are compared
Result<Distinct> distinct(Legalizer& l, const Node& node, ValueId rows, RowOrder order);

/// Greedy suppression: boxes [B, N, 4] (two corners, in any order), scores [B, C, N]. Of each class the best box is
/// taken, and those are dropped that overlap it by more than `overlap`; again up to `most` times.
struct Suppression {
  int64_t most = 0;
  double overlap = 0;
  double least = 0;  ///< scores above it count
};
/// The numbers of the boxes taken, [B, C, most], and then −1 (i64).
Result<ValueId> suppress(Legalizer& l, ValueId boxes, ValueId scores, const Suppression& how);

}  // namespace kiln
