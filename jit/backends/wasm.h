// WebAssembly through the Binaryen C API. The module imports its memory as "env"."memory".
#pragma once

#include <memory>

#include "jit/emitter.h"

namespace kiln {

/// Bytes of the largest memory that engines allow.
constexpr int64_t wasm_memory_limit(bool memory64) { return int64_t{1} << (memory64 ? 34 : 32); }

std::unique_ptr<ModuleEmitter> make_wasm_emitter(const Target& target);

}  // namespace kiln
