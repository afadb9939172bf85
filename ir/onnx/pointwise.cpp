// ONNX: functions of elements.
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// Operators that another row computes, `from` the attribute that is there called `to`.
struct Renamed {
  const char* name;
  const char* source;
  const char *from = nullptr, *to = nullptr;
  double fallback = 0;
};
const Renamed kRenamed[] = {
    {"onnx.Abs", "aten.abs.default"},
    {"onnx.Acos", "aten.acos.default"},
    {"onnx.Asin", "aten.asin.default"},
    {"onnx.Atan", "aten.atan.default"},
    {"onnx.Add", "aten.add.Tensor"},
    {"onnx.And", "aten.logical_and.default"},
    {"onnx.BitwiseAnd", "aten.bitwise_and.Tensor"},
    {"onnx.BitwiseNot", "aten.bitwise_not.default"},
    {"onnx.BitwiseOr", "aten.bitwise_or.Tensor"},
    {"onnx.BitwiseXor", "aten.bitwise_xor.Tensor"},
    {"onnx.Ceil", "aten.ceil.default"},
    {"onnx.Celu", "aten.celu.default", "alpha", "alpha", 1},
    {"onnx.Cos", "aten.cos.default"},
    {"onnx.Cosh", "aten.cosh.default"},
    {"onnx.Elu", "aten.elu.default", "alpha", "alpha", 1},
    {"onnx.Equal", "aten.eq.Tensor"},
    {"onnx.Erf", "aten.erf.default"},
    {"onnx.Exp", "aten.exp.default"},
    {"onnx.Floor", "aten.floor.default"},
    {"onnx.Greater", "aten.gt.Tensor"},
    {"onnx.GreaterOrEqual", "aten.ge.Tensor"},
    {"onnx.HardSwish", "aten.hardswish.default"},
    {"onnx.Identity", "aten.alias.default"},
    {"onnx.IsNaN", "aten.isnan.default"},
    {"onnx.LeakyRelu", "aten.leaky_relu.default", "alpha", "negative_slope", 0.01},
    {"onnx.Less", "aten.lt.Tensor"},
    {"onnx.LessOrEqual", "aten.le.Tensor"},
    {"onnx.Log", "aten.log.default"},
    {"onnx.Mish", "aten.mish.default"},
    {"onnx.Mul", "aten.mul.Tensor"},
    {"onnx.Neg", "aten.neg.default"},
    {"onnx.Not", "aten.logical_not.default"},
    {"onnx.Or", "aten.logical_or.default"},
    {"onnx.Reciprocal", "aten.reciprocal.default"},
    {"onnx.Relu", "aten.relu.default"},
    {"onnx.Round", "aten.round.default"},
    {"onnx.Sigmoid", "aten.sigmoid.default"},
    {"onnx.Sign", "aten.sign.default"},
    {"onnx.Sin", "aten.sin.default"},
    {"onnx.Sinh", "aten.sinh.default"},
    {"onnx.Softplus", "aten.softplus.default"},
    {"onnx.Softsign", "aten.softsign.default"},
    {"onnx.Sqrt", "aten.sqrt.default"},
    {"onnx.Sub", "aten.sub.Tensor"},
    {"onnx.Tan", "aten.tan.default"},
    {"onnx.Tanh", "aten.tanh.default"},
    {"onnx.Where", "aten.where.self"},
    {"onnx.Xor", "aten.logical_xor.default"},
};

Status renamed(Legalizer& l, const Node& node) {
  for (const Renamed& row : kRenamed) {
    if (node.source != row.name) continue;
    std::vector<SourceAttr> attrs;
    if (row.from) attrs.push_back({row.to, l.number(node, row.from, row.fallback)});
    return as(l, node, row.source, std::move(attrs));
  }
  return l.unsupported(node, "the operator is not supported");
}

/// A formula of one float32 operand.
template <Term (*kMake)(Fx& f, Term x, Legalizer& l, const Node& node)>
Status formula(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.value(x).dtype != DType::f32)
    return l.unsupported(node, std::string(name_of(l.b.value(x).dtype)) + " is not supported here");
  Fx f;
  const Term t = kMake(f, f.in(0), l, node);
  const DType dtype = f.lane(t) == Lane::mask ? DType::boolean : DType::f32;
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x}, dtype));
  return l.set(node, y);
}

