// Needs: source nodes whose indices are in range; nothing else is trusted. Guarantees: only canonical nodes, in order,
// with inferred shapes and types that equal the file's. One error reports everything that is not supported.
#include <algorithm>

#include "ir/legalizer.h"
#include "ir/optimize.h"
#include "ir/passes/passes.h"

namespace kiln {
namespace {

Status check_value(const Value& v) {
  int64_t count = 1;
  if (v.shape.size() > kMaxRank)
    return Error{ErrorCode::unsupported_operator,
                 "'" + v.name + "' has " + std::to_string(v.shape.size()) + " dims, at most " +
                     std::to_string(kMaxRank) + " are supported",
                 ""};
  for (const Dim& d : v.shape)
    if (d.value < 0 || __builtin_mul_overflow(count, std::max<int64_t>(d.value, 1), &count) || count > kMaxElements)
      return misfit("the value '" + v.name + "' has an impossible shape: " + to_string(v.shape));
  if (v.is_constant() && static_cast<int64_t>(v.data.size()) != count * size_of(v.dtype))
    return misfit("the constant '" + v.name + "' does not have the size its shape says");
  return ok();
}

/// "aten.foo.default(float32[1x3], none)  model.py:12 — why".
std::string describe(const Graph& graph, const Node& node, const std::string& why) {
  std::string text = "\n  " + node.source + "(";
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (i) text += ", ";
    if (node.inputs[i] == kNoValue) {
      text += "none";
      continue;
    }
    const Value& v = graph.value(node.inputs[i]);
    text += std::string(name_of(v.dtype)) + "[" + to_string(v.shape) + "]";
  }
  return text + ")" + (node.where.empty() ? "" : "  " + node.where) + (why.empty() ? "" : " — " + why);
}

}  // namespace

Result<Graph> legalize(const Graph& graph) {
  for (ValueId id : graph.inputs) KILN_TRY(check_value(graph.value(id)));
  for (const Value& v : graph.values)
    if (v.is_weight() || v.is_constant()) KILN_TRY(check_value(v));
  Graph out;
  Legalizer l(graph, out);
  std::string unsupported, where;
  bool all_fit = true;
  int listed = 0;
  for (const Node& node : graph.nodes) {
    if (node.op != Op::source) return misfit("legalize takes source nodes");
    bool lost = false;  // an operand that a node before this one should have made
    for (ValueId id : node.inputs) lost = lost || (id != kNoValue && l.find(id) == kNoValue);
    if (lost && !unsupported.empty()) continue;
    Status status = l.legalize(node);
    if (status.ok()) continue;
    const ErrorCode code = status.error().code;
    if (code != ErrorCode::unsupported_operator && code != ErrorCode::bad_file) return status.error();
    all_fit = all_fit && code == ErrorCode::unsupported_operator;
    unsupported += describe(graph, node, find_op(node.source) ? status.error().message : "");
    if (where.empty()) where = node.where;
    if (++listed == kMaxListed) {
      unsupported += "\n  and perhaps more";
      break;
    }
    l.assume_outputs(node);  // and go on, to find what else is not supported
  }
  if (!unsupported.empty())
    return Error{all_fit ? ErrorCode::unsupported_operator : ErrorCode::bad_file,
                 "the model uses operators that are not supported:" + unsupported, where};
  l.b.lift_limit();
  std::vector<bool> inputs(out.values.size()), outputs = inputs;
  for (ValueId id : out.inputs) inputs[static_cast<size_t>(id)] = true;
  for (ValueId id : graph.outputs) {
    ValueId at = l.find(id);
    if (at == kNoValue) return l.not_computed(id);
    if (is_half(graph.value(id).dtype)) {  // rounded as it is stored
      KILN_ASSIGN(at, l.b.cast(at, graph.value(id).dtype));
      inputs.resize(out.values.size()), outputs.resize(out.values.size());
    }
    // An output has a name of its own: a value that is an input, a weight, or another output already is copied.
    const auto index = static_cast<size_t>(at);
    if (inputs[index] || outputs[index] || out.value(at).is_weight() || out.value(at).is_constant()) {
      KILN_ASSIGN(at, l.b.map(identity_expr(lane_of(out.value(at).dtype)), {at}, out.value(at).dtype));
    }
    outputs[index] = true;
    out.value(at).name = graph.value(id).name;
    out.outputs.push_back(at);
  }
  KILN_TRY(l.state_bounds());
  return out;
}

Status check_supported(const Graph& graph) {
  std::string unsupported;
  int listed = 0;
  for (const Node& node : graph.nodes)
    if (node.op == Op::source && !find_op(node.source) && ++listed <= kMaxListed)
      unsupported += describe(graph, node, "");
  if (!unsupported.empty())
    return Error{ErrorCode::unsupported_operator, "the model uses operators that are not supported:" + unsupported, ""};
  Graph example = graph;  // forms of operators are judged at the sizes of the example
  for (Value& value : example.values)
    for (Dim& dim : value.shape) dim = Dim(dim.value);
  KILN_TRY(legalize(example));
  return ok();
}

}  // namespace kiln
