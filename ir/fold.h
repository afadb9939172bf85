// Nodes whose operands are all small constants, computed by the compiler.
#pragma once

#include "ir/infer.h"

namespace kiln {

/// The bytes of a canonical node's result, whose type is `out`; empty when it is not to be folded: an operand is no
/// inline constant, the result is large, emitted code computes it better, or it is more than `left`: the elements that
/// may still be looked at. Weights are never looked at.
std::vector<uint8_t> fold(const Graph& graph, const Node& node, const TensorType& out, int64_t& left);

}  // namespace kiln
