#include "format/onnx_proto.h"

#include "format/protobuf.h"

namespace kiln::onnx {
namespace {

Error bad(const char* what) {
  return {ErrorCode::bad_file, std::string("this .onnx file is damaged: ") + what + " is no message of its kind", ""};
}

template <class T>
void put(std::vector<uint8_t>& to, T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

/// An element that a varint says, in the bytes of its type.
void put_whole(std::vector<uint8_t>& to, int32_t type, int64_t value) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return put(to, static_cast<uint8_t>(value));
    case kUint16:
    case kInt16:
    case kFloat16:
    case kBfloat16:
      return put(to, static_cast<uint16_t>(value));
    case kInt32:
    case kUint32:
      return put(to, static_cast<uint32_t>(value));
    default:
      return put(to, value);
  }
}

Result<std::pair<std::string, std::string>> entry(std::string_view message) {
  Message m(message);
  std::pair<std::string, std::string> out;
  while (m.next()) {
    if (m.field == 1) out.first = m.bytes;
    if (m.field == 2) out.second = m.bytes;
  }
  if (m.bad) return bad("an entry of external data");
  return out;
}

bool whole_number(const std::string& text, int64_t& out) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != text.npos) return false;
  out = 0;
  for (char c : text) out = out * 10 + (c - '0');
  return true;
}

Result<Tensor> parse_tensor(std::string_view message) {
  Tensor t;
  Message types(message);  // stands behind the elements in some files
  while (types.next())
    if (types.field == 2) t.type = static_cast<int32_t>(types.integer());
  Message m(message);
  bool fits = true;
  const auto packed = [&](size_t size) {  // floats and doubles lie as in memory
    if (m.wire == Message::Wire::bytes && t.made.empty() && t.raw.empty()) {
      t.raw = m.bytes;
    } else {
      if (!t.raw.empty()) t.made.assign(t.raw.begin(), t.raw.end()), t.raw = {};
      if (m.wire == Message::Wire::bytes)
        t.made.insert(t.made.end(), m.bytes.begin(), m.bytes.end());
      else
        t.made.insert(t.made.end(), reinterpret_cast<const uint8_t*>(&m.number),
                      reinterpret_cast<const uint8_t*>(&m.number) + size);
    }
  };
  while (m.next()) {
    switch (m.field) {
      case 1:
        fits = fits && each_varint(m, [&](int64_t d) { t.dims.push_back(d); });
        break;
      case 4:
        packed(4);
        break;
      case 5:
      case 7:
      case 11:
        fits = fits && each_varint(m, [&](int64_t v) { put_whole(t.made, t.type, v); });
        break;
      case 8:
        t.name = m.bytes;
        break;
      case 9:
        t.raw = m.bytes;
        break;
      case 10:
        packed(8);
        break;
      case 13: {
        KILN_ASSIGN(const auto pair, entry(m.bytes));
        if (pair.first == "location") t.location = pair.second;
        if (pair.first == "offset") fits = fits && whole_number(pair.second, t.offset);
        if (pair.first == "length") fits = fits && whole_number(pair.second, t.length);
        break;
      }
      case 14:
        t.external = m.integer() == 1;
        break;
      default:
        break;
    }
  }
  if (m.bad || !fits) return bad("a tensor");
  return t;
}

Result<Attribute> parse_attribute(std::string_view message) {
  Attribute a;
  Message m(message);
  bool fits = true;
  while (m.next()) {
    switch (m.field) {
      case 1:
        a.name = m.bytes;
        break;
      case 2:
        a.f = m.real();
        if (!a.type) a.type = kReal;
        break;
      case 3:
        a.i = m.integer();
        if (!a.type) a.type = kInteger;
        break;
      case 4:
        a.s = m.bytes;
        if (!a.type) a.type = kText;
        break;
      case 5:
      case 10: {
        KILN_ASSIGN(Tensor tensor, parse_tensor(m.bytes));
        a.tensors.push_back(std::move(tensor));
        if (!a.type) a.type = m.field == 5 ? kTensor : kTensors;
        break;
      }
      case 6:
      case 11:
        a.graphs.push_back(m.bytes);
        if (!a.type) a.type = m.field == 6 ? kGraph : kGraphs;
        break;
      case 7:
        if (m.wire == Message::Wire::bytes) {
          fits = fits && m.bytes.size() % 4 == 0;
          for (size_t i = 0; i + 4 <= m.bytes.size(); i += 4) {
            float f;
            std::memcpy(&f, m.bytes.data() + i, 4);
            a.floats.push_back(f);
          }
        } else {
          a.floats.push_back(m.real());
        }
        if (!a.type) a.type = kReals;
        break;
      case 8:
        fits = fits && each_varint(m, [&](int64_t v) { a.ints.push_back(v); });
        if (!a.type) a.type = kIntegers;
        break;
      case 9:
        a.strings.push_back(m.bytes);
        if (!a.type) a.type = kTexts;
        break;
      case 20:
        a.type = static_cast<int32_t>(m.integer());
        break;
      case 21:
        a.reference = m.bytes;
        break;
      default:
        break;
    }
  }
  if (m.bad || !fits) return bad("an attribute");
  return a;
}

