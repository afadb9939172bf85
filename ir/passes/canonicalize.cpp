// Needs: canonical nodes, constants folded. Guarantees: no view of a view, no copy but for outputs, no expanded operand
// of a map, numbers inside expressions, padding inside windows, batch norms inside convolutions, attention as one node.
#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"

namespace kiln {
namespace {

constexpr int kMaxRounds = 8;  ///< each round is one walk; models settle in two or three

}  // namespace

Result<Graph> canonicalize(Graph graph) {
  for (int round = 0; round < kMaxRounds; ++round) {
    Rewrite r(std::move(graph));
    auto walked = r.run([&](const Node& node) -> Result<bool> {
      for (auto* rule : {canonical_view, canonical_map, canonical_contraction, fold_batch_norm, match_attention}) {
        KILN_ASSIGN(const bool done, rule(r, node));
        if (done) return true;
      }
      return false;
    });
    if (!walked.ok()) return walked.error();
    graph = drop_dead(std::move(*walked));
    if (!r.changed) break;
  }
  return graph;
}

}  // namespace kiln
