// WebAssembly through the Binaryen C API. The module imports its memory as "env"."memory".
#pragma once

#include <memory>

#include "jit/emitter.h"

namespace kiln {

std::unique_ptr<ModuleEmitter> make_wasm_emitter(const Target& target);

}  // namespace kiln
