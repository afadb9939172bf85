#include "format/onnx_proto.h"

#include <algorithm>

#include "format/kiln_file.h"
#include "format/protobuf.h"
#include "support/budget.h"

namespace kiln::onnx {
namespace {

/// An element that a varint says, in the bytes of its type.
void put_whole(std::vector<uint8_t>& to, int32_t type, int64_t value) {
  size_t size = 8;
  if (type == kUint8 || type == kInt8 || type == kBool) size = 1;
  if (type == kUint16 || type == kInt16 || type == kFloat16 || type == kBfloat16) size = 2;
  if (type == kInt32 || type == kUint32) size = 4;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  to.insert(to.end(), bytes, bytes + size);
}

bool whole_number(std::string_view text, int64_t& out) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != text.npos) return false;
  out = 0;
  for (char c : text) out = out * 10 + (c - '0');
  return true;
}

/// Messages as structures. An empty message of two bytes is a structure of two hundred, so all of them together are
/// limited in proportion to the file.
class Parser {
 public:
  explicit Parser(size_t bytes) : left_(unfolded_limit(std::min(static_cast<int64_t>(bytes), kMaxHeadBytes))) {}
  Result<Model> model(std::string_view file);

 private:
  Result<Graph> graph(std::string_view message);
  Result<Function> function(std::string_view message);
  Result<Node> node(std::string_view message);
  Result<Attribute> attribute(std::string_view message);
  Result<Tensor> tensor(std::string_view message);
  Result<Port> port(std::string_view message);
  Result<std::vector<Dim>> shape(std::string_view message);
  Status opset(std::string_view message, Opsets& opsets);
  Status external(std::string_view message, Tensor& t);

  bool more(Message& m) const { return left_ >= 0 && fits_ && m.next(); }
  /// After the last field of a message.
  Status end(const Message& m, const char* what) const {
    if (m.bad || !fits_)
      return Error{ErrorCode::bad_file,
                   std::string("this .onnx file is damaged: ") + what + " is no message of its kind", ""};
    if (left_ < 0) return Error{ErrorCode::bad_file, "this .onnx file unfolds to far more than it holds", what};
    return ok();
  }
  template <class T>
  void keep(std::vector<T>& to, T value) {
    left_ -= static_cast<int64_t>(sizeof(T));
    if (left_ >= 0) to.push_back(std::move(value));
  }
  template <class T>
  Status keep(std::vector<T>& to, Result<T> made) {
    if (!made.ok()) return made.error();
    keep(to, std::move(*made));
    return ok();
  }
  void integers(const Message& m, std::vector<int64_t>& to) {
    fits_ = fits_ && each_varint(m, [&](int64_t v) { keep(to, v); });
  }
  void reals(const Message& m, size_t size, Tensor& t);

  int64_t left_;
  int depth_ = 0;
  bool fits_ = true;
};

Status Parser::external(std::string_view message, Tensor& t) {
  Message m(message);
  std::string_view key, value;
  while (more(m)) {
    if (m.field == 1) key = m.bytes;
    if (m.field == 2) value = m.bytes;
  }
  left_ -= static_cast<int64_t>(value.size());
  if (key == "location") t.location = value;
  if (key == "offset") fits_ = fits_ && whole_number(value, t.offset);
  if (key == "length") fits_ = fits_ && whole_number(value, t.length);
  return end(m, "an entry of external data");
}

/// Floats and doubles, which lie in the file as in memory: in one piece, or else put together.
void Parser::reals(const Message& m, size_t size, Tensor& t) {
  if (m.wire == Message::Wire::bytes && t.made.empty() && t.raw.empty()) {
    t.raw = m.bytes;
    return;
  }
  if (!t.raw.empty()) t.made.assign(t.raw.begin(), t.raw.end()), left_ -= static_cast<int64_t>(t.raw.size());
  t.raw = {};
  const auto* from = reinterpret_cast<const uint8_t*>(m.bytes.data());
  if (m.wire != Message::Wire::bytes) from = reinterpret_cast<const uint8_t*>(&m.number);
  const size_t count = m.wire == Message::Wire::bytes ? m.bytes.size() : size;
  left_ -= static_cast<int64_t>(count);
  if (left_ >= 0) t.made.insert(t.made.end(), from, from + count);
}

