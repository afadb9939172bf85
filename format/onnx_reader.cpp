#include <algorithm>
#include <set>

#include "format/onnx_proto.h"
#include "format/onnx_values.h"
#include "support/budget.h"

namespace kiln {
namespace {

constexpr int64_t kOldestOpset = 7, kNewestOpset = 28;
constexpr int kMaxDepth = 64;  ///< of functions and graphs in each other
constexpr size_t kMaxNodes = 1 << 20;

/// Values by name, of a graph or of a function's body. kNoValue: an operand that the caller leaves out. A graph inside
/// of a node sees the names around it, unless it has its own.
struct Scope {
  std::map<std::string_view, ValueId> own;
  const Scope* around = nullptr;
  const ValueId* find(std::string_view name) const {
    for (const Scope* s = this; s; s = s->around)
      if (const auto at = s->own.find(name); at != s->own.end()) return &at->second;
    return nullptr;
  }
};
/// A function's attributes, by name.
using Bindings = std::map<std::string_view, const onnx::Attribute*>;

/// Where a node stands.
struct Place {
  Scope& scope;
  const Bindings& bound;
  int64_t opset;
  std::string prefix;  ///< the calls of functions around
  int depth;           ///< of functions and graphs
  std::vector<Node>& out;
};

/// Names that a graph reads from around it.
void reads_around(const onnx::Graph& graph, std::set<std::string_view>& names) {
  std::set<std::string_view> own, read;
  for (const onnx::Tensor& t : graph.tensors) own.insert(t.name);
  for (const onnx::Port& p : graph.inputs) own.insert(p.name);
  for (const onnx::Port& p : graph.outputs) read.insert(p.name);
  for (const onnx::Node& n : graph.nodes) {
    own.insert(n.outputs.begin(), n.outputs.end());
    read.insert(n.inputs.begin(), n.inputs.end());
    for (const onnx::Attribute& a : n.attributes)
      for (const onnx::Graph& inner : a.graphs) reads_around(inner, read);
  }
  for (const std::string_view name : read)
    if (!own.count(name)) names.insert(name);
}

/// Names that a node reads, itself or in its graphs.
std::set<std::string_view> read_by(const onnx::Node& n) {
  std::set<std::string_view> names(n.inputs.begin(), n.inputs.end());
  for (const onnx::Attribute& a : n.attributes)
    for (const onnx::Graph& inner : a.graphs) reads_around(inner, names);
  names.erase("");
  return names;
}

class Reader {
 public:
  Reader(OnnxValues values, const onnx::Model& model) : values_(std::move(values)), model_(model) {
    for (const onnx::Function& f : model.functions) functions_.emplace(Key{f.domain, f.name, f.overload}, &f);
  }

  Result<OnnxModel> run() {
    const auto version = model_.opsets.find("");
    opset_ = version == model_.opsets.end() ? 1 : version->second;
    if (opset_ < kOldestOpset || opset_ > kNewestOpset)
      return Error{ErrorCode::unsupported_version,
                   "this .onnx file is of opset " + std::to_string(opset_) + "; " + std::to_string(kOldestOpset) +
                       " to " + std::to_string(kNewestOpset) +
                       " are read: convert it with onnx.version_converter, or export it again",
                   ""};
    if (model_.graph.sparse) return unsupported_onnx("sparse weights are not supported: store them densely");
    KILN_TRY(values_.unfold(0, "name", {model_.graph.name}));
    g().name = model_.graph.name;
    Scope scope;
    for (const onnx::Tensor& t : model_.graph.tensors) KILN_TRY(define(scope, t.name, values_.tensor(t)));
    for (const onnx::Port& p : model_.graph.inputs)
      if (!scope.own.count(p.name)) KILN_TRY(define(scope, p.name, values_.input(p)));
    const Bindings none;
    KILN_TRY(nodes(model_.graph.nodes, {scope, none, opset_, "", 0, g().nodes}));
    KILN_TRY(outputs(scope));
    return std::move(values_.out);
  }

 private:
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;

