// Needs: any graph. Guarantees: every dim is a constant.
#include "ir/infer.h"
#include "ir/passes/passes.h"

namespace kiln {

Result<Graph> bind_symbols(Graph graph, const std::map<std::string, int64_t>& dims) {
  const auto bad = [](std::string message) { return Error{ErrorCode::bad_option, std::move(message), "dims"}; };
  std::string missing;
  std::vector<int64_t> sizes;
  for (const Symbol& symbol : graph.symbols) {
    const auto it = dims.find(symbol.name);
    if (it == dims.end()) {
      missing += (missing.empty() ? "" : ", ") + symbol.name;
      sizes.push_back(1);
      continue;
    }
    const int64_t size = it->second;
    if (size < 1 || size < symbol.min || (symbol.max > 0 && size > symbol.max) || size > kMaxElements)
      return bad("the dimension '" + symbol.name + "' cannot be " + std::to_string(size) + ": the model takes " +
                 std::to_string(symbol.min) + " to " + (symbol.max > 0 ? std::to_string(symbol.max) : "any size"));
    sizes.push_back(size);
  }
  if (!missing.empty()) return bad("give a size to the dimensions " + missing);
  for (const auto& [name, size] : dims) {
    bool known = false;
    for (const Symbol& symbol : graph.symbols) known = known || symbol.name == name;
    if (!known) return bad("the model has no dimension '" + name + "'");
  }
  for (Value& value : graph.values)
    for (Dim& dim : value.shape)
      if (!dim.is_constant()) {
        if (static_cast<size_t>(dim.symbol) >= sizes.size())
          return misfit("a dimension names a symbol that the file does not have");
        dim = Dim(sizes[static_cast<size_t>(dim.symbol)]);
      }
  graph.symbols.clear();
  return graph;
}

}  // namespace kiln
