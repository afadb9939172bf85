// What rows that gather and rows that scatter share.
#pragma once

#include "ir/legalizer.h"

namespace kiln {

/// One index for several, on the axes they index merged into one of `size`.
struct FlatIndex {
  ValueId index = kNoValue;
  int64_t size = 1;
};
/// `indices` broadcast; each is on the axis of its place among `axes` of a tensor of shape `of`, and may count from the
/// end. If one is out of range, so is the result.
Result<FlatIndex> flat_index(Legalizer& l, const Node& node, const std::vector<ValueId>& indices,
                             const std::vector<int64_t>& axes, const Shape& of);

}  // namespace kiln