  Graph& g() { return values_.out.graph; }

  static Status define(Scope& scope, std::string_view name, const Result<ValueId>& id) {
    if (!id.ok()) return id.error();
    if (!scope.own.emplace(name, *id).second) return bad_onnx("two values are called " + quoted(name));
    return ok();
  }

  /// Nodes in an order in which each comes after those that make its operands.
  Status nodes(const std::vector<onnx::Node>& all, const Place& place) {
    std::map<std::string_view, std::vector<size_t>> waits;  // value → nodes that wait for it
    std::set<std::string_view> made;
    for (const onnx::Node& n : all)
      for (std::string_view o : n.outputs)
        if (!o.empty() && !made.insert(o).second) return bad_onnx("two nodes make " + quoted(o));
    std::vector<size_t> missing(all.size(), 0), ready;
    for (size_t i = 0; i < all.size(); ++i) {
      for (std::string_view in : read_by(all[i])) {
        if (place.scope.own.count(in)) continue;
        if (made.count(in)) {
          waits[in].push_back(i), ++missing[i];
        } else if (!place.scope.find(in)) {
          return bad_onnx("nothing makes " + quoted(in) + ", which a node reads", title(all[i]));
        }
      }
      if (!missing[i]) ready.push_back(i);
    }
    std::reverse(ready.begin(), ready.end());
    size_t done = 0;
    for (; !ready.empty(); ++done) {
      const onnx::Node& next = all[ready.back()];
      ready.pop_back();
      KILN_TRY(node(next, place));
      for (auto o = next.outputs.rbegin(); o != next.outputs.rend(); ++o) {
        const auto who = waits.find(*o);
        if (who == waits.end()) continue;
        for (auto i = who->second.rbegin(); i != who->second.rend(); ++i)
          if (--missing[*i] == 0) ready.push_back(*i);
      }
    }
    return done == all.size() ? ok() : bad_onnx("its nodes wait for each other in a circle");
  }

  static std::string title(const onnx::Node& n) {
    return std::string(!n.name.empty() || n.outputs.empty() ? n.name : n.outputs[0]);
  }

  Status node(const onnx::Node& n, const Place& place) {
    const std::string where = place.prefix + title(n);
    KILN_TRY(values_.unfold(sizeof(Node) + (n.inputs.size() + n.outputs.size()) * sizeof(ValueId),
                            "node " + std::to_string(count_), {n.op, n.domain, where}));
    if (++count_ > kMaxNodes) return bad_onnx("too many nodes");
    Node out;
    for (std::string_view in : n.inputs) out.inputs.push_back(in.empty() ? kNoValue : *place.scope.find(in));
    const auto function = functions_.find({n.domain, n.op, n.overload});
    if (function != functions_.end()) return call(*function->second, n, out.inputs, place, where);
    if (n.domain.empty() && n.op == "Constant") return constant(n, place, where);
    out.source = (n.domain.empty() ? "onnx" : std::string(n.domain)) + "." + std::string(n.op);
    out.where = where;
    out.source_attrs.push_back({"opset", place.opset});
    for (const onnx::Attribute& given : n.attributes)
      if (const onnx::Attribute* a = resolved(given, place.bound)) {
        if (a->type == onnx::kGraph && a->graphs.size() == 1)
          KILN_TRY(body(given.name, a->graphs[0], place, out));
        else
          KILN_TRY(attribute(given.name, *a, out));
      }
    for (std::string_view o : n.outputs) {
      if (!o.empty()) {
        const Result<ValueId> id = values_.computed(place.depth ? std::string_view() : o);
        KILN_TRY(define(place.scope, o, id));
        out.outputs.push_back(*id);
      } else {
        out.outputs.push_back(kNoValue);
      }
    }
    place.out.push_back(std::move(out));
    return ok();
  }