Result<Tensor> Parser::tensor(std::string_view message) {
  Tensor t;
  Message types(message);  // the type stands behind the elements in some files
  while (types.next())
    if (types.field == 2) t.type = static_cast<int32_t>(types.integer());
  Message m(message);
  while (more(m)) {
    switch (m.field) {
      case 1:
        integers(m, t.dims);
        break;
      case 4:
        reals(m, 4, t);
        break;
      case 5:
      case 7:
      case 11:
        fits_ = fits_ && each_varint(m, [&](int64_t v) {
                  left_ -= 8;
                  if (left_ >= 0) put_whole(t.made, t.type, v);
                });
        break;
      case 8:
        t.name = m.bytes;
        break;
      case 9:
        t.raw = m.bytes;
        break;
      case 10:
        reals(m, 8, t);
        break;
      case 13:
        KILN_TRY(external(m.bytes, t));
        break;
      case 14:
        t.external = m.integer() == 1;
        break;
      default:
        break;
    }
  }
  KILN_TRY(end(m, "a tensor"));
  return t;
}

Result<Attribute> Parser::attribute(std::string_view message) {
  Attribute a;
  int32_t stated = 0;
  Message m(message);
  while (more(m)) {
    const int32_t before = a.type;
    switch (m.field) {
      case 1:
        a.name = m.bytes;
        break;
      case 2:
        a.f = m.real(), a.type = kReal;
        break;
      case 3:
        a.i = m.integer(), a.type = kInteger;
        break;
      case 4:
        a.s = m.bytes, a.type = kText;
        break;
      case 5:
      case 10:
        KILN_TRY(keep(a.tensors, tensor(m.bytes)));
        a.type = m.field == 5 ? kTensor : kTensors;
        break;
      case 6:
      case 11:
        KILN_TRY(keep(a.graphs, graph(m.bytes)));
        a.type = m.field == 6 ? kGraph : kGraphs;
        break;
      case 7:
        a.type = kReals;
        if (m.wire == Message::Wire::fixed32) keep(a.floats, m.real());
        fits_ = fits_ && m.bytes.size() % 4 == 0;
        for (size_t i = 0; i + 4 <= m.bytes.size(); i += 4) {
          float f;
          std::memcpy(&f, m.bytes.data() + i, 4);
          keep(a.floats, f);
        }
        break;
      case 8:
        integers(m, a.ints), a.type = kIntegers;
        break;
      case 9:
        keep(a.strings, m.bytes), a.type = kTexts;
        break;
      case 20:
        stated = static_cast<int32_t>(m.integer());
        break;
      case 21:
        a.reference = m.bytes;
        break;
      default:
        break;
    }
    if (before) a.type = before;
  }
  if (stated) a.type = stated;  // of an empty list it is all there is
  KILN_TRY(end(m, "an attribute"));
  return a;
}

Result<Node> Parser::node(std::string_view message) {
  Node n;
  Message m(message);
  while (more(m)) {
    switch (m.field) {
      case 1:
        keep(n.inputs, m.bytes);
        break;
      case 2:
        keep(n.outputs, m.bytes);
        break;
      case 3:
        n.name = m.bytes;
        break;
      case 4:
        n.op = m.bytes;
        break;
      case 5:
        KILN_TRY(keep(n.attributes, attribute(m.bytes)));
        break;
      case 7:
        n.domain = m.bytes == "ai.onnx" ? std::string_view() : m.bytes;
        break;
      case 8:
        n.overload = m.bytes;
        break;
      default:
        break;
    }
  }
  KILN_TRY(end(m, "a node"));
  return n;
}

Result<std::vector<Dim>> Parser::shape(std::string_view message) {
  std::vector<Dim> dims;
  Message m(message);
  while (more(m)) {
    if (m.field != 1) continue;
    Dim d;
    Message dim(m.bytes);
    while (more(dim)) {
      if (dim.field == 1) d.size = dim.integer();
      if (dim.field == 2) d.symbol = dim.bytes;
    }
    KILN_TRY(end(dim, "a dim"));
    keep(dims, d);
  }
  KILN_TRY(end(m, "a shape"));
  return dims;
}

