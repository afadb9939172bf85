#include <algorithm>
#include <cstring>
#include <set>

#include "format/kiln_file.h"
#include "format/onnx_file.h"
#include "format/onnx_proto.h"

namespace kiln {
namespace {

constexpr int64_t kOldestOpset = 7, kNewestOpset = 28;
constexpr int64_t kMaxInline = 65536;  ///< bytes of a constant that the compiler sees: integers, mostly of shapes
constexpr int64_t kMaxInlineReals = 256;
constexpr int kMaxDepth = 64;  ///< of functions in functions
constexpr size_t kMaxNodes = 1 << 20;
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr size_t kMaxRank = 64;  ///< the compiler says which of these it takes

Error bad(std::string message, std::string where = "") {
  return {ErrorCode::bad_file, "this .onnx file is damaged or inconsistent: " + std::move(message), std::move(where)};
}
Error unsupported(std::string message, std::string where = "") {
  return {ErrorCode::unsupported_operator, std::move(message), std::move(where)};
}

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

Result<DType> dtype_of(int32_t type, std::string_view name) {
  switch (type) {
    case onnx::kFloat:
      return DType::f32;
    case onnx::kFloat16:
      return DType::f16;
    case onnx::kBfloat16:
      return DType::bf16;
    case onnx::kInt8:
      return DType::i8;
    case onnx::kUint8:
      return DType::u8;
    case onnx::kInt32:
      return DType::i32;
    case onnx::kInt64:
      return DType::i64;
    case onnx::kBool:
      return DType::boolean;
    default:
      return unsupported(quoted(name) + " is " + onnx::name_of(type) +
                         ", which is not computed here: there are float32, int64, int32, int8, uint8 and bool");
  }
}

std::string op_name(const onnx::Node& node) {
  return (node.domain.empty() ? "onnx" : std::string(node.domain)) + "." + std::string(node.op);
}

/// Values by name, of the graph or of a function's body.
using Scope = std::map<std::string_view, ValueId>;
using Bindings = std::map<std::string_view, const onnx::Attribute*>;

class Reader {
 public:
  Result<OnnxModel> run(const onnx::Model& model) {
    model_ = &model;
    const auto version = model.opsets.find("");
    opset_ = version == model.opsets.end() ? 1 : version->second;
    if (opset_ < kOldestOpset || opset_ > kNewestOpset)
      return Error{ErrorCode::unsupported_version,
                   "this .onnx file is of opset " + std::to_string(opset_) + "; " + std::to_string(kOldestOpset) +
                       " to " + std::to_string(kNewestOpset) +
                       " are read: convert it with onnx.version_converter, or export it again",
                   ""};
    g().name = model.graph.name;
    if (model.graph.sparse) return unsupported("sparse weights are not supported: store them densely");
    Scope scope;
    for (const onnx::Tensor& t : model.graph.tensors) KILN_TRY(define(scope, t.name, tensor(t)));
    for (const onnx::Port& p : model.graph.inputs)
      if (!scope.count(p.name)) KILN_TRY(input(scope, p));
    KILN_TRY(nodes(model.graph.nodes, scope, {}, opset_, "", 0));
    KILN_TRY(outputs(model.graph, scope));
    return std::move(out_);
  }

 private:
  kiln::Graph& g() { return out_.graph; }

  static Status define(Scope& scope, std::string_view name, Result<ValueId> id) {
    if (!id.ok()) return id.error();
    if (!scope.emplace(name, *id).second) return bad("two values are called " + quoted(name));
    return ok();
  }

  /// A symbol for a dim that is not a number.
  int symbol(const std::string& name) {
    for (size_t i = 0; i < g().symbols.size(); ++i)
      if (g().symbols[i].name == name) return static_cast<int>(i);
    g().symbols.push_back({name, 1, 0, {}});
    return static_cast<int>(g().symbols.size()) - 1;
  }

