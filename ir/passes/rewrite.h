// One walk over a canonical graph that makes a new graph. Each old node is kept, replaced or left out. The operands of
// the current node are already in the new graph, so patterns look backwards at producers.
#pragma once

#include <utility>
#include <vector>

#include "ir/builder.h"
#include "ir/regions.h"

namespace kiln {

class Rewrite {
 public:
  explicit Rewrite(Graph old_graph);

  /// Calls `visit(node)` for each old node, with operands resolved. The visitor returns true if it has replaced the
  /// node. Otherwise the node is kept.
  template <class Visit>
  Result<Graph> run(const Visit& visit) {
    for (Node& node : old_) {
      for (ValueId& id : node.inputs)
        if (id != kNoValue) id = resolve(id);
      b.set_origin(node);
      Result<bool> done = visit(node);
      if (!done.ok()) return done.error();
      if (!*done) graph.nodes.push_back(std::move(node));
      changed = changed || *done;
      sync();
    }
    return finish();
  }

  /// Every reader of `old` reads `now` from here on.
  void replace(ValueId old, ValueId now);
  ValueId resolve(ValueId id) const { return replaced_[static_cast<size_t>(id)]; }

  /// The node that computes a value, if it has been emitted with this operation (any for the second form), in the same
  /// branch or loop.
  const Node* producer(ValueId id, Op op);
  const Node* producer(ValueId id);
  /// Position among the emitted nodes, -1 for what is not computed.
  int position(ValueId id);
  /// Whether at most one node reads it and it is no output. Within a walk it may wrongly say no, but never wrongly yes.
  bool single_use(ValueId id);
  /// Weights, constants, and whatever is computed from them alone.
  bool from_weights(ValueId id);
  bool is_output(ValueId id) const;
  /// A constant all of whose elements are equal, or each one more than the one before. Looked at once.
  bool is_uniform(ValueId id) { return facts(id).uniform; }
  bool is_ramp(ValueId id) { return facts(id).ramp; }

  const Shape& shape(ValueId id) const { return graph.value(id).shape; }

  Graph graph;
  Builder b;
  bool changed = false;

 private:
  struct Facts {
    bool known = false, uniform = false, ramp = false;
  };
  const Facts& facts(ValueId id);
  void sync();  ///< takes note of the nodes emitted since the last call
  Result<Graph> finish();

  std::vector<Node> old_;
  std::vector<ValueId> replaced_;
  std::vector<int> uses_, produced_at_, region_at_;
  Regions regions_;
  std::vector<bool> weights_only_, output_;
  std::vector<Facts> facts_;
  size_t seen_ = 0;
};

/// A rule: replaces a node if it applies, and returns whether it did.
using Rule = Result<bool> (*)(Rewrite&, const Node&);

/// Walks until no rule applies anywhere. For each node, the first rule that applies wins. Dead nodes are removed.
Result<Graph> rewrite_by(const std::vector<Rule>& rules, Graph graph);

}  // namespace kiln
