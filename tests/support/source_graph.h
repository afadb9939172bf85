// Graphs of a front end's operators, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/builder.h"
#include "ir/passes/passes.h"

namespace kiln::testing {

using Ints = std::vector<int64_t>;
using Attrs = std::vector<SourceAttr>;

inline Shape shape_of(const Ints& sizes) { return Shape(sizes.begin(), sizes.end()); }

struct SourceGraph {
  Graph graph;

  ValueId input(const Ints& shape, DType dtype = DType::f32) {
    graph.inputs.push_back(graph.add_value("in" + std::to_string(graph.inputs.size()), dtype, shape_of(shape)));
    return graph.inputs.back();
  }
  ValueId weight(const Ints& shape, std::string name = "w", DType dtype = DType::f32) {
    const ValueId id = graph.add_value(std::move(name), dtype, shape_of(shape));
    graph.value(id).segment = static_cast<int>(graph.segments.size());
    graph.segments.push_back({});
    return id;
  }
  ValueId constant(const std::vector<double>& numbers, const Ints& shape, DType dtype) {
    const ValueId id = graph.add_value("c", dtype, shape_of(shape));
    graph.value(id).data = write_constant(numbers, dtype);
    return id;
  }
  ValueId number(double value, DType dtype = DType::f32) { return constant({value}, {}, dtype); }
  /// Adds a node. Several shapes make several results of the same dtype.
  std::vector<ValueId> ops(const std::string& name, std::vector<ValueId> inputs, const std::vector<Ints>& shapes,
                           Attrs attrs = {}, DType dtype = DType::f32) {
    Node node;
    node.source = name;
    node.where = "model.py:" + std::to_string(graph.nodes.size() + 1);
    node.inputs = std::move(inputs);
    node.source_attrs = std::move(attrs);
    for (const Ints& shape : shapes)
      node.outputs.push_back(graph.add_value("v" + std::to_string(graph.values.size()), dtype, shape_of(shape)));
    graph.nodes.push_back(node);
    return node.outputs;
  }
  ValueId op(const std::string& name, std::vector<ValueId> inputs, const Ints& shape, Attrs attrs = {},
             DType dtype = DType::f32) {
    return ops(name, std::move(inputs), {shape}, std::move(attrs), dtype)[0];
  }
  void output(ValueId id, std::string name = "") {
    if (!name.empty()) graph.value(id).name = std::move(name);
    graph.outputs.push_back(id);
  }
};

/// The error of legalizing, or nothing.
inline std::string error_of(const SourceGraph& source) {
  const auto graph = legalize(source.graph);
  return graph.ok() ? "" : graph.error().message;
}

}  // namespace kiln::testing
