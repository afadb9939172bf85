// As ir/absent.cpp: what no program of compiler.wasm has.
#include "jit/control.h"

namespace kiln {

Arg units_if(Emitter&, const std::vector<int64_t>&, Int, int64_t units) { return units; }
void emit_if(Emitter&, const std::vector<int64_t>&, Int, FunctionRef<void()> body) { body(); }
std::vector<Func> emit_loops(Emitter&, const Program&, size_t, WholeStep) { return {}; }

}  // namespace kiln
