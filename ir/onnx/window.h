// ONNX: sliding windows of convolutions and pooling.
#pragma once

#include "ir/legalizer.h"

namespace kiln {

/// Of an image; one spatial dim is a row, whose first entries are as if nothing were there.
struct Window {
  std::array<int64_t, 2> kernel{1, 1}, stride{1, 1}, dilation{1, 1}, pad_begin{0, 0}, pad_end{0, 0};
  std::string automatic;  ///< auto_pad
  int64_t reach(size_t i) const { return (kernel[i] - 1) * dilation[i] + 1; }
};
/// The node's attributes for an input [N, C, L] or [N, C, H, W], in range. Of one of three spatial dims, for those from
/// `first` to before `last`.
Result<Window> window_of(Legalizer& l, const Node& node, const Shape& in, const std::vector<int64_t>& kernel,
                         size_t first = 0, size_t last = 2);
/// Of three spatial dims the first, as that of a column.
Result<Window> depth_of(Legalizer& l, const Node& node, const Shape& in, const std::vector<int64_t>& kernel);

/// [N, C, L] as [N, C, 1, L]; and back, where the operator's input had `rank` dims.
Result<ValueId> as_image(Legalizer& l, ValueId x);
Result<ValueId> from_image(Legalizer& l, ValueId y, size_t rank);

}  // namespace kiln
