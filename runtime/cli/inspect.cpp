#include <cstdio>
#include <map>

#include "ir/optimize.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/text.h"
#include "runtime/native_integrity.h"

namespace kiln::cli {
namespace {

struct Flags {
  std::string path;
};
void describe(CLI::App& command, Flags& flags) {
  command.add_option("model", flags.path, "a .kiln or .onnx file")->required();
}

std::string shape_text(const Graph& graph, const Shape& shape) {
  std::string text;
  for (const Dim& dim : shape)
    text += (text.empty() ? "" : "x") +
            (dim.is_constant() ? std::to_string(dim.value) : graph.symbols[static_cast<size_t>(dim.symbol)].name);
  return text;
}

void add_ports(Table& table, const Graph& graph, const char* kind, const std::vector<ValueId>& ids) {
  for (const ValueId id : ids) {
    const Value& value = graph.value(id);
    table.add({kind, value.name, name_of(value.dtype), shape_text(graph, value.shape)});
  }
}

Status inspect(const Flags& flags) {
  KILN_ASSIGN(const ModelFile file, ModelFile::open(flags.path));
  KILN_ASSIGN(const Graph graph, file.graph());
  KILN_TRY(Verification(file, graph).work());
  std::string integrity;  // an .onnx file has no hashes
  if (!file.is_onnx()) {
    KILN_TRY(CheckedWeights(file, graph).rest());
    KILN_ASSIGN(integrity, integrity_of(file));
  }
  std::printf("%s: %zu nodes, %zu weights of %s MB%s\n", graph.name.c_str(), graph.nodes.size(), graph.segments.size(),
              fixed(static_cast<double>(graph.weights_bytes) / 1e6, 2).c_str(),
              integrity.empty() ? "" : ", hashes match");
  if (!integrity.empty()) std::printf("integrity: %s\n", integrity.c_str());
  std::printf("\n");
  Table ports({"port", "name", "type", "shape"});
  add_ports(ports, graph, "input", graph.inputs);
  add_ports(ports, graph, "output", graph.outputs);
  ports.print();
  for (const Symbol& s : graph.symbols)
    if (s.code.empty())
      std::printf("%s: %lld to %s\n", s.name.c_str(), static_cast<long long>(s.min),
                  s.max ? std::to_string(s.max).c_str() : "any size");
  for (const Guard& guard : graph.guards) std::printf("only where %s\n", guard.text.c_str());
  std::map<std::string, int> counts;
  for (const Node& node : graph.nodes) ++counts[node.source];
  std::printf("\n");
  Table operators({"operator", "nodes"});
  for (const auto& [name, count] : counts) operators.add({name, std::to_string(count)});
  operators.print();
  return check_supported(graph);
}

}  // namespace

void add_inspect(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "inspect", "What a model file holds, and whether it is whole and supported", describe,
                     inspect);
}

}  // namespace kiln::cli
