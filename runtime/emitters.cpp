// Which backend serves a target. The page's compiler links only its own.
#include "jit/backends/wasm.h"
#include "runtime/compile.h"
#ifndef __EMSCRIPTEN__
#if __has_include("jit/backends/native.h")
#include "jit/backends/native.h"
#endif
#endif

namespace kiln {

std::unique_ptr<ModuleEmitter> make_emitter(const Target& target) {
  if (target.isa == Isa::wasm) return make_wasm_emitter(target);
#if !defined(__EMSCRIPTEN__) && __has_include("jit/backends/native.h")
  return make_native_emitter(target);
#else
  return nullptr;
#endif
}

}  // namespace kiln