  /// A graph inside of a node.
  Status body(std::string_view name, const onnx::Graph& graph, const Place& place, Node& out) {
    if (place.depth >= kMaxDepth)
      return bad_onnx("graphs and functions are more than 64 deep in each other", out.where);
    if (graph.sparse) return unsupported_onnx("sparse weights are not supported: store them densely", out.where);
    KILN_TRY(values_.unfold(sizeof(Body) + (graph.inputs.size() + graph.outputs.size()) * sizeof(ValueId), out.where,
                            {name}));
    Body inner;
    inner.name = name;
    Scope scope;
    scope.around = &place.scope;
    for (const onnx::Tensor& t : graph.tensors) KILN_TRY(define(scope, t.name, values_.tensor(t)));
    for (const onnx::Port& p : graph.inputs) {
      const Result<ValueId> id = values_.computed("");
      KILN_TRY(define(scope, p.name, id));
      inner.inputs.push_back(*id);
    }
    KILN_TRY(nodes(graph.nodes, {scope, place.bound, place.opset, place.prefix, place.depth + 1, inner.nodes}));
    for (const onnx::Port& p : graph.outputs) {
      const ValueId* at = scope.find(p.name);
      if (!at || *at == kNoValue) return bad_onnx("nothing makes the output " + quoted(p.name), out.where);
      inner.outputs.push_back(*at);
    }
    out.bodies.push_back(std::move(inner));
    return ok();
  }

  /// The attribute itself, or the one of the function around it that it refers to; null where that is not given.
  static const onnx::Attribute* resolved(const onnx::Attribute& a, const Bindings& bound) {
    if (a.reference.empty()) return &a;
    const auto found = bound.find(a.reference);
    return found == bound.end() ? nullptr : found->second;
  }

