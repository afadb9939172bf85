#include "ir/optimize.h"

#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> optimize(Graph graph, const OptimizeOptions& options) {
  KILN_ASSIGN(graph, bind_symbols(std::move(graph), options.dims));
  KILN_ASSIGN(graph, legalize(graph));
  graph = drop_dead(std::move(graph));
  KILN_ASSIGN(graph, fold_constants(std::move(graph)));
  KILN_ASSIGN(graph, canonicalize(std::move(graph)));
  KILN_ASSIGN(graph, fold_constants(std::move(graph)));
  KILN_ASSIGN(graph, fuse(drop_dead(std::move(graph))));
  return drop_dead(std::move(graph));
}

}  // namespace kiln
