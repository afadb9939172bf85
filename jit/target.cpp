#include "jit/target.h"

namespace kiln {

Target wasm_target(bool relaxed_simd, bool shared_memory, bool memory64) {
  Target t;
  t.isa = Isa::wasm;
  t.width = 4;
  t.vector_registers = 15;  // V8 on x64 keeps one of 16 for itself
  t.fma = relaxed_simd;
  t.threads = shared_memory;
  t.memory64 = memory64;
  t.shared_tiles = true;
  return t;
}

Target avx2_target() {
  Target t;
  t.isa = Isa::avx2;
  t.width = 8;
  t.vector_registers = 16;
  t.threads = true;
  return t;
}

Target avx512_target() {
  Target t;
  t.isa = Isa::avx512;
  t.width = 16;
  t.vector_registers = 32;
  t.threads = true;
  return t;
}

Target neon_target() {
  Target t;
  t.isa = Isa::neon;
  t.width = 4;
  t.vector_registers = 32;
  t.threads = true;
  return t;
}

Target reference_target(int width) {
  Target t;
  t.isa = Isa::reference;
  t.width = width;
  t.vector_registers = 32;
  t.threads = true;
  return t;
}

std::string to_string(const Target& target) {
  constexpr const char* kIsa[] = {"wasm", "avx2", "avx512", "neon", "reference"};
  std::string text = kIsa[static_cast<int>(target.isa)];
  if (target.isa == Isa::reference) text += std::to_string(target.width);
  if (target.fma) text += "+fma";
  if (target.threads) text += "+threads";
  if (target.memory64) text += "+memory64";
  return text;
}

}  // namespace kiln
