// What is about to be emitted, checked by itself: docs/security.md says what follows from it.
#pragma once

#include "runtime/compile.h"

namespace kiln {

/// Goes through a load and a run of the program as it lies in memory. Whatever a step touches lies in the buffer that
/// its plan names, every buffer in its space, every space in the memory, beside all others; what it reads was written
/// there, by steps that it waits for, and by nothing else since; and nothing is counted beyond 31 bits. Of what strides
/// leave out between the first and the last byte of an operand it knows nothing.
Status verify_plan(const Plan& plan, const Compiled& compiled, const CompileOptions& options);

}  // namespace kiln
