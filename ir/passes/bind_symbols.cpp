// Needs: any graph. Guarantees: every dim and every argument is a number.
#include <algorithm>

#include "ir/infer.h"
#include "ir/passes/passes.h"

namespace kiln {
namespace {

Error bad(std::string message) { return {ErrorCode::bad_option, std::move(message), "dims"}; }

Result<int64_t> derived(const Symbol& symbol, const std::vector<int64_t>& sizes) {
  const std::optional<int64_t> size = evaluate(symbol.code, sizes);
  if (!size || *size < -kMaxElements || *size > kMaxElements)
    return bad("these sizes leave no size for '" + symbol.name + "'");
  return *size;
}

/// Refuses names that the model does not have, before it reports missing ones.
Status know_names(const Graph& graph, const std::map<std::string, int64_t>& dims) {
  std::string all;
  for (const Symbol& symbol : graph.symbols)
    if (symbol.code.empty()) all += (all.empty() ? "'" : ", '") + symbol.name + "'";
  for (const auto& [name, size] : dims)
    if (all.find("'" + name + "'") == std::string::npos)
      return bad("the model has no dimension '" + name + "'; " +
                 (all.empty() ? "its sizes are fixed" : "it has " + all));
  return ok();
}

Result<std::vector<int64_t>> sizes_of_symbols(const Graph& graph, const std::map<std::string, int64_t>& dims) {
  KILN_TRY(know_names(graph, dims));
  std::string missing;
  std::vector<int64_t> sizes;
  for (const Symbol& symbol : graph.symbols) {
    if (!symbol.code.empty()) {
      if (!missing.empty()) break;
      KILN_ASSIGN(const int64_t size, derived(symbol, sizes));
      sizes.push_back(size);
      continue;
    }
    const auto it = dims.find(symbol.name);
    if (it == dims.end()) {
      missing += (missing.empty() ? "" : ", ") + symbol.name;
      sizes.push_back(1);
      continue;
    }
    const int64_t size = it->second;
    if (size < symbol.min || (symbol.max > 0 && size > symbol.max) || size > kMaxElements)
      return bad("the dimension '" + symbol.name + "' cannot be " + std::to_string(size) + ": the model takes " +
                 std::to_string(symbol.min) + " to " + (symbol.max > 0 ? std::to_string(symbol.max) : "any size"));
    sizes.push_back(size);
  }
  if (!missing.empty()) return bad("give a size to the dimensions " + missing);
  return sizes;
}

Status check_guards(const Graph& graph, const std::vector<int64_t>& sizes) {
  for (const Guard& guard : graph.guards) {
    if (evaluate(guard.code, sizes).value_or(0)) continue;
    std::string given;
    for (size_t i = 0; i < sizes.size(); ++i)
      if (graph.symbols[i].code.empty())
        given += (given.empty() ? "" : ", ") + graph.symbols[i].name + " = " + std::to_string(sizes[i]);
    return bad("the model was exported for sizes where " + guard.text +
               (guard.where.empty() ? "" : " (" + guard.where + ")") + ", which does not hold for " + given +
               ": give other sizes, or export it with an example of such sizes");
  }
  return ok();
}

}  // namespace

Result<Graph> bind_symbols(Graph graph, const std::map<std::string, int64_t>& dims) {
  KILN_ASSIGN(const std::vector<int64_t> sizes, sizes_of_symbols(graph, dims));
  KILN_TRY(check_guards(graph, sizes));
  const auto known = [&](int symbol) { return static_cast<size_t>(symbol) < sizes.size(); };
  for (Value& value : graph.values) {
    int64_t span = 1;  // as in the reader: a zero hides what its neighbours' strides come to
    for (Dim& dim : value.shape) {
      if (!dim.is_constant()) {
        if (!known(dim.symbol)) return misfit("a dimension names a symbol that the file does not have");
        dim = Dim(sizes[static_cast<size_t>(dim.symbol)]);
      }
      if (dim.value < 0) return bad("these sizes leave a negative one for '" + value.name + "'");
      if (__builtin_mul_overflow(span, std::max<int64_t>(dim.value, 1), &span) || span > kMaxElements)
        return bad("these sizes make '" + value.name + "' too large");
    }
  }
  for (Node& node : graph.nodes) {
    for (SourceAttr& attr : node.source_attrs) {
      for (size_t i = 0; i < attr.symbols.size(); ++i) {
        if (attr.symbols[i] < 0) continue;
        auto* one = std::get_if<int64_t>(&attr.value);
        auto* many = std::get_if<std::vector<int64_t>>(&attr.value);
        if (!known(attr.symbols[i]) || !(one || (many && i < many->size())))
          return misfit(node.source + ": the argument '" + attr.name + "' names a symbol that there is not");
        (one ? *one : (*many)[i]) = sizes[static_cast<size_t>(attr.symbols[i])];
      }
      attr.symbols.clear();
    }
  }
  graph.symbols.clear();
  graph.guards.clear();
  return graph;
}

}  // namespace kiln
