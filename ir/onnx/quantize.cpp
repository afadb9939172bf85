// ONNX: numbers as scaled bytes, and back. What comes between is computed in float32.
#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// A scale or zero point beside x: one number, or one for each index of the axis.
Result<ValueId> beside(Legalizer& l, const Node& node, ValueId v, ValueId x) {
  const Shape& s = l.b.shape(v);
  if (element_count(s) == 1) return l.b.reshape(v, {});
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 1), l.b.rank(x)));
  Shape along(l.b.shape(x).size(), Dim(1));
  if (s.size() != 1 || l.b.rank(x) == 0 || s[0] != l.b.shape(x)[static_cast<size_t>(axis)])
    return l.unsupported(node, "scales of blocks are not supported");
  along[static_cast<size_t>(axis)] = s[0];
  return l.b.reshape(v, along);
}

/// x, the scale and the zero point, 0 where it is absent, of the type `fallback`.
struct Scaled {
  ValueId x, scale, zero;
};
Result<Scaled> scaled_operands(Legalizer& l, const Node& node, DType fallback) {
  Scaled s{};
  KILN_ASSIGN(s.x, l.need(node, 0));
  KILN_ASSIGN(const ValueId scale, l.need(node, 1));
  const ValueId zero = l.in(node, 2) != kNoValue ? l.in(node, 2) : l.b.scalar(0, fallback);
  if (l.integer(node, "block_size", 0) != 0) return l.unsupported(node, "scales of blocks are not supported");
  pass_over(l, node, {"axis", "saturate"});  // of one scale; of float8
  KILN_ASSIGN(s.scale, beside(l, node, scale, s.x));
  KILN_ASSIGN(s.zero, beside(l, node, zero, s.x));
  if (l.b.value(s.scale).dtype != DType::f32) return l.unsupported(node, "scales are float32 here");
  return s;
}

Status dequantize(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId given, l.need(node, 0));
  KILN_ASSIGN(const Scaled s, scaled_operands(l, node, l.b.value(given).dtype));
  if (const int64_t type = l.integer(node, "output_dtype", 0); type != 0) {
    KILN_ASSIGN(const DType to, onnx_type(l, node, type));
    if (lane_of(to) != Lane::f32) return l.unsupported(node, "results are reals here");
  }
  Fx f;
  const Term x = f.to(f.in(0, lane_of(l.b.value(s.x).dtype)), Lane::f32),
             zero = f.to(f.in(2, lane_of(l.b.value(s.zero).dtype)), Lane::f32);
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish((x - zero) * f.in(1)), {s.x, s.scale, s.zero}, DType::f32));
  return l.set(node, y);
}

/// A whole float as an integer of 8 or 16 bits, cut at the ends.
Term as_integer(Fx& f, Term x, DType dtype) {
  const double most = (1 << (8 * size_of(dtype))) - 1, low = is_signed(dtype) ? -(most + 1) / 2 : 0;
  return f.to(f.bin(PointOp::min, f.bin(PointOp::max, x, f.c(low)), f.c(low + most)), Lane::i32);
}

Status quantize(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId given, l.need(node, 0));
  DType dtype = DType::u8;
  if (const int64_t type = l.integer(node, "output_dtype", 0); type != 0) {
    KILN_ASSIGN(dtype, onnx_type(l, node, type));
  }
  if (l.in(node, 2) != kNoValue) dtype = l.b.value(l.in(node, 2)).dtype;
  if (lane_of(dtype) != Lane::i32 || size_of(dtype) > 2)
    return l.unsupported(node, std::string(name_of(dtype)) + " is not supported here");
  if (l.integer(node, "precision", 0) > 1) return l.unsupported(node, "the precision is float32 here");
  if (l.b.value(given).dtype != DType::f32)
    return l.unsupported(node, std::string(name_of(l.b.value(given).dtype)) + " is not supported here");
  KILN_ASSIGN(const Scaled s, scaled_operands(l, node, dtype));
  Fx f;
  const Term t = f.un(PointOp::round, f.in(0) / f.in(1)) + f.to(f.in(2, lane_of(dtype)), Lane::f32);
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(as_integer(f, t, dtype)), {s.x, s.scale, s.zero}, dtype));
  return l.set(node, y);
}

/// With the scale that the numbers themselves ask for, zero among them.
Status dynamic_quantize(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (is_empty(l.b.shape(x))) return l.unsupported(node, "nothing has no scale");
  const std::vector<int64_t> axes = all_axes(l.b.rank(x));
  ValueId low = x, high = x;
  if (!axes.empty()) {
    KILN_ASSIGN(low, l.b.reduce(x, {ReduceKind::min, axes, false}));
    KILN_ASSIGN(high, l.b.reduce(x, {ReduceKind::max, axes, false}));
  }
  Fx width, zero, byte;
  const Term span = width.bin(PointOp::max, width.in(1), width.c(0)) - width.bin(PointOp::min, width.in(0), width.c(0));
  KILN_ASSIGN(const ValueId scale, l.b.map(width.finish(span / width.c(255)), {low, high}, DType::f32));
  const Term from = zero.c(0) - zero.bin(PointOp::min, zero.in(0), zero.c(0)) / zero.in(1);
  KILN_ASSIGN(const ValueId at, l.b.map(zero.finish(as_integer(zero, zero.un(PointOp::round, from), DType::u8)),
                                        {low, scale}, DType::u8));
  const Term t = byte.un(PointOp::round, byte.in(0) / byte.in(1)) + byte.to(byte.in(2, Lane::i32), Lane::f32);
  KILN_ASSIGN(const ValueId y, l.b.map(byte.finish(as_integer(byte, t, DType::u8)), {x, scale, at}, DType::u8));
  KILN_TRY(l.set(node, y));
  KILN_TRY(l.set(node, scale, 1));
  return l.set(node, at, 2);
}

}  // namespace

std::vector<OpRow> onnx_quantize_ops() {
  return {
      {"onnx.DequantizeLinear", dequantize},
      {"onnx.DynamicQuantizeLinear", dynamic_quantize},
      {"onnx.QuantizeLinear", quantize},
  };
}

}  // namespace kiln
