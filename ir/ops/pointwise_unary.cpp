// Functions of one tensor. Each is a formula over its elements.
#include <cmath>
#include <limits>

#include "ir/legalizer.h"

namespace kiln {
namespace {

struct Params {
  Legalizer& l;
  const Node& node;
  double operator()(const char* name, double fallback) const { return l.number(node, name, fallback); }
};

enum class Kind : uint8_t {
  real,  ///< computed in float32, whatever comes in
  same,  ///< float32 or integer, as it comes
  test,  ///< to a boolean
};

struct Formula {
  const char* name;
  Kind kind;
  Term (*make)(Fx& f, Term x, const Params& p);
};

const double kInf = std::numeric_limits<double>::infinity();

/// A bound of -kInf or kInf does nothing. A bound that is NaN makes every element NaN.
Term clamp(Fx& f, Term x, double low, double high) {
  const Lane lane = f.lane(x);
  if (low != -kInf) x = f.bin(PointOp::max, x, f.c(low, lane));
  if (high != kInf) x = f.bin(PointOp::min, x, f.c(high, lane));
  return x;
}

/// A number of the node beside x: of integers exactly.
Term beside(Fx& f, Term x, const Number& n) {
  const Lane lane = f.lane(x);
  return lane == Lane::f32 ? f.c(n.real) : f.whole(n.whole, lane);
}

/// The same with bounds of the node, where it has them.
Term clamp(Fx& f, Term x, const Params& p, const char* low, const char* high) {
  for (const char* bound : {low, high}) {
    if (!bound || !p.l.has(p.node, bound)) continue;
    const Number n = p.l.any_number(p.node, bound);
    if (n.real == (bound == low ? -kInf : kInf)) continue;
    x = f.bin(bound == low ? PointOp::max : PointOp::min, x, beside(f, x, n));
  }
  return x;
}

Term threshold(Fx& f, Term x, const Params& p) {
  const Term limit = beside(f, x, p.l.any_number(p.node, "threshold"));
  return f.where(f.bin(PointOp::le, x, limit), beside(f, x, p.l.any_number(p.node, "value")), x);
}

template <PointOp kOp>
Term plain(Fx& f, Term x, const Params&) {
  return f.un(kOp, x);
}

Term sigmoid(Fx& f, Term x) { return f.un(PointOp::sigmoid, x); }
Term relu6_of(Fx& f, Term x) { return clamp(f, x, 0, 6); }

/// log(1 + exp(-|x|)): the difference of softplus and logsigmoid from straight lines.
Term decay(Fx& f, Term x) {
  return f.un(PointOp::log1p, f.un(PointOp::exp, f.un(PointOp::neg, f.un(PointOp::abs, x))));
}

/// log(1 + exp(b x)) / b without overflow. If b x is above the threshold it is x. A threshold of 18 or more changes
/// nothing.
Term softplus(Fx& f, Term x, double beta, double threshold) {
  const Term scaled = x * beta;
  const Term y = f.bin(PointOp::max, x, f.c(0)) + decay(f, scaled) / beta;
  return threshold < 18 ? f.where(f.bin(PointOp::gt, scaled, f.c(threshold)), x, y) : y;
}

Term elu(Fx& f, Term x, double alpha, double scale, double input_scale) {
  const Term negative = f.un(PointOp::expm1, x * input_scale) * (alpha * scale);
  return f.where(f.bin(PointOp::gt, x, f.c(0)), x * scale, negative);
}

Term gelu(Fx& f, Term x, const Params& p) {
  if (p.l.text(p.node, "approximate", "none") == "tanh") {
    const Term inner = (x + x * x * x * 0.044715) * std::sqrt(2 / M_PI);
    return x * 0.5 * (f.un(PointOp::tanh, inner) + 1);
  }
  return x * 0.5 * (f.un(PointOp::erf, x * M_SQRT1_2) + 1);
}

/// √(1 − x²), without cancellation near ±1.
Term other_leg(Fx& f, Term x) { return f.un(PointOp::sqrt, (f.c(1) - x) * (x + 1)); }
Term asin(Fx& f, Term x, const Params&) { return f.bin(PointOp::atan2, x, other_leg(f, x)); }
Term acos(Fx& f, Term x, const Params&) { return f.bin(PointOp::atan2, other_leg(f, x), x); }
Term atan(Fx& f, Term x, const Params&) { return f.bin(PointOp::atan2, x, f.c(1)); }

/// Computed from e^(|x|/2), which overflows only if the result does.
Term cosh(Fx& f, Term x, const Params&) {
  const Term root = f.un(PointOp::exp, f.un(PointOp::abs, x) * 0.5);
  return root * 0.5 * root + f.c(0.5) / (root * root);
}
/// From u = e^(|x|/2) - 1: (u + 1)² - (u + 1)^-2 is u (u + 2) (1 + (u + 1)^-2).
Term sinh(Fx& f, Term x, const Params&) {
  const Term size = f.un(PointOp::abs, x);
  const Term u = f.un(PointOp::expm1, size * 0.5), root = u + 1;
  const Term y = u * 0.5 * (u + 2) * (f.un(PointOp::reciprocal, root * root) + 1);
  const Term small = f.bin(PointOp::lt, size, f.c(1.0 / 4096));
  return f.where(small, x, f.where(f.bin(PointOp::lt, x, f.c(0)), f.un(PointOp::neg, y), y));
}

/// By squaring. It is exact and wraps around, as in PyTorch.
Term integer_power(Fx& f, Term x, int64_t e) {
  Term result = f.whole(1, f.lane(x));
  for (bool first = true; e; e >>= 1) {
    if (e & 1) result = first ? x : result * x, first = false;
    if (e > 1) x = x * x;
  }
  return result;
}

Term power(Fx& f, Term x, const Params& p) {
  const double e = p("exponent", 1);
  if (is_integer(f.lane(x))) return integer_power(f, x, p.l.any_number(p.node, "exponent").whole);
  if (e == 0) return f.c(1);
  if (e == 1) return x;
  if (e == 2) return x * x;
  if (e == 3) return x * x * x;
  if (e == 4) return (x * x) * (x * x);
  if (e == 0.5) return f.un(PointOp::sqrt, x);
  if (e == -0.5) return f.un(PointOp::rsqrt, x);
  if (e == -1) return f.un(PointOp::reciprocal, x);
  if (e == -2) return f.un(PointOp::reciprocal, x * x);
  return f.bin(PointOp::pow, x, f.c(e));
}

Term sign(Fx& f, Term x, const Params&) {
  const Lane lane = f.lane(x);
  const Term zero = f.c(0, lane);
  return f.to(f.bin(PointOp::gt, x, zero), lane) - f.to(f.bin(PointOp::lt, x, zero), lane);
}

const Formula kFormulas[] = {
    {"aten.abs.default", Kind::same, plain<PointOp::abs>},
    {"aten.acos.default", Kind::real, acos},
    {"aten.asin.default", Kind::real, asin},
    {"aten.atan.default", Kind::real, atan},
    {"aten.ceil.default", Kind::real, plain<PointOp::ceil>},
    {"aten.celu.default", Kind::real,
     [](Fx& f, Term x, const Params& p) { return elu(f, x, p("alpha", 1), 1, 1 / p("alpha", 1)); }},
    {"aten.clamp.default", Kind::same, [](Fx& f, Term x, const Params& p) { return clamp(f, x, p, "min", "max"); }},
    {"aten.clamp_max.default", Kind::same,
     [](Fx& f, Term x, const Params& p) { return clamp(f, x, p, nullptr, "max"); }},
    {"aten.clamp_min.default", Kind::same,
     [](Fx& f, Term x, const Params& p) { return clamp(f, x, p, "min", nullptr); }},
    {"aten.cos.default", Kind::real, plain<PointOp::cos>},
    {"aten.cosh.default", Kind::real, cosh},
    {"aten.elu.default", Kind::real,
     [](Fx& f, Term x, const Params& p) { return elu(f, x, p("alpha", 1), p("scale", 1), p("input_scale", 1)); }},
    {"aten.erf.default", Kind::real, plain<PointOp::erf>},
    {"aten.exp.default", Kind::real, plain<PointOp::exp>},
    {"aten.exp2.default", Kind::real, plain<PointOp::exp2>},
    {"aten.expm1.default", Kind::real, plain<PointOp::expm1>},
    {"aten.floor.default", Kind::real, plain<PointOp::floor>},
    {"aten.frac.default", Kind::real, [](Fx& f, Term x, const Params&) { return x - f.un(PointOp::trunc, x); }},
    {"aten.gelu.default", Kind::real, gelu},
    {"aten.hardsigmoid.default", Kind::real,
     [](Fx& f, Term x, const Params&) { return relu6_of(f, x + 3) * (1.0 / 6); }},
    {"aten.hardswish.default", Kind::real,
     [](Fx& f, Term x, const Params&) { return x * relu6_of(f, x + 3) * (1.0 / 6); }},
    {"aten.hardtanh.default", Kind::same,
     [](Fx& f, Term x, const Params& p) { return clamp(f, x, p("min_val", -1), p("max_val", 1)); }},
    {"aten.isinf.default", Kind::test,
     [](Fx& f, Term x, const Params&) { return f.bin(PointOp::eq, f.un(PointOp::abs, x), f.c(kInf)); }},
    {"aten.isnan.default", Kind::test, [](Fx& f, Term x, const Params&) { return f.bin(PointOp::ne, x, x); }},
    {"aten.leaky_relu.default", Kind::real,
     [](Fx& f, Term x, const Params& p) {
       return f.where(f.bin(PointOp::gt, x, f.c(0)), x, x * p("negative_slope", 0.01));
     }},
    {"aten.log.default", Kind::real, plain<PointOp::log>},
    {"aten.log10.default", Kind::real, plain<PointOp::log10>},
    {"aten.log1p.default", Kind::real, plain<PointOp::log1p>},
    {"aten.log2.default", Kind::real, plain<PointOp::log2>},
    {"aten.log_sigmoid.default", Kind::real,
     [](Fx& f, Term x, const Params&) { return f.bin(PointOp::min, x, f.c(0)) - decay(f, x); }},
    {"aten.logical_not.default", Kind::test,
     [](Fx& f, Term x, const Params&) { return f.un(PointOp::logical_not, f.to(x, Lane::mask)); }},
    {"aten.mish.default", Kind::real,
     [](Fx& f, Term x, const Params&) { return x * f.un(PointOp::tanh, softplus(f, x, 1, 20)); }},
    {"aten.neg.default", Kind::same, plain<PointOp::neg>},
    {"aten.pow.Tensor_Scalar", Kind::real, power},
    {"aten.reciprocal.default", Kind::real, plain<PointOp::reciprocal>},
    {"aten.relu.default", Kind::same, [](Fx& f, Term x, const Params&) { return clamp(f, x, 0, kInf); }},
    {"aten.relu6.default", Kind::same, [](Fx& f, Term x, const Params&) { return relu6_of(f, x); }},
    {"aten.round.default", Kind::real, plain<PointOp::round>},
    {"aten.rsqrt.default", Kind::real, plain<PointOp::rsqrt>},
    {"aten.selu.default", Kind::real,
     [](Fx& f, Term x, const Params&) { return elu(f, x, 1.6732632423543772, 1.0507009873554805, 1); }},
    {"aten.sigmoid.default", Kind::real, plain<PointOp::sigmoid>},
    {"aten.sign.default", Kind::same, sign},
    {"aten.silu.default", Kind::real, [](Fx& f, Term x, const Params&) { return x * sigmoid(f, x); }},
    {"aten.sin.default", Kind::real, plain<PointOp::sin>},
    {"aten.sinh.default", Kind::real, sinh},
    {"aten.softplus.default", Kind::real,
     [](Fx& f, Term x, const Params& p) { return softplus(f, x, p("beta", 1), p("threshold", 20)); }},
    {"aten.softsign.default", Kind::real, [](Fx& f, Term x, const Params&) { return x / (f.un(PointOp::abs, x) + 1); }},
    {"aten.sqrt.default", Kind::real, plain<PointOp::sqrt>},
    {"aten.square.default", Kind::same, [](Fx&, Term x, const Params&) { return x * x; }},
    {"aten.tan.default", Kind::real, plain<PointOp::tan>},
    {"aten.tanh.default", Kind::real, plain<PointOp::tanh>},
    {"aten.threshold.default", Kind::same, threshold},
    {"aten.trunc.default", Kind::real, plain<PointOp::trunc>},
};

const Formula* find_formula(const std::string& name) {
  for (const Formula& formula : kFormulas)
    if (name == formula.name) return &formula;
  return nullptr;
}

Status unary(Legalizer& l, const Node& node) {
  const Formula* formula = find_formula(node.source);
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const DType from = l.b.value(x).dtype;
  const Lane own = lane_of(from);
  // Rounding does not change an integer. All other real functions give float32.
  const bool rounds = node.source == "aten.ceil.default" || node.source == "aten.floor.default" ||
                      node.source == "aten.round.default" || node.source == "aten.trunc.default";
  if (rounds && is_integer(own)) return l.set(node, x);
  if (node.source == "aten.round.default" && l.integer(node, "decimals", 0) != 0)
    return l.unsupported(node, "rounding to decimals is not supported");
  Fx f;
  Term t = f.in(0, own);
  DType out = from;
  const bool is_not = node.source == "aten.logical_not.default";
  // A float bound turns an integer tensor into float32, as PyTorch's promotion does.
  const bool promoted = formula->kind == Kind::same && is_integer(own) &&
                        (l.number_type(node, "min") == DType::f32 || l.number_type(node, "max") == DType::f32);
  const bool whole_power =
      node.source == "aten.pow.Tensor_Scalar" && is_integer(own) && l.number_type(node, "exponent") != DType::f32;
  if (whole_power && l.number(node, "exponent", 1) < 0)
    return l.unsupported(node, "integers have no negative integer powers");
  if ((formula->kind == Kind::real || promoted || (formula->kind == Kind::test && !is_not)) && own != Lane::f32 &&
      !whole_power)
    t = f.to(t, Lane::f32), out = DType::f32;
  if (formula->kind == Kind::same && own == Lane::mask) return l.unsupported(node, "booleans are not supported here");
  t = formula->make(f, t, {l, node});
  if (formula->kind == Kind::test) out = DType::boolean;
  t = f.to(t, lane_of(out));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x}, out));
  return l.set(node, y);
}

