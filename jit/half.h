// 16-bit floats in 32-bit lanes: what a load gives and a store takes are their bits.
#pragma once

#include "jit/emitter.h"

namespace kiln {

/// The floats whose bits are in the low halves of the lanes; exact.
Vec from_half(Emitter& e, Vec bits, DType type);
/// The bits of the nearest 16-bit floats, halves to even; beyond the largest infinity.
Vec to_half(Emitter& e, Vec v, DType type);

}  // namespace kiln