Result<Port> Parser::port(std::string_view message) {
  Port p;
  Message m(message);
  while (more(m)) {
    if (m.field == 1) p.name = m.bytes;
    if (m.field != 2) continue;
    Message type(m.bytes);
    while (more(type)) {
      if (type.field != 1) continue;
      Message of(type.bytes);
      while (more(of)) {
        if (of.field == 1) p.type = static_cast<int32_t>(of.integer());
        if (of.field != 2) continue;
        KILN_ASSIGN(p.dims, shape(of.bytes));
        p.ranked = true;
      }
      KILN_TRY(end(of, "a type"));
    }
    KILN_TRY(end(type, "a type"));
  }
  KILN_TRY(end(m, "an input or output"));
  return p;
}

Status Parser::opset(std::string_view message, Opsets& opsets) {
  Message m(message);
  std::string_view domain;
  int64_t version = 0;
  while (more(m)) {
    if (m.field == 1 && m.bytes != "ai.onnx") domain = m.bytes;
    if (m.field == 2) version = m.integer();
  }
  left_ -= static_cast<int64_t>(domain.size() + 64);
  KILN_TRY(end(m, "an opset"));
  opsets[std::string(domain)] = version;
  return ok();
}

Result<Function> Parser::function(std::string_view message) {
  Function f;
  Message m(message);
  while (more(m)) {
    switch (m.field) {
      case 1:
        f.name = m.bytes;
        break;
      case 4:
        keep(f.inputs, m.bytes);
        break;
      case 5:
        keep(f.outputs, m.bytes);
        break;
      case 7:
        KILN_TRY(keep(f.nodes, node(m.bytes)));
        break;
      case 9:
        KILN_TRY(opset(m.bytes, f.opsets));
        break;
      case 10:
        f.domain = m.bytes == "ai.onnx" ? std::string_view() : m.bytes;
        break;
      case 11:
        KILN_TRY(keep(f.defaults, attribute(m.bytes)));
        break;
      case 13:
        f.overload = m.bytes;
        break;
      default:
        break;
    }
  }
  KILN_TRY(end(m, "a function"));
  return f;
}

Result<Graph> Parser::graph(std::string_view message) {
  if (depth_ == kMostGraphDepth)
    return Error{ErrorCode::bad_file, "this .onnx file has graphs in graphs more than 32 deep", ""};
  ++depth_;
  Graph g;
  Message m(message);
  while (more(m)) {
    switch (m.field) {
      case 1:
        KILN_TRY(keep(g.nodes, node(m.bytes)));
        break;
      case 2:
        g.name = m.bytes;
        break;
      case 5:
        KILN_TRY(keep(g.tensors, tensor(m.bytes)));
        break;
      case 11:
      case 12:
        KILN_TRY(keep(m.field == 11 ? g.inputs : g.outputs, port(m.bytes)));
        break;
      case 15:
        g.sparse = true;
        break;
      default:
        break;
    }
  }
  KILN_TRY(end(m, "a graph"));
  --depth_;
  return g;
}

Result<Model> Parser::model(std::string_view file) {
  Model out;
  Message m(file);
  std::string_view body;
  while (more(m)) {
    if (m.field == 1) out.ir_version = m.integer();
    if (m.field == 7) body = m.bytes;
    if (m.field == 8) KILN_TRY(opset(m.bytes, out.opsets));
    if (m.field == 25) KILN_TRY(keep(out.functions, function(m.bytes)));
  }
  fits_ = fits_ && !body.empty();
  KILN_TRY(end(m, "the model"));
  KILN_ASSIGN(out.graph, graph(body));
  return out;
}

}  // namespace

const char* name_of(int32_t type) {
  constexpr const char* kNames[] = {"undefined", "float32", "uint8",    "int8",    "uint16",  "int16",  "int32",
                                    "int64",     "string",  "bool",     "float16", "float64", "uint32", "uint64",
                                    "complex",   "complex", "bfloat16", "float8",  "float8",  "float8", "float8",
                                    "uint4",     "int4",    "float4",   "float8",  "uint2",   "int2"};
  constexpr int32_t kCount = sizeof kNames / sizeof kNames[0];
  return type >= 0 && type < kCount ? kNames[type] : "of no known type";
}

Result<Model> parse(std::string_view file) { return Parser(file.size()).model(file); }

}  // namespace kiln::onnx