  /// The nodes of a function in the place of a call.
  Status call(const onnx::Function& f, const onnx::Node& n, const std::vector<ValueId>& inputs, const Place& place,
              const std::string& where) {
    if (place.depth >= kMaxDepth) return bad_onnx("functions call each other more than 64 deep", where);
    if (inputs.size() > f.inputs.size() || n.outputs.size() > f.outputs.size())
      return bad_onnx("a call has more operands or results than its function", where);
    KILN_TRY(values_.unfold((f.inputs.size() + f.defaults.size() + f.nodes.size()) * sizeof(onnx::Node), where));
    Scope inner;
    for (size_t i = 0; i < f.inputs.size(); ++i)
      KILN_TRY(define(inner, f.inputs[i], i < inputs.size() ? inputs[i] : kNoValue));
    Bindings given;
    for (const onnx::Attribute& a : f.defaults) given[a.name] = &a;
    for (const onnx::Attribute& a : n.attributes)
      if (const onnx::Attribute* value = resolved(a, place.bound)) given[a.name] = value;
    const auto opset = f.opsets.find("");
    KILN_TRY(nodes(f.nodes, {inner, given, opset == f.opsets.end() ? opset_ : opset->second, where + "/",
                             place.depth + 1, place.out}));
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i].empty()) continue;
      const ValueId* at = inner.find(f.outputs[i]);
      if (!at || *at == kNoValue) return bad_onnx("a function does not make its output " + quoted(f.outputs[i]), where);
      KILN_TRY(define(place.scope, n.outputs[i], *at));
    }
    return ok();
  }

  Status constant(const onnx::Node& n, const Place& place, const std::string& where) {
    if (n.outputs.size() != 1 || n.attributes.size() != 1)
      return bad_onnx("a Constant has one attribute and one output", where);
    const onnx::Attribute* a = resolved(n.attributes[0], place.bound);
    if (!a) return bad_onnx("a Constant without its value", where);
    if (a->type == onnx::kTensor && a->tensors.size() == 1)
      return define(place.scope, n.outputs[0], values_.tensor(a->tensors[0]));
    onnx::Tensor t;
    const auto list = [&](int32_t type, const auto& of) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(of.data());
      t.type = type;
      t.made.assign(bytes, bytes + of.size() * sizeof(of[0]));
      t.dims = {static_cast<int64_t>(of.size())};
    };
    if (a->type == onnx::kReal)
      list(onnx::kFloat, std::vector<float>{a->f}), t.dims.clear();
    else if (a->type == onnx::kInteger)
      list(onnx::kInt64, std::vector<int64_t>{a->i}), t.dims.clear();
    else if (a->type == onnx::kReals)
      list(onnx::kFloat, a->floats);
    else if (a->type == onnx::kIntegers)
      list(onnx::kInt64, a->ints);
    else
      return unsupported_onnx("onnx.Constant: only tensors and numbers are supported", where);
    return define(place.scope, n.outputs[0], values_.made_tensor(t));
  }

  Status attribute(std::string_view name, const onnx::Attribute& a, Node& out) {
    const size_t elements = a.floats.size() + a.ints.size() + a.strings.size();
    KILN_TRY(values_.unfold(sizeof(SourceAttr) + elements * sizeof(int64_t), out.where, {name, a.s}));
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
      case onnx::kTexts: {  // one a line
        std::string lines;
        for (const std::string_view text : a.strings) {
          KILN_TRY(values_.unfold(0, out.where, {text}));
          lines += (lines.empty() ? "" : "\n") + std::string(text);
        }
        attr.value = std::move(lines);
        break;
      }
      case onnx::kTensor: {  // a further operand: `name` says which
        if (a.tensors.size() != 1) return bad_onnx("an attribute without its tensor", out.where);
        KILN_ASSIGN(const ValueId id, values_.tensor(a.tensors[0]));
        attr.name += ".operand";
        attr.value = static_cast<int64_t>(out.inputs.size());
        out.inputs.push_back(id);
        break;
      }
      default:
        return unsupported_onnx(out.source + ": the attribute " + quoted(name) + " is of a kind that is not supported",
                                out.where);
    }
    out.source_attrs.push_back(std::move(attr));
    return ok();
  }

  /// An output under its name: a value of another name, one that functions hand through, is copied.
  Status outputs(const Scope& scope) {
    std::set<std::string_view> names;
    std::set<ValueId> named;
    for (const onnx::Port& p : model_.graph.outputs) {
      const ValueId* at = scope.find(p.name);
      if (!at) return bad_onnx("nothing makes the output " + quoted(p.name));
      if (!names.insert(p.name).second) return bad_onnx("two outputs are called " + quoted(p.name));
      ValueId id = *at;
      KILN_TRY(values_.unfold(sizeof(ValueId), "output", {p.name}));
      if (!named.insert(id).second || (g().value(id).typed && g().value(id).name != p.name)) {
        Node copy;
        copy.source = "onnx.Identity", copy.where = p.name;
        copy.inputs = {id};
        KILN_ASSIGN(id, values_.computed(p.name));
        copy.outputs = {id};
        g().nodes.push_back(std::move(copy));
      }
      if (!g().value(id).typed) {
        Value& v = g().value(id);
        v.name = p.name;
        if (p.type == onnx::kFloat16) v.dtype = DType::f16;  // what lies between is float32 (docs/decisions/0053)
        if (p.type == onnx::kBfloat16) v.dtype = DType::bf16;
      }
      g().outputs.push_back(id);
    }
    return g().outputs.empty() ? bad_onnx("no outputs") : ok();
  }

  OnnxValues values_;
  const onnx::Model& model_;
  std::map<Key, const onnx::Function*> functions_;
  int64_t opset_ = 0;
  size_t count_ = 0;  ///< of nodes
};

}  // namespace

Result<OnnxModel> read_onnx(std::string_view file) {
  if (static_cast<int64_t>(file.size()) > kMaxOnnxBytes) return bad_onnx("it has more than 2 GB");
  KILN_ASSIGN(const onnx::Model model, onnx::parse(file));
  return Reader(OnnxValues(file), model).run();
}

Result<OnnxModel> read_onnx_skeleton(std::string_view skeleton, int64_t file_bytes) {
  if (file_bytes > kMaxOnnxBytes) return bad_onnx("it has more than 2 GB");
  KILN_ASSIGN(const onnx::Model model, onnx::parse(skeleton));
  return Reader(OnnxValues(skeleton, file_bytes), model).run();
}

}  // namespace kiln
