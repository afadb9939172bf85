// Needs: canonical nodes, constants folded. Guarantees: no view of a view, no copy but for outputs, no expanded operand
// of a map, numbers inside expressions, padding inside windows, batch norms inside convolutions, attention as one node,
// no 1×1 convolution of an enlarged image.
#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> canonicalize(Graph graph) {
  KILN_ASSIGN(graph,
              rewrite_by({canonical_view, canonical_map, canonical_contraction, fold_batch_norm, match_attention},
                         std::move(graph)));
  // Then, as a batch norm may stand between a convolution and what adds its parts.
  return rewrite_by({mix_before_enlarging, canonical_view, canonical_map}, std::move(graph));
}

}  // namespace kiln
