// AArch64 with NEON: vectors of 4 lanes, 32 registers.
#pragma once

#include "jit/emitter.h"

namespace kiln::native {

std::unique_ptr<ModuleEmitter> make_neon_emitter(const Target& target);

}  // namespace kiln::native