Term selu(Fx& f, Term x, Legalizer& l, const Node& node) {
  const double alpha = l.number(node, "alpha", 1.6732631921768188), gamma = l.number(node, "gamma", 1.0507010221481323);
  return f.where(f.bin(PointOp::gt, x, f.c(0)), x * gamma, f.un(PointOp::expm1, x) * (alpha * gamma));
}
Term hard_sigmoid(Fx& f, Term x, Legalizer& l, const Node& node) {
  const Term line = x * l.number(node, "alpha", 0.2) + l.number(node, "beta", 0.5);
  return f.bin(PointOp::min, f.bin(PointOp::max, line, f.c(0)), f.c(1));
}
Term thresholded_relu(Fx& f, Term x, Legalizer& l, const Node& node) {
  return f.where(f.bin(PointOp::gt, x, f.c(l.number(node, "alpha", 1))), x, f.c(0));
}
Term shrink(Fx& f, Term x, Legalizer& l, const Node& node) {
  const double limit = l.number(node, "lambd", 0.5), bias = l.number(node, "bias", 0);
  return f.where(f.bin(PointOp::lt, x, f.c(-limit)), x + bias,
                 f.where(f.bin(PointOp::gt, x, f.c(limit)), x - bias, f.c(0)));
}
Term swish(Fx& f, Term x, Legalizer& l, const Node& node) {
  const double alpha = l.number(node, "alpha", 1);
  return x * f.un(PointOp::sigmoid, alpha == 1 ? x : x * alpha);
}
Term asinh(Fx& f, Term x, Legalizer&, const Node&) {  // of |x|, by log1p, so that small ones keep their digits
  const Term a = f.un(PointOp::abs, x), b = f.un(PointOp::sqrt, a * a + 1);
  const Term large = f.un(PointOp::log, a) + M_LN2;
  const Term y = f.where(f.bin(PointOp::gt, a, f.c(1e9)), large, f.un(PointOp::log1p, a + a * a / (b + 1)));
  return f.where(f.bin(PointOp::lt, x, f.c(0)), f.un(PointOp::neg, y), y);
}
Term acosh(Fx& f, Term x, Legalizer&, const Node&) {
  const Term t = x - 1, y = f.un(PointOp::log1p, t + f.un(PointOp::sqrt, t * (x + 1)));
  return f.where(f.bin(PointOp::gt, x, f.c(1e9)), f.un(PointOp::log, x) + M_LN2, y);
}
Term atanh(Fx& f, Term x, Legalizer&, const Node&) { return f.un(PointOp::log1p, (x + x) / (f.c(1) - x)) * 0.5; }
Term is_inf(Fx& f, Term x, Legalizer& l, const Node& node) {
  const bool negative = l.flag(node, "detect_negative", true), positive = l.flag(node, "detect_positive", true);
  const Term of = negative && positive ? f.un(PointOp::abs, x) : x;
  return f.bin(PointOp::eq, of, f.c(negative && !positive ? -INFINITY : negative || positive ? INFINITY : NAN));
}

/// Swish of one operand times the other.
Status swiglu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId gate, l.need(node, 0));
  KILN_ASSIGN(const ValueId x, l.need(node, 1));
  Fx f;
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(swish(f, f.in(0), l, node) * f.in(1)), {gate, x}, DType::f32));
  return l.set(node, y);
}

Status gelu(Legalizer& l, const Node& node) {
  return as(l, node, "aten.gelu.default", {{"approximate", l.text(node, "approximate", "none")}});
}

/// Integers are divided towards zero.
Status divide(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (is_integer(lane_of(l.b.value(x).dtype)))
    return as(l, node, "aten.div.Tensor_mode", {{"rounding_mode", std::string("trunc")}});
  return as(l, node, "aten.div.Tensor");
}

Status modulo(Legalizer& l, const Node& node) {
  return as(l, node, l.flag(node, "fmod", false) ? "aten.fmod.Tensor" : "aten.remainder.Tensor");
}

/// In the type of the base, whatever the exponent's.
Status power(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId e, l.need(node, 1));
  const DType own = l.b.value(x).dtype, other = l.b.value(e).dtype;
  Number known;
  if (uniform_constant(l.b.value(e), known) && l.b.rank(e) == 0 && own == DType::f32) {
    const SourceAttr exponent = {"exponent", other == DType::f32 ? known.real : static_cast<double>(known.whole)};
    KILN_ASSIGN(const ValueId y, l.call("aten.pow.Tensor_Scalar", {x}, {exponent}));
    return l.set(node, y);
  }
  const DType common = own == other ? own : lane_of(own) == Lane::f32 || lane_of(other) == Lane::f32 ? DType::f32 : own;
  KILN_ASSIGN(const ValueId base, l.b.cast(x, common));
  KILN_ASSIGN(const ValueId exponent, l.b.cast(e, common));
  KILN_ASSIGN(const ValueId raised, l.call("aten.pow.Tensor_Tensor", {base, exponent}));
  KILN_ASSIGN(const ValueId y, l.b.cast(raised, own));
  return l.set(node, y);
}

