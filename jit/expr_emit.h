// A pointwise expression on vector registers.
#pragma once

#include <vector>

#include "jit/emitter.h"
#include "jit/expr.h"
#include "jit/integer.h"

namespace kiln {

/// Emits `expr` with inputs[i] as operand i. It does not change the inputs. Returns the register of the result, which
/// for the identity is the input's own. Neither an operand nor the result may be a pair.
Vec emit_expr(Emitter& e, const Expr& expr, const std::vector<Vec>& inputs);
/// The same for any lanes.
integer::Wide emit_wide_expr(Emitter& e, const Expr& expr, const std::vector<integer::Wide>& inputs);

}  // namespace kiln
