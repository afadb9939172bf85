// A pointwise expression on vector registers.
#pragma once

#include <vector>

#include "jit/emitter.h"
#include "jit/expr.h"
#include "jit/integer.h"

namespace kiln {

/// Emits `expr` with inputs[i] as operand i; the inputs stay as they are. Returns the register of the result (an
/// input's own register for the identity). Neither an operand nor the result is an i64.
Vec emit_expr(Emitter& e, const Expr& expr, const std::vector<Vec>& inputs);
/// The same of any lanes.
integer::Wide emit_wide_expr(Emitter& e, const Expr& expr, const std::vector<integer::Wide>& inputs);

}  // namespace kiln
