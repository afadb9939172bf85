// ONNX: tensors that sizes and numbers make.
#include <algorithm>
#include <cmath>

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

/// a − b cos(2πi/n) + c cos(4πi/n), of n or n − 1.
Status cosines(Legalizer& l, const Node& node, double a, double b, double c) {
  KILN_ASSIGN(const std::vector<int64_t> sizes, l.whole_elements(node, 0, "the size"));
  if (sizes.size() != 1) return misfit(node.source + ": the size is one number");
  const int64_t size = sizes[0];
  if (size < 1 || size > kMaxWritten) return l.unsupported(node, "sizes of 1 to 65536 are supported");
  KILN_ASSIGN(const DType dtype, onnx_type(l, node, l.integer(node, "output_datatype", 1)));
  const auto period = static_cast<double>(l.flag(node, "periodic", true) ? size : std::max<int64_t>(size - 1, 1));
  std::vector<double> values;
  for (int64_t i = 0; i < size; ++i) {
    const double angle = 2 * M_PI * static_cast<double>(i) / period;
    values.push_back(a - b * std::cos(angle) + c * std::cos(2 * angle));
  }
  return l.set(node, l.b.constant(dtype, {Dim(size)}, write_constant(values, dtype)));
}
Status hann(Legalizer& l, const Node& node) { return cosines(l, node, 0.5, 0.5, 0); }
Status hamming(Legalizer& l, const Node& node) { return cosines(l, node, 25.0 / 46, 21.0 / 46, 0); }
Status blackman(Legalizer& l, const Node& node) { return cosines(l, node, 0.42, 0.5, 0.08); }

}  // namespace

std::vector<OpRow> onnx_create_ops() {
  return {
      {"onnx.BlackmanWindow", blackman},
      {"onnx.ConstantOfShape", constant_of_shape},
      {"onnx.EyeLike", eye_like},
      {"onnx.HammingWindow", hamming},
      {"onnx.HannWindow", hann},
      {"onnx.Range", range},
      {"onnx.Trilu", trilu},
  };
}

}  // namespace kiln
