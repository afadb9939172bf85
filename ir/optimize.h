// Graph → Graph: the passes in their order. Each states in its own file what it needs and what it guarantees.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace kiln {

struct OptimizeOptions {
  std::map<std::string, int64_t>
      dims;  ///< symbol name → size; every symbol must be bound (error bad_option names the missing ones)
};

/// bind symbols → legalize → fold constants → canonicalise (conv + batch norm, reshape/permute, attention) → fuse
/// pointwise → drop dead.
Result<Graph> optimize(Graph graph, const OptimizeOptions& options);

/// All unsupported operators of a graph in one error (node, operator, shapes, line), or ok.
Status check_supported(const Graph& graph);

}  // namespace kiln
