// Needs: canonical nodes in order. Guarantees: every node and value is used by an output, except the graph's inputs,
// which stay. A result that nobody reads has no value.
#include "ir/passes/passes.h"

namespace kiln {

namespace {

/// Keeps the marked elements, in order. Most are not moved, because few are dropped.
template <class T>
void close_up(std::vector<T>& elements, const std::vector<bool>& kept) {
  size_t end = 0;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!kept[i]) continue;
    if (i != end) elements[end] = std::move(elements[i]);
    ++end;
  }
  elements.erase(elements.begin() + static_cast<std::ptrdiff_t>(end), elements.end());
}

}  // namespace

Graph drop_dead(Graph graph) {
  std::vector<bool> live(graph.values.size(), false);
  for (ValueId id : graph.outputs) live[static_cast<size_t>(id)] = true;
  std::vector<bool> kept(graph.nodes.size(), false);
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    Node& node = graph.nodes[i];
    for (ValueId& id : node.outputs) {
      if (id == kNoValue) continue;
      if (live[static_cast<size_t>(id)])
        kept[i] = true;
      else
        id = kNoValue;
    }
    if (!kept[i]) continue;
    for (ValueId id : node.inputs)
      if (id != kNoValue) live[static_cast<size_t>(id)] = true;
  }
  close_up(graph.nodes, kept);
  for (ValueId id : graph.inputs) live[static_cast<size_t>(id)] = true;

  std::vector<ValueId> moved(graph.values.size(), kNoValue);
  ValueId count = 0;
  for (size_t i = 0; i < live.size(); ++i)
    if (live[i]) moved[i] = count++;
  if (static_cast<size_t>(count) == graph.values.size()) return graph;
  close_up(graph.values, live);
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
