// An AArch64 processor for machines that have another one. It is Unicorn's, over this process's own memory, so
// addresses are the same.
#pragma once

#include "tests/support/machine.h"

namespace kiln::testing {

std::unique_ptr<Machine> emulate_aarch64(Module module);

}  // namespace kiln::testing
