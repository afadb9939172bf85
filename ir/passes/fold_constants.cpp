// Needs: canonical nodes. Guarantees: a node whose operands are all small inline constants is one itself. Weights are
// not touched: what depends on them is computed at load.
#include "ir/fold.h"
#include "ir/passes/passes.h"
#include "ir/passes/rewrite.h"
#include "support/budget.h"

namespace kiln {

Result<Graph> fold_constants(Graph graph) {
  Rewrite rewrite(std::move(graph));
  int64_t left = kMaxFolding;
  return rewrite.run([&](Node& node) -> Result<bool> {
    if (node.outputs.size() != 1) return false;
    const Value& out = rewrite.graph.value(node.outputs[0]);
    std::vector<uint8_t> data = fold(rewrite.graph, node, {out.dtype, out.shape}, left);
    if (data.empty()) return false;
    rewrite.replace(node.outputs[0], rewrite.b.constant(out.dtype, Shape(out.shape), std::move(data)));
    return true;
  });
}

}  // namespace kiln
