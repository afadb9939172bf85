// Evaluates one pointwise expression in double precision, from the definitions in jit/expr.h.
#pragma once

#include <vector>

#include "jit/expr.h"

namespace kiln::testing {

/// The expression's value for one element; `operands` in the order of its inputs.
double evaluate(const Expr& expr, const std::vector<double>& operands);

}  // namespace kiln::testing
