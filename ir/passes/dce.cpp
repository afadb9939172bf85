// Needs: canonical nodes in order. Guarantees: every node and value is used by an output, except the graph's inputs,
// which stay.
#include "ir/passes/passes.h"

namespace kiln {

Graph drop_dead(Graph graph) {
  std::vector<bool> live(graph.values.size(), false);
  for (ValueId id : graph.outputs) live[static_cast<size_t>(id)] = true;
  std::vector<Node> kept;
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    Node& node = graph.nodes[i];
    bool needed = false;
    for (ValueId id : node.outputs) needed = needed || live[static_cast<size_t>(id)];
    if (!needed) continue;
    for (ValueId id : node.inputs)
      if (id != kNoValue) live[static_cast<size_t>(id)] = true;
    kept.push_back(std::move(node));
  }
  graph.nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  for (ValueId id : graph.inputs) live[static_cast<size_t>(id)] = true;

  std::vector<ValueId> moved(graph.values.size(), kNoValue);
  std::vector<Value> values;
  for (size_t i = 0; i < live.size(); ++i) {
    if (!live[i]) continue;
    moved[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(graph.values[i]));
  }
  graph.values = std::move(values);
  const auto move_all = [&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids)
      if (id != kNoValue) id = moved[static_cast<size_t>(id)];
  };
  for (Node& node : graph.nodes) move_all(node.inputs), move_all(node.outputs);
  move_all(graph.inputs);
  move_all(graph.outputs);
  return graph;
}

}  // namespace kiln