Status bit_shift(Legalizer& l, const Node& node) {
  const std::string direction = l.text(node, "direction", "");
  if (direction != "LEFT" && direction != "RIGHT") return misfit(node.source + ": the direction is LEFT or RIGHT");
  return as(l, node, direction == "LEFT" ? "aten.bitwise_left_shift.Tensor" : "aten.bitwise_right_shift.Tensor");
}

/// One operand after the other.
template <int kKind>
Status variadic(Legalizer& l, const Node& node) {
  constexpr const char* kRows[] = {"aten.minimum.default", "aten.maximum.default", "aten.add.Tensor",
                                   "aten.add.Tensor"};
  KILN_ASSIGN(ValueId y, l.need(node, 0));
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId next, l.need(node, i));
    KILN_ASSIGN(y, l.call(kRows[kKind], {y, next}));
  }
  if (kKind == 3 && node.inputs.size() > 1) {
    Fx f;
    KILN_ASSIGN(y, l.b.map(f.finish(f.in(0) * (1.0 / static_cast<double>(node.inputs.size()))), {y}, DType::f32));
  }
  return l.set(node, y);
}

/// Bounds are operands, in older opsets attributes. Where the lower one is the higher, it is what comes out.
Status clip(Legalizer& l, const Node& node) {
  if (opset(l, node) < 11) {
    std::vector<SourceAttr> attrs;
    for (const char* bound : {"min", "max"})
      if (l.has(node, bound)) attrs.push_back({bound, l.number(node, bound, 0)});
    return as(l, node, "aten.clamp.default", std::move(attrs));
  }
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const ValueId low = l.in(node, 1), high = l.in(node, 2);
  if (low == kNoValue && high == kNoValue) return l.set(node, x);
  std::vector<SourceAttr> known;
  bool all = true;
  for (size_t i = 1; i < 3; ++i) {
    const ValueId id = l.in(node, i);
    Number n;
    if (id == kNoValue) continue;
    all = all && uniform_constant(l.b.value(id), n);
    const bool real = l.b.value(id).dtype == DType::f32;
    if (all) known.push_back({i == 1 ? "min" : "max", {}});
    if (all && real) known.back().value = n.real;
    if (all && !real) known.back().value = n.whole;
  }
  KILN_ASSIGN(const ValueId y,
              all ? l.call("aten.clamp.default", {x}, known) : l.call("aten.clamp.Tensor", {x, low, high}));
  return l.set(node, y);
}

/// The slope is broadcast to x from the last dim on.
Status prelu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId slope, l.need(node, 1));
  const DType dtype = l.b.value(x).dtype;
  const Lane lane = lane_of(dtype);
  Fx f;
  const Term at = f.in(0, lane);
  const Term t = f.where(f.bin(PointOp::lt, at, f.c(0, lane)), at * f.in(1, lane), at);
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x, slope}, dtype));
  return l.set(node, y);
}

Status dropout(Legalizer& l, const Node& node) {
  pass_over(l, node, {"ratio", "seed"});
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.in(node, 2) != kNoValue) {
    KILN_ASSIGN(const std::vector<int64_t> training, l.whole_elements(node, 2, "training_mode"));
    if (training.size() == 1 && training[0])
      return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  }
  KILN_TRY(l.set(node, x));
  if (!l.wants(node, 1)) return ok();
  KILN_ASSIGN(const ValueId mask, l.b.expand(l.b.scalar(1, DType::boolean), Shape(l.b.shape(x))));
  return l.set(node, mask, 1);
}

}  // namespace

std::vector<OpRow> onnx_pointwise_ops() {
  std::vector<OpRow> rows{
      {"onnx.Acosh", formula<acosh>},
      {"onnx.Asinh", formula<asinh>},
      {"onnx.Atanh", formula<atanh>},
      {"onnx.BitShift", bit_shift},
      {"onnx.Clip", clip},
      {"onnx.Div", divide},
      {"onnx.Dropout", dropout},
      {"onnx.Gelu", gelu},
      {"onnx.HardSigmoid", formula<hard_sigmoid>},
      {"onnx.IsInf", formula<is_inf>},
      {"onnx.Max", variadic<1>},
      {"onnx.Mean", variadic<3>},
      {"onnx.Min", variadic<0>},
      {"onnx.Mod", modulo},
      {"onnx.PRelu", prelu},
      {"onnx.Pow", power},
      {"onnx.Selu", formula<selu>},
      {"onnx.Shrink", formula<shrink>},
      {"onnx.Sum", variadic<2>},
      {"onnx.SwiGLU", swiglu},
      {"onnx.Swish", formula<swish>},
      {"onnx.ThresholdedRelu", formula<thresholded_relu>},
  };
  for (const Renamed& row : kRenamed) rows.push_back({row.name, renamed});
  return rows;
}

}  // namespace kiln
