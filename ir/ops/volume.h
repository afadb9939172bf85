// Windows over three spatial dims, as windows over two: planes, and then the depth.
#pragma once

#include "ir/legalizer.h"

namespace kiln {

/// What a convolution does along the depth; `plane` has the rest.
struct Depth {
  int64_t kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;
};
/// x [N, C, D, H, W], w [O, C/g, KD, KH, KW]; transposed w [C, O/g, KD, KH, KW]. Planes of the depth that a window
/// spans become channels of one image, so it is one convolution of images with more channels. Padding of a transposed
/// one makes its result smaller.
Result<ValueId> convolve(Legalizer& l, const Node& node, ValueId x, ValueId w, ValueId bias, const ConvAttrs& plane,
                         Depth depth);
/// A row of PyTorch.
Status convolve_volume(Legalizer& l, const Node& node);

}  // namespace kiln
