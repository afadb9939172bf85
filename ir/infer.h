// Shapes and types of canonical nodes. Only this file says which operands a canonical operation accepts.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace kiln {

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
};

using TensorTypes = std::vector<TensorType>;

/// Larger values are refused. A plan for them could not run, and products of sizes below this cannot overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr size_t kMaxRank = 16;

/// The types of a canonical node's results, one for each, before its epilogue. `wanted` says what the operands leave
/// open: the shape of a reshape, expand or slice, the dtype of a map. Operands of any rank and any attributes may be
/// given; if they do not fit, the error says why. A symbolic dim stays where it passes through unchanged. Arithmetic on
/// one is an error that names it.
Result<TensorTypes> infer(const Graph& graph, const Node& node, const TensorType& wanted);

/// The shape that operands of these shapes broadcast to.
Result<Shape> broadcast(const Graph& graph, const std::vector<const Shape*>& shapes);
/// Whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// Error: an operand or attribute that does not fit.
Error misfit(std::string message);

/// Checks every node of a canonical graph: order, types, epilogues. For tests.
Status verify(const Graph& graph);

}  // namespace kiln
