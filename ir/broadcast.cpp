// Broadcasting of shapes, including symbols.
#include <algorithm>

#include "ir/infer.h"

namespace kiln {

Result<Shape> broadcast(const Graph& graph, const std::vector<const Shape*>& shapes) {
  size_t rank = 0;
  for (const Shape* s : shapes) rank = std::max(rank, s->size());
  Shape out(rank, Dim(1));
  for (const Shape* s : shapes) {
    for (size_t i = 0; i < s->size(); ++i) {
      Dim& to = out[rank - s->size() + i];
      const Dim& from = (*s)[i];
      if (from == to || from == Dim(1)) continue;
      if (!(to == Dim(1))) {
        for (const Dim& d : {from, to})
          if (!d.is_constant() && static_cast<size_t>(d.symbol) < graph.symbols.size())
            return misfit("the symbol '" + graph.symbols[static_cast<size_t>(d.symbol)].name +
                          "' meets another size in " + to_string(*s));
        return misfit("shapes do not broadcast: " + to_string(*s) + " with " + to_string(out));
      }
      to = from;
    }
  }
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.size() > to.size()) return false;
  for (size_t i = 0; i < from.size(); ++i) {
    const Dim& target = to[to.size() - from.size() + i];
    if (!(from[i] == target) && !(from[i] == Dim(1))) return false;
  }
  return true;
}

}  // namespace kiln