  Status input(Scope& scope, const onnx::Port& p) {
    if (p.type == 0) return unsupported("the input " + quoted(p.name) + " is a sequence, an optional or a map");
    KILN_ASSIGN(const DType dtype, dtype_of(p.type, p.name));
    if (!p.ranked) return unsupported("the input " + quoted(p.name) + " has no shape: say how many dims it has");
    if (p.dims.size() > kMaxRank) return unsupported("the input " + quoted(p.name) + " has too many dims");
    Shape shape;
    for (size_t i = 0; i < p.dims.size(); ++i) {
      const onnx::Dim& d = p.dims[i];
      if (d.size > kMaxElements) return bad("a dim of " + quoted(p.name) + " is out of range");
      if (d.size >= 0 && d.symbol.empty()) {
        shape.push_back(Dim(d.size));
        continue;
      }
      const std::string name = d.symbol.empty() ? std::string(p.name) + "." + std::to_string(i) : std::string(d.symbol);
      shape.push_back(Dim::make_symbol(symbol(name), 1));
    }
    const ValueId id = g().add_value(std::string(p.name), dtype, std::move(shape));
    g().inputs.push_back(id);
    return define(scope, p.name, id);
  }

  /// A weight, or a constant that the compiler may look at.
  Result<ValueId> tensor(const onnx::Tensor& t) {
    KILN_ASSIGN(const DType dtype, dtype_of(t.type, t.name));
    if (t.dims.size() > kMaxRank) return unsupported("the tensor " + quoted(t.name) + " has too many dims");
    int64_t count = 1, span = 1;
    Shape shape;
    for (const int64_t d : t.dims) {
      if (d < 0 || __builtin_mul_overflow(span, std::max<int64_t>(d, 1), &span) || span > kMaxElements)
        return bad("the tensor " + quoted(t.name) + " has an impossible shape");
      count *= d;
      shape.push_back(Dim(d));
    }
    const int64_t bytes = count * size_of(dtype);
    const ValueId id = g().add_value(std::string(t.name), dtype, std::move(shape));
    const auto stored = static_cast<int64_t>(t.bytes().size());
    if (t.external ? t.length >= 0 && t.length != bytes : stored != bytes)
      return bad("the tensor " + quoted(t.name) + " has " + std::to_string(t.external ? t.length : stored) +
                 " bytes, its shape and type make " + std::to_string(bytes));
    if (bytes == 0) return id;
    const bool real = dtype == DType::f32 || is_half(dtype);
    if (!t.external && bytes <= (real ? kMaxInlineReals : kMaxInline)) {
      const std::string_view data = t.bytes();
      g().value(id).data.assign(data.begin(), data.end());
      if (dtype == DType::boolean)
        for (uint8_t& b : g().value(id).data) b = b != 0;
      return id;
    }
    Segment segment;
    segment.offset = round_up(g().weights_bytes, kSegmentAlign);
    segment.size = bytes;
    g().weights_bytes = segment.offset + bytes;
    g().value(id).segment = static_cast<int>(g().segments.size());
    g().segments.push_back(segment);
    OnnxWeights weights;
    weights.bytes = t.raw, weights.made = t.made, weights.offset = t.offset;
    if (t.external) {
      KILN_TRY(plain_name(t));
      weights.external = t.location;
    }
    out_.weights.push_back(std::move(weights));
    return id;
  }

  /// External data lies beside the model: its name leads nowhere else.
  static Status plain_name(const onnx::Tensor& t) {
    const std::string& path = t.location;
    bool inside = !path.empty() && path[0] != '/' && path.find('\\') == path.npos && path.find('\0') == path.npos &&
                  path.find(':') == path.npos;
    for (size_t at = 0; inside && at <= path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      inside = end > at && path.substr(at, end - at) != "..";
      at = end + 1;
    }
    if (!inside) return bad("the tensor " + quoted(t.name) + " lies in a file outside the model's folder", t.location);
    return ok();
  }

  const onnx::Function* function_of(const onnx::Node& node) const {
    for (const onnx::Function& f : model_->functions)
      if (f.name == node.op && f.domain == node.domain && f.overload == node.overload) return &f;
    return nullptr;
  }

