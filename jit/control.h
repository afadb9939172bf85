// Conditions and loops in the steps of a run. A page's compiler for plain networks does not have them (jit/absent.cpp).
#pragma once

#include <vector>

#include "jit/program.h"

namespace kiln {

/// `units`, or 0 unless all bytes at `when` are set. All threads see the same, because a step waits for what it reads.
Arg units_if(Emitter& e, const std::vector<int64_t>& when, Int base, int64_t units);
/// Runs `body` if all bytes at `when` are set.
void emit_if(Emitter& e, const std::vector<int64_t>& when, Int base, FunctionRef<void()> body);

/// All of a step, on the calling thread; by how much its first operand has moved, or null.
using WholeStep = FunctionRef<void(const ProgramStep&, Int base, Int scratch, const Int* moved)>;
/// For each loop of a program a function loop(base, scratch), in parts of at most `most` steps.
std::vector<Func> emit_loops(Emitter& e, const Program& program, size_t most, WholeStep whole_step);

}  // namespace kiln
