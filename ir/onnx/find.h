// What the passes ask of graphs that were .onnx files.
#pragma once

#include "ir/graph.h"

namespace kiln {

/// Source nodes have results of no stated type, as in .onnx files.
bool states_no_types(const Graph& source);

/// Needs: a graph that is canonical. Guarantees the same, with norms and attention as nodes of their own where a file
/// spells them out.
Result<Graph> find_spelled_out(Graph graph);

}  // namespace kiln