Result<Node> parse_node(std::string_view message) {
  Node n;
  Message m(message);
  while (m.next()) {
    switch (m.field) {
      case 1:
        n.inputs.push_back(m.bytes);
        break;
      case 2:
        n.outputs.push_back(m.bytes);
        break;
      case 3:
        n.name = m.bytes;
        break;
      case 4:
        n.op = m.bytes;
        break;
      case 5: {
        KILN_ASSIGN(Attribute a, parse_attribute(m.bytes));
        n.attributes.push_back(std::move(a));
        break;
      }
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
  if (m.bad) return bad("a node");
  return n;
}

Result<std::vector<Dim>> parse_shape(std::string_view message) {
  std::vector<Dim> dims;
  Message m(message);
  while (m.next()) {
    if (m.field != 1) continue;
    Dim d;
    Message dim(m.bytes);
    while (dim.next()) {
      if (dim.field == 1) d.size = dim.integer();
      if (dim.field == 2) d.symbol = dim.bytes;
    }
    if (dim.bad) return bad("a dim");
    dims.push_back(d);
  }
  if (m.bad) return bad("a shape");
  return dims;
}

Result<Port> parse_port(std::string_view message) {
  Port p;
  Message m(message);
  while (m.next()) {
    if (m.field == 1) p.name = m.bytes;
    if (m.field != 2) continue;
    Message type(m.bytes);
    while (type.next()) {
      if (type.field != 1) continue;
      Message tensor(type.bytes);
      while (tensor.next()) {
        if (tensor.field == 1) p.type = static_cast<int32_t>(tensor.integer());
        if (tensor.field != 2) continue;
        KILN_ASSIGN(p.dims, parse_shape(tensor.bytes));
        p.ranked = true;
      }
      if (tensor.bad) return bad("a type");
    }
    if (type.bad) return bad("a type");
  }
  if (m.bad) return bad("an input or output");
  return p;
}

Status parse_opset(std::string_view message, Opsets& opsets) {
  Message m(message);
  std::string domain;
  int64_t version = 0;
  while (m.next()) {
    if (m.field == 1 && m.bytes != "ai.onnx") domain = m.bytes;
    if (m.field == 2) version = m.integer();
  }
  if (m.bad) return bad("an opset");
  opsets[domain] = version;
  return ok();
}

Result<Function> parse_function(std::string_view message) {
  Function f;
  Message m(message);
  while (m.next()) {
    switch (m.field) {
      case 1:
        f.name = m.bytes;
        break;
      case 4:
        f.inputs.push_back(m.bytes);
        break;
      case 5:
        f.outputs.push_back(m.bytes);
        break;
      case 7: {
        KILN_ASSIGN(Node n, parse_node(m.bytes));
        f.nodes.push_back(std::move(n));
        break;
      }
      case 9:
        KILN_TRY(parse_opset(m.bytes, f.opsets));
        break;
      case 10:
        f.domain = m.bytes;
        break;
      case 11: {
        KILN_ASSIGN(Attribute a, parse_attribute(m.bytes));
        f.defaults.push_back(std::move(a));
        break;
      }
      case 13:
        f.overload = m.bytes;
        break;
      default:
        break;
    }
  }
  if (m.bad) return bad("a function");
  return f;
}

}  // namespace

const char* name_of(int32_t type) {
  constexpr const char* kNames[] = {"undefined", "float32", "uint8",   "int8",    "uint16",  "int16",
                                    "int32",     "int64",   "string",  "bool",    "float16", "float64",
                                    "uint32",    "uint64",  "complex", "complex", "bfloat16"};
  return type >= 0 && type <= kBfloat16 ? kNames[type] : "a number of 8 bits or fewer";
}

Result<Graph> parse_graph(std::string_view message) {
  Graph g;
  Message m(message);
  while (m.next()) {
    switch (m.field) {
      case 1: {
        KILN_ASSIGN(Node n, parse_node(m.bytes));
        g.nodes.push_back(std::move(n));
        break;
      }
      case 2:
        g.name = m.bytes;
        break;
      case 5: {
        KILN_ASSIGN(Tensor t, parse_tensor(m.bytes));
        g.tensors.push_back(std::move(t));
        break;
      }
      case 11:
      case 12: {
        KILN_ASSIGN(Port p, parse_port(m.bytes));
        (m.field == 11 ? g.inputs : g.outputs).push_back(std::move(p));
        break;
      }
      case 15:
        g.sparse = true;
        break;
      default:
        break;
    }
  }
  if (m.bad) return bad("the graph");
  return g;
}

Result<Model> parse(std::string_view file) {
  Model model;
  Message m(file);
  std::string_view graph;
  while (m.next()) {
    switch (m.field) {
      case 1:
        model.ir_version = m.integer();
        break;
      case 2:
        model.producer = m.bytes;
        break;
      case 7:
        graph = m.bytes;
        break;
      case 8:
        KILN_TRY(parse_opset(m.bytes, model.opsets));
        break;
      case 25: {
        KILN_ASSIGN(Function f, parse_function(m.bytes));
        model.functions.push_back(std::move(f));
        break;
      }
      default:
        break;
    }
  }
  if (m.bad || graph.empty()) return bad("the model");
  KILN_ASSIGN(model.graph, parse_graph(graph));
  return model;
}

}  // namespace kiln::onnx