  /// Nodes in an order in which each comes after those that make its operands. `prefix` is of the functions around.
  Status nodes(const std::vector<onnx::Node>& all, Scope& scope, const Bindings& bound, int64_t opset,
               const std::string& prefix, int depth) {
    std::map<std::string_view, std::vector<size_t>> waits;  // value → nodes that wait for it
    std::set<std::string_view> made;
    for (const onnx::Node& n : all)
      for (std::string_view o : n.outputs)
        if (!o.empty() && !made.insert(o).second) return bad("two nodes make " + quoted(o));
    std::vector<size_t> missing(all.size(), 0), ready;
    for (size_t i = 0; i < all.size(); ++i) {
      for (std::string_view in : all[i].inputs) {
        if (in.empty() || scope.count(in)) continue;
        if (!made.count(in)) return bad("nothing makes " + quoted(in) + ", which a node reads", title(all[i], prefix));
        waits[in].push_back(i), ++missing[i];
      }
      if (!missing[i]) ready.push_back(i);
    }
    std::reverse(ready.begin(), ready.end());
    size_t done = 0;
    while (!ready.empty()) {
      const size_t i = ready.back();
      ready.pop_back();
      ++done;
      KILN_TRY(node(all[i], scope, bound, opset, prefix, depth));
      for (auto o = all[i].outputs.rbegin(); o != all[i].outputs.rend(); ++o) {
        const auto who = waits.find(*o);
        if (who == waits.end()) continue;
        for (auto next = who->second.rbegin(); next != who->second.rend(); ++next)
          if (--missing[*next] == 0) ready.push_back(*next);
      }
    }
    if (done != all.size()) return bad("its nodes wait for each other in a circle");
    return ok();
  }

  static std::string title(const onnx::Node& n, const std::string& prefix) {
    const std::string_view name = !n.name.empty() ? n.name : n.outputs.empty() ? std::string_view() : n.outputs[0];
    return prefix + std::string(name);
  }

  Status node(const onnx::Node& n, Scope& scope, const Bindings& bound, int64_t opset, const std::string& prefix,
              int depth) {
    const std::string where = title(n, prefix);
    if (g().nodes.size() >= kMaxNodes) return bad("too many nodes");
    std::vector<ValueId> inputs;
    for (std::string_view in : n.inputs) inputs.push_back(in.empty() ? kNoValue : scope.at(in));
    if (const onnx::Function* f = function_of(n)) return call(*f, n, inputs, scope, bound, where, depth);
    if (n.domain.empty() && n.op == "Constant") return constant(n, scope, bound, where);
    Node out;
    out.source = op_name(n);
    out.where = where;
    out.inputs = std::move(inputs);
    out.source_attrs.push_back({"opset", opset});
    for (const onnx::Attribute& given : n.attributes) {
      const onnx::Attribute* a = resolved(given, bound);
      if (!a) continue;
      KILN_TRY(attribute(given.name, *a, out));
    }
    for (std::string_view o : n.outputs) {
      if (o.empty()) {
        out.outputs.push_back(kNoValue);
        continue;
      }
      const ValueId id = g().add_value(prefix + std::string(o), DType::f32, {});
      g().value(id).typed = false;
      KILN_TRY(define(scope, o, id));
      out.outputs.push_back(id);
    }
    g().nodes.push_back(std::move(out));
    return ok();
  }

  /// The attribute itself, or the one of the function around it that it refers to; null where that is not given.
  static const onnx::Attribute* resolved(const onnx::Attribute& a, const Bindings& bound) {
    if (a.reference.empty()) return &a;
    const auto found = bound.find(a.reference);
    return found == bound.end() ? nullptr : found->second;
  }

  /// The nodes of a function in the place of a call.
  Status call(const onnx::Function& f, const onnx::Node& n, const std::vector<ValueId>& inputs, Scope& scope,
              const Bindings& bound, const std::string& where, int depth) {
    if (depth >= kMaxDepth) return bad("functions call each other more than 64 deep", where);
    Scope inner;
    for (size_t i = 0; i < f.inputs.size(); ++i)
      if (i < inputs.size() && inputs[i] != kNoValue) inner.emplace(f.inputs[i], inputs[i]);
    Bindings given;
    for (const onnx::Attribute& a : f.defaults) given[a.name] = &a;
    for (const onnx::Attribute& a : n.attributes)
      if (const onnx::Attribute* value = resolved(a, bound)) given[a.name] = value;
    std::vector<onnx::Node> body = f.nodes;
    for (onnx::Node& inside : body)  // an operand that the caller leaves out is left out inside
      for (std::string_view& in : inside.inputs)
        if (!inner.count(in) && std::count(f.inputs.begin(), f.inputs.end(), in)) in = {};
    const auto opset = f.opsets.find("");
    KILN_TRY(nodes(body, inner, given, opset == f.opsets.end() ? opset_ : opset->second, where + "/", depth + 1));
    for (size_t i = 0; i < n.outputs.size() && i < f.outputs.size(); ++i) {
      if (n.outputs[i].empty()) continue;
      const auto at = inner.find(f.outputs[i]);
      if (at == inner.end()) return bad("a function does not make its output " + quoted(f.outputs[i]), where);
      KILN_TRY(define(scope, n.outputs[i], at->second));
    }
    return ok();
  }