Status bitwise_not(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const DType dtype = l.b.value(x).dtype;
  Fx f;
  Term t = f.in(0, lane_of(dtype));
  if (dtype == DType::boolean)
    t = f.un(PointOp::logical_not, t);
  else if (is_integer(lane_of(dtype)))
    t = f.whole(-1, lane_of(dtype)) - t;
  else
    return l.unsupported(node, "floating point is not supported here");
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x}, dtype));
  return l.set(node, y);
}

/// x[..., :n] * sigmoid(x[..., n:]).
Status glu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", -1), l.b.rank(x)));
  if (l.b.rank(x) == 0) return l.unsupported(node, "a scalar has no halves");
  const int64_t half = l.b.shape(x)[static_cast<size_t>(axis)].value / 2;
  KILN_ASSIGN(const ValueId a, l.b.slice_axis(x, axis, 0, half));
  KILN_ASSIGN(const ValueId gate, l.b.slice_axis(x, axis, half, half));
  Fx f;
  const Term t = f.in(0) * sigmoid(f, f.in(1));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {a, gate}, DType::f32));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> pointwise_unary_ops() {
  std::vector<OpRow> rows{{"aten.bitwise_not.default", bitwise_not}, {"aten.glu.default", glu}};
  for (const Formula& formula : kFormulas) rows.push_back({formula.name, unary});
  return rows;
}

}  // namespace kiln
