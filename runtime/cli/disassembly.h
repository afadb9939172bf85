// Emitted code as text.
#pragma once

#include <string>

#include "jit/program.h"

namespace kiln::cli {

/// Emits the program for a native target and lists its machine code, with the names of functions.
Result<std::string> asm_text(const Program& program, const Target& target);
/// Emits the program for a wasm target and prints it in WebAssembly's text format.
Result<std::string> wat_text(const Program& program, const Target& target);

}  // namespace kiln::cli