  Status constant(const onnx::Node& n, Scope& scope, const Bindings& bound, const std::string& where) {
    if (n.outputs.size() != 1 || n.attributes.size() != 1)
      return bad("a Constant has one attribute and one output", where);
    const onnx::Attribute* a = resolved(n.attributes[0], bound);
    if (!a) return bad("a Constant without its value", where);
    onnx::Tensor t;
    const auto put = [&](int32_t type, const void* data, size_t size, bool list, size_t count) {
      t.type = type;
      t.made.assign(static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + size);
      if (list) t.dims = {static_cast<int64_t>(count)};
    };
    if (a->type == onnx::kTensor && a->tensors.size() == 1)
      t = a->tensors[0];
    else if (a->type == onnx::kReal)
      put(onnx::kFloat, &a->f, 4, false, 1);
    else if (a->type == onnx::kInteger)
      put(onnx::kInt64, &a->i, 8, false, 1);
    else if (a->type == onnx::kReals)
      put(onnx::kFloat, a->floats.data(), a->floats.size() * 4, true, a->floats.size());
    else if (a->type == onnx::kIntegers)
      put(onnx::kInt64, a->ints.data(), a->ints.size() * 8, true, a->ints.size());
    else
      return unsupported("onnx.Constant: only tensors and numbers are supported", where);
    t.name = n.outputs[0];
    return define(scope, n.outputs[0], tensor(t));
  }

  Status attribute(std::string_view name, const onnx::Attribute& a, Node& out) {
    SourceAttr attr;
    attr.name = name;
    switch (a.type) {
      case onnx::kReal:
        attr.value = static_cast<double>(a.f);
        break;
      case onnx::kInteger:
        attr.value = a.i;
        break;
      case onnx::kText:
        attr.value = std::string(a.s);
        break;
      case onnx::kReals:
        attr.value = std::vector<double>(a.floats.begin(), a.floats.end());
        break;
      case onnx::kIntegers:
        attr.value = a.ints;
        break;
      case onnx::kTensor: {  // a further operand: `name` says which
        if (a.tensors.size() != 1) return bad("an attribute without its tensor", out.where);
        KILN_ASSIGN(const ValueId id, tensor(a.tensors[0]));
        attr.name += ".operand";
        attr.value = static_cast<int64_t>(out.inputs.size());
        out.inputs.push_back(id);
        break;
      }
      case onnx::kTexts:
        attr.value = std::string(a.strings.empty() ? "" : a.strings[0]);
        break;
      case onnx::kGraph:
      case onnx::kGraphs:
        return unsupported(out.source + ": graphs inside nodes are not supported", out.where);
      default:
        return unsupported(out.source + ": the attribute " + quoted(name) + " is of a kind that is not supported",
                           out.where);
    }
    out.source_attrs.push_back(std::move(attr));
    return ok();
  }

  Status outputs(const onnx::Graph& graph, const Scope& scope) {
    std::set<std::string_view> names;
    for (const onnx::Port& p : graph.outputs) {
      const auto at = scope.find(p.name);
      if (at == scope.end()) return bad("nothing makes the output " + quoted(p.name));
      if (!names.insert(p.name).second) return bad("two outputs are called " + quoted(p.name));
      g().outputs.push_back(at->second);
      Value& value = g().value(at->second);  // made inside a function it has another name
      if (!value.typed) value.name = p.name;
    }
    if (graph.outputs.empty()) return bad("no outputs");
    return ok();
  }

  const onnx::Model* model_ = nullptr;
  OnnxModel out_;
  int64_t opset_ = 0;
};

}  // namespace

Result<OnnxModel> read_onnx(std::string_view file) {
  KILN_ASSIGN(const onnx::Model model, onnx::parse(file));
  return Reader().run(model);
}

bool looks_like_onnx(const uint8_t* bytes, int64_t size) {
  return size > 2 && bytes[0] == 8 && bytes[1] > 0 && bytes[1] < 32 && (bytes[2] & 7) == 2;
}

}  // namespace kiln
