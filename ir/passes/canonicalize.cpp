// Needs: canonical nodes, constants folded. Guarantees: no view of a view, no copy but for outputs, no expanded operand
// of a map, numbers inside expressions, padding inside windows, batch norms inside convolutions, attention as one node.
#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> canonicalize(Graph graph) {
  return rewrite_by({canonical_view, canonical_map, canonical_contraction, fold_batch_norm, match_attention},
                    std::move(graph));
}

}  // namespace kiln
