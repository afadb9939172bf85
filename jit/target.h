// What code is generated for. A kernel asks the target for its widths; it never asks which backend it is.
#pragma once

#include <cstdint>
#include <string>

namespace kiln {

enum class Isa : uint8_t { wasm, avx2, avx512, neon, reference };

struct Target {
  Isa isa = Isa::reference;
  int width = 4;              ///< f32 lanes of a vector
  int vector_registers = 16;  ///< that a tile may use
  bool fma = true;            ///< multiply-add in one instruction (wasm: relaxed SIMD)
  bool threads = false;       ///< shared memory, atomics
  bool memory64 = false;      ///< wasm: 64-bit addresses
  bool shared_tiles = false;  ///< tiles take sizes and strides at each call: less code, sooner emitted and optimised
};

Target wasm_target(bool relaxed_simd, bool shared_memory, bool memory64 = false);
Target avx2_target();
Target avx512_target();
Target neon_target();
Target reference_target(int width);
/// "wasm+fma+threads"
std::string to_string(const Target& target);

}  // namespace kiln
