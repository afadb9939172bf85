// ONNX: tensors that sizes and numbers make.
#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// One number everywhere: of type and value of an attribute that is an operand here.
Status constant_of_shape(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const std::vector<int64_t> to, l.whole_elements(node, 0, "the shape"));
  ValueId value = l.b.scalar(0, DType::f32);
  if (l.has(node, "value.operand")) {
    KILN_ASSIGN(const ValueId given, l.need(node, static_cast<size_t>(l.integer(node, "value.operand", 1))));
    KILN_ASSIGN(value, l.b.reshape(given, {}));
  }
  KILN_ASSIGN(const ValueId y, l.b.expand(value, sizes(to)));
  return l.set(node, y);
}

Status range(Legalizer& l, const Node& node) {
  std::vector<Number> bounds;
  for (size_t i = 0; i < 3; ++i) {
    KILN_ASSIGN(const std::vector<Number> n, l.elements(node, i, "a bound of the range"));
    if (n.size() != 1) return misfit(node.source + ": a bound is one number");
    bounds.push_back(n[0]);
  }
  const DType dtype = l.b.value(l.in(node, 0)).dtype;
  std::vector<SourceAttr> attrs{{"dtype", std::string(name_of(dtype))}};
  constexpr const char* kNames[] = {"start", "end", "step"};
  for (size_t i = 0; i < 3; ++i) {
    attrs.push_back({kNames[i], {}});
    if (dtype == DType::f32)
      attrs.back().value = bounds[i].real;
    else
      attrs.back().value = bounds[i].whole;
  }
  KILN_ASSIGN(const ValueId y, l.call("aten.arange.start_step", {}, std::move(attrs)));
  return l.set(node, y);
}

Status trilu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  int64_t k = 0;
  if (l.in(node, 1) != kNoValue) {
    KILN_ASSIGN(const std::vector<int64_t> given, l.whole_elements(node, 1, "k"));
    if (!given.empty()) k = given[0];
  }
  KILN_ASSIGN(const ValueId y,
              l.call(l.flag(node, "upper", true) ? "aten.triu.default" : "aten.tril.default", {x}, {{"diagonal", k}}));
  return l.set(node, y);
}

Status eye_like(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape s = l.b.shape(x);
  if (s.size() != 2) return misfit(node.source + ": 2 dims are expected");
  DType dtype = l.b.value(x).dtype;
  if (l.has(node, "dtype")) {
    KILN_ASSIGN(dtype, onnx_type(l, node, l.integer(node, "dtype", 1)));
  }
  Fx f;
  const Term t =
      f.bin(PointOp::eq, f.in(1, Lane::i64), f.in(0, Lane::i64) + f.whole(l.integer(node, "k", 0), Lane::i64));
  KILN_ASSIGN(const ValueId rows, ramp(l, s[0].value, {s[0], Dim(1)}));
  KILN_ASSIGN(const ValueId columns, ramp(l, s[1].value, {s[1]}));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(f.to(t, lane_of(dtype))), {rows, columns}, dtype));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_create_ops() {
  return {
      {"onnx.ConstantOfShape", constant_of_shape},
      {"onnx.EyeLike", eye_like},
      {"onnx.Range", range},
      {"onnx.Trilu", trilu},
  };
}

}  // namespace kiln
