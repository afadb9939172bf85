#include "ir/optimize.h"

#include "ir/onnx/find.h"
#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> optimize(Graph graph, const OptimizeOptions& options) {
  KILN_ASSIGN(graph, bind_symbols(std::move(graph), options.dims));
  const bool spelled_out = states_no_types(graph);
  KILN_ASSIGN(graph, legalize(graph));
  graph = drop_dead(std::move(graph));
  KILN_ASSIGN(graph, fold_constants(std::move(graph)));
  KILN_ASSIGN(graph, canonicalize(std::move(graph)));
  if (spelled_out) {
    KILN_ASSIGN(graph, find_spelled_out(std::move(graph)));
  }
  KILN_ASSIGN(graph, fold_constants(std::move(graph)));
  KILN_ASSIGN(graph, fuse(drop_dead(std::move(graph))));
  return drop_dead(std::move(graph));
}

}  // namespace kiln
