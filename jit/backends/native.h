// Machine code through asmjit: AVX2 + FMA and AVX-512 on x86-64, NEON on AArch64. Any of them can be emitted on any
// machine; NativeCode (native_code.h) runs those that the CPU supports.
#pragma once

#include <memory>

#include "jit/emitter.h"

namespace kiln {

/// For a native target (isa avx2, avx512 or neon). The code is position independent, but calls functions of this
/// process by their address.
std::unique_ptr<ModuleEmitter> make_native_emitter(const Target& target);

}  // namespace kiln
