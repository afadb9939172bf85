#include "ir/graph.h"

#include <algorithm>
#include <limits>

namespace kiln {

namespace {

const char* const kReduceNames[] = {"sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all"};
const char* const kScatterNames[] = {"replace", "sum", "prod", "max", "min"};
const char* const kScanNames[] = {"sum", "prod", "max", "min", "log_sum_exp"};
const char* const kNormNames[] = {"softmax", "log_softmax", "layer_norm", "rms_norm"};

template <class Ints>
std::string join(const Ints& values) {
  std::string text = "[";
  for (int64_t v : values) text += (text.size() > 1 ? "," : "") + std::to_string(v);
  return text + "]";
}

std::string number(double v) {
  char text[32];
  snprintf(text, sizeof text, "%g", v);
  return text;
}

struct AttrPrinter {
  std::string operator()(const std::monostate&) const { return ""; }
  std::string operator()(const ConvAttrs& a) const {
    return " stride=" + join(a.stride) + " pad=" + join(a.pad_begin) + join(a.pad_end) +
           " dilation=" + join(a.dilation) + " groups=" + std::to_string(a.groups) +
           (a.transposed ? " transposed" : "");
  }
  std::string operator()(const MatmulAttrs& a) const { return a.transpose_b ? " transpose_b" : ""; }
  std::string operator()(const ReduceAttrs& a) const {
    return std::string(" ") + kReduceNames[static_cast<int>(a.kind)] + " axes=" + join(a.axes) +
           (a.keepdim ? " keepdim" : "");
  }
  std::string operator()(const NormAttrs& a) const {
    return std::string(" ") + kNormNames[static_cast<int>(a.kind)] + " axis=" + std::to_string(a.axis) +
           " eps=" + number(a.eps);
  }
  std::string operator()(const AttentionAttrs& a) const {
    return " scale=" + number(a.scale) + (a.causal ? " causal" : "");
  }
  std::string operator()(const PoolAttrs& a) const {
    return std::string(a.kind == WindowKind::max ? " max" : " average") + " kernel=" + join(a.kernel) +
           " stride=" + join(a.stride) + " pad=" + join(a.pad_begin) + join(a.pad_end) +
           " dilation=" + join(a.dilation) + (a.count_include_pad ? " count_include_pad" : "") +
           (a.divisor ? " divisor=" + std::to_string(a.divisor) : "") + (a.even[0] ? " even=" + join(a.even) : "");
  }
  std::string operator()(const AxisAttrs& a) const { return " axis=" + std::to_string(a.axis); }
  std::string operator()(const GatherAttrs& a) const {
    return " axis=" + std::to_string(a.axis) + (a.batch ? " batch=" + std::to_string(a.batch) : "");
  }
  std::string operator()(const TapsAttrs& a) const {
    return " axis=" + std::to_string(a.axis) + " taps=" + std::to_string(a.taps);
  }
  std::string operator()(const ScatterAttrs& a) const {
    return std::string(" ") + kScatterNames[static_cast<int>(a.kind)] + " axis=" + std::to_string(a.axis) +
           (a.batch ? " batch=" + std::to_string(a.batch) : "");
  }
  std::string operator()(const ScanAttrs& a) const {
    return std::string(" ") + kScanNames[static_cast<int>(a.kind)] + " axis=" + std::to_string(a.axis);
  }
  std::string operator()(const SortAttrs& a) const {
    return " axis=" + std::to_string(a.axis) + " first=" + std::to_string(a.first) +
           " count=" + std::to_string(a.count) + (a.descending ? " descending" : "");
  }
  std::string operator()(const PermuteAttrs& a) const { return " axes=" + join(a.axes); }
  std::string operator()(const SliceAttrs& a) const { return " start=" + join(a.start) + " step=" + join(a.step); }
  std::string operator()(const PadAttrs& a) const {
    return " before=" + join(a.before) + " after=" + join(a.after) + " value=" + number(static_cast<double>(a.value)) +
           (a.whole ? " whole=" + std::to_string(a.whole) : "");
  }
  std::string operator()(const BranchAttrs& a) const { return a.otherwise ? " otherwise" : ""; }
  std::string operator()(const LoopAttrs& a) const {
    return " bound=" + std::to_string(a.bound) + (a.conditional ? " conditional" : "");
  }
};

std::string describe(const Graph& graph, ValueId id) {
  if (id == kNoValue) return "none";
  const Value& v = graph.value(id);
  std::string text = "%" + std::to_string(id);
  if (v.is_weight()) text += "=weight " + v.name;
  if (v.is_constant()) text += "=constant";
  return text + ":" + name_of(v.dtype) + "[" + to_string(v.shape) + "]";
}

}  // namespace

const char* name_of(Op op) {
  static const char* const kNames[] = {"source",     "conv",      "matmul",  "map",     "reduce",  "softmax",
                                       "layer_norm", "attention", "pool",    "gather",  "scatter", "scan",
                                       "sort",       "taps",      "reshape", "permute", "expand",  "slice",
                                       "concat",     "pad",       "branch",  "join",    "loop",    "end_loop"};
  return kNames[static_cast<int>(op)];
}

ValueId Graph::add_value(std::string value_name, DType dtype, Shape shape) {
  Value v;
  v.name = std::move(value_name);
  v.dtype = dtype;
  v.shape = std::move(shape);
  values.push_back(std::move(v));
  return static_cast<ValueId>(values.size() - 1);
}

bool is_empty(const Shape& shape) {
  return std::any_of(shape.begin(), shape.end(), [](const Dim& d) { return d == Dim(0); });
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const Dim& d : shape) {
    // Saturates. Wherever values are built, a count that large is refused.
    if (__builtin_mul_overflow(count, d.value, &count)) return std::numeric_limits<int64_t>::max();
  }
  return count;
}

std::string to_string(const Shape& shape) {
  std::string text;
  for (const Dim& d : shape) {
    if (!text.empty()) text += "x";
    text += d.is_constant() ? std::to_string(d.value) : "s" + std::to_string(d.symbol);
  }
  return text;
}

std::string to_string(const Graph& graph) {
  std::string text = "graph " + graph.name + "\n";
  for (ValueId id : graph.inputs) text += "  input " + describe(graph, id) + " " + graph.value(id).name + "\n";
  for (const Node& node : graph.nodes) {
    text += "  ";
    for (size_t i = 0; i < node.outputs.size(); ++i) text += (i ? ", " : "") + describe(graph, node.outputs[i]);
    text += " = " + (node.op == Op::source ? node.source : std::string(name_of(node.op))) + "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) text += (i ? ", " : "") + describe(graph, node.inputs[i]);
    text += ")" + std::visit(AttrPrinter{}, node.attrs);
    if (!node.expr.empty()) text += " {" + to_string(node.expr) + "}";
    if (!node.epilogue.empty())
      text += " epilogue@" + std::to_string(node.epilogue_begin) + " {" + to_string(node.epilogue) + "}";
    if (node.op != Op::source && !node.source.empty()) text += "  // " + node.source;
    text += "\n";
  }
  for (ValueId id : graph.outputs) text += "  output " + describe(graph, id) + " " + graph.value(id).name + "\n";
  return text;
}

}  // namespace kiln
