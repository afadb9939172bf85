// What a kernel may touch of its operands, as jit/kernel_spec.h tells it: nothing here knows how it is emitted.
#pragma once

#include <vector>

#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

/// Bytes [begin, end) from an operand's address.
struct Span {
  int64_t begin = 0, end = 0;
  bool has_gaps = false;  ///< not all of them are touched; the first and the last are
};
/// What all units of a kernel touch, operand by operand; of the input of taps what index 0 names. Nothing of a spec
/// that counts beyond `most`, or to less than 1.
std::vector<Span> touched(const KernelSpec& spec, const Schedule& schedule, int64_t most = INT32_MAX);

}  // namespace kiln
