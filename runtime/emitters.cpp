// Chooses the backend of a target. The page's compiler links only its own.
#include "jit/backends/wasm.h"
#include "runtime/compile.h"
#ifndef __EMSCRIPTEN__
#include "jit/backends/native.h"
#include "jit/backends/reference.h"
#endif

namespace kiln {

std::unique_ptr<ModuleEmitter> make_emitter(const Target& target) {
  if (target.isa == Isa::wasm) return make_wasm_emitter(target);
#ifdef __EMSCRIPTEN__
  return nullptr;
#else
  if (target.isa == Isa::reference) return make_reference_emitter(target);
  return make_native_emitter(target);
#endif
}

}  // namespace kiln
