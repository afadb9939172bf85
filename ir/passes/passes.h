// The passes of optimize(), in their order. Each states in its own file what it needs and what it guarantees.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace kiln {

Result<Graph> bind_symbols(Graph graph, const std::map<std::string, int64_t>& dims);
Result<Graph> legalize(const Graph& graph);
Result<Graph> fold_constants(Graph graph);
Result<Graph> canonicalize(Graph graph);
Result<Graph> fuse(Graph graph);
Graph drop_dead(Graph graph);

}  // namespace kiln
