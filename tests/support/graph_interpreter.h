// Evaluates a canonical graph in double precision, node by node, from the definitions in ir/graph.h. It is slow and
// plain, and the oracle for the passes and the lowering.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace kiln::testing {

/// Elements of any dtype as doubles (booleans 0 or 1).
struct Array {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<double> data;
  int64_t size() const;
};

struct Bindings {
  std::vector<Array> inputs;     ///< in the order of Graph::inputs
  std::map<int, Array> weights;  ///< by segment
};

/// Inputs and weights with seeded normal numbers; integers in [0, int_limit), booleans about half true. Weights whose
/// name ends in "var" are positive.
Bindings random_bindings(const Graph& graph, uint32_t seed, int64_t int_limit = 4);

/// The outputs, in the order of Graph::outputs. `after`, if there is one, sees each result and may change it.
Result<std::vector<Array>> interpret(const Graph& graph, const Bindings& bindings,
                                     const std::function<void(const Node&, Array&)>& after = {});

/// The largest absolute difference. Infinity if shapes or dtypes differ, or if one is NaN and the other is not.
double max_difference(const std::vector<Array>& a, const std::vector<Array>& b);

}  // namespace kiln::testing
