// The messages of onnx.proto that a graph is made of, as views of the file's bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/result.h"

namespace kiln::onnx {

/// TensorProto.DataType.
enum Type : int32_t {
  kFloat = 1,
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kInt32,
  kInt64,
  kString,
  kBool,
  kFloat16,
  kDouble,
  kUint32,
  kUint64,
  kComplex64,
  kComplex128,
  kBfloat16
};
const char* name_of(int32_t type);

struct Tensor {
  std::string_view name;
  int32_t type = 0;
  std::vector<int64_t> dims;
  std::string_view raw;       ///< the elements, little-endian, where they lie so in the file
  std::vector<uint8_t> made;  ///< else: what varints or single fields said
  bool external = false;
  std::string location;  ///< of external data: a file beside the model
  int64_t offset = 0, length = -1;
  std::string_view bytes() const {
    return made.empty() ? raw : std::string_view(reinterpret_cast<const char*>(made.data()), made.size());
  }
};

struct Graph;

struct Attribute {
  std::string_view name, reference;  ///< reference: the attribute of the function around it that is meant
  int32_t type = 0;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<Tensor> tensors;
  std::vector<Graph> graphs;
};
enum AttributeType : int32_t {
  kNone,
  kReal,
  kInteger,
  kText,
  kTensor,
  kGraph,
  kReals,
  kIntegers,
  kTexts,
  kTensors,
  kGraphs
};

struct Node {
  std::string_view name, op, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<Attribute> attributes;
};

struct Dim {
  std::string_view symbol;
  int64_t size = -1;  ///< -1: not said
};
struct Port {
  std::string_view name;
  int32_t type = 0;  ///< 0: no tensor
  bool ranked = false;
  std::vector<Dim> dims;
};

constexpr int kMostGraphDepth = 32;  ///< of graphs in nodes of graphs

struct Graph {
  std::string_view name;
  std::vector<Node> nodes;
  std::vector<Tensor> tensors;
  std::vector<Port> inputs, outputs;
  bool sparse = false;
};

using Opsets = std::map<std::string, int64_t, std::less<>>;  ///< domain → version

struct Function {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<Attribute> defaults;
  std::vector<Node> nodes;
  Opsets opsets;
};

struct Model {
  int64_t ir_version = 0;
  Opsets opsets;
  Graph graph;
  std::vector<Function> functions;
};

/// Error: damaged, or structures that take far more memory than the file.
Result<Model> parse(std::string_view file);

}  // namespace kiln::onnx
