// Needs: canonical nodes, constants folded. Guarantees: no view of a view, no copy except for outputs, no expanded
// operand of a map. Numbers are inside expressions, padding inside windows, batch norms inside convolutions. Attention
// is one node.
#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> canonicalize(Graph graph) {
  return rewrite_by({canonical_view, canonical_map, canonical_contraction, fold_batch_norm, match_attention},
                    std::move(graph));
}

}  // namespace kiln
