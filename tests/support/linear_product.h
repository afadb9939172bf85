// A linear layer of any size, by any algorithm, against plain loops in double precision.
#pragma once

#include "jit/kernel_spec.h"
#include "jit/schedule.h"
#include "jit/target.h"
#include "support/function_ref.h"
#include "tests/support/strided.h"

namespace kiln::testing {

enum class Fused { nothing, residual, gelu, mask };

struct LinearProblem {
  int64_t m, k, n;
  int64_t a_beside, c_beside;  ///< elements of A's and C's rows that are not the product's
  Fused fused;
};

/// A spec that allows only the direct algorithm.
ContractionSpec linear_spec(const LinearProblem& problem);
/// Packs B from [n][k].
PackSpec linear_pack(const LinearProblem& problem);

/// Packs and runs on random operands below 1.6. Checks every result and everything beside the results. `tolerance` gets
/// the row of A and the row of weights of a sum.
void check_linear(const Target& target, const LinearProblem& problem, const ContractionSpec& spec,
                  const Schedule& schedule, FunctionRef<double(const float* a, const float* w)> tolerance,
                  Random& random);

/// The largest error over the largest output, for a product of unit variance (A of variance 1, B of 1/k).
double linear_error(const Target& target, const LinearProblem& problem, const ContractionSpec& spec,
                    const Schedule& schedule);

}  // namespace kiln::testing
