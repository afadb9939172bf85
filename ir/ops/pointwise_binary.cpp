// Functions of several tensors, with broadcasting. A number in place of a tensor is a 0-d constant. Integers are
// computed in PyTorch's type and wrap around.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

enum class Kind : uint8_t {
  number,   ///< in the common dtype
  real,     ///< in float32
  compare,  ///< in the common dtype, to a boolean
  logical,  ///< of truth values
  bits,     ///< booleans or integers
};

struct Formula {
  const char* stem;  ///< "aten.add": rows .Tensor and .Scalar
  Kind kind;
  PointOp op;
};

const Formula kFormulas[] = {
    {"aten.eq", Kind::compare, PointOp::eq},
    {"aten.ne", Kind::compare, PointOp::ne},
    {"aten.lt", Kind::compare, PointOp::lt},
    {"aten.le", Kind::compare, PointOp::le},
    {"aten.gt", Kind::compare, PointOp::gt},
    {"aten.ge", Kind::compare, PointOp::ge},
    {"aten.atan2", Kind::real, PointOp::atan2},
    {"aten.mul", Kind::number, PointOp::mul},
    {"aten.div", Kind::real, PointOp::div},
    {"aten.minimum", Kind::number, PointOp::min},
    {"aten.maximum", Kind::number, PointOp::max},
    {"aten.logical_and", Kind::logical, PointOp::logical_and},
    {"aten.logical_or", Kind::logical, PointOp::logical_or},
    {"aten.logical_xor", Kind::logical, PointOp::logical_xor},
    {"aten.bitwise_and", Kind::bits, PointOp::logical_and},
    {"aten.bitwise_or", Kind::bits, PointOp::logical_or},
    {"aten.bitwise_xor", Kind::bits, PointOp::logical_xor},
    {"aten.bitwise_left_shift", Kind::bits, PointOp::shl},
    {"aten.bitwise_right_shift", Kind::bits, PointOp::shr},
    {"aten.__lshift__", Kind::bits, PointOp::shl},
    {"aten.__rshift__", Kind::bits, PointOp::shr},
};

/// Operand i of a map, read as its dtype and converted to `lane`.
Term read(Legalizer& l, Fx& f, const std::vector<ValueId>& operands, int i, Lane lane) {
  return f.to(f.in(i, lane_of(l.b.value(operands[static_cast<size_t>(i)]).dtype)), lane);
}

Status emit(Legalizer& l, const Node& node, const Fx& f, Term t, std::vector<ValueId> operands, DType out) {
  Fx g = f;
  t.fx = &g;
  t = g.to(t, lane_of(out));
  KILN_ASSIGN(const ValueId y, l.b.map(g.finish(t), std::move(operands), out));
  return l.set(node, y);
}

constexpr size_t kNoOperand = 99;  ///< of a number that has no place among the operands

Result<std::vector<ValueId>> two(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId a, l.tensor_or_number(node, 0, "self"));
  KILN_ASSIGN(const ValueId b, l.tensor_or_number(node, 1, "other"));
  return std::vector<ValueId>{a, b};
}

Status binary(Legalizer& l, const Node& node) {
  const std::string stem = node.source.substr(0, node.source.rfind('.'));
  const Formula* formula = nullptr;
  for (const Formula& candidate : kFormulas)
    if (stem == candidate.stem) formula = &candidate;
  KILN_ASSIGN(std::vector<ValueId> operands, two(l, node));
  DType common = l.common_dtype(operands);
  if (formula->kind != Kind::real && formula->kind != Kind::logical) {
    KILN_ASSIGN(common, l.promote(operands));
  }
  DType out = common;
  Lane lane = lane_of(common);
  PointOp op = formula->op;
  if (formula->kind == Kind::real) lane = Lane::f32, out = lane_of(common) == Lane::f32 ? common : DType::f32;
  if (formula->kind == Kind::logical) lane = Lane::mask, out = DType::boolean;
  if (formula->kind == Kind::bits && lane == Lane::f32)
    return l.unsupported(node, "floating point is not supported here");
  if (formula->kind == Kind::compare) {
    out = DType::boolean;
    if (lane == Lane::mask) lane = Lane::i32;
  }
  if (formula->kind == Kind::number && lane == Lane::mask)
    op = op == PointOp::max ? PointOp::logical_or : PointOp::logical_and;
  if (lane == Lane::mask && (op == PointOp::shl || op == PointOp::shr))
    return l.unsupported(node, "booleans cannot be shifted");
  Fx f;
  const Term a = read(l, f, operands, 0, lane), b = read(l, f, operands, 1, lane);
  return emit(l, node, f, f.bin(op, a, b), operands, out);
}

/// self ± alpha · other; rsub is other − alpha · self.
template <bool kMinus, bool kReversed>
Status add(Legalizer& l, const Node& node) {
  KILN_ASSIGN(std::vector<ValueId> operands, two(l, node));
  KILN_ASSIGN(const DType out, l.promote(operands));
  const Lane lane = lane_of(out);
  Fx f;
  Term a = read(l, f, operands, kReversed ? 1 : 0, lane), b = read(l, f, operands, kReversed ? 0 : 1, lane);
  const Number alpha = l.has(node, "alpha") ? l.any_number(node, "alpha") : Number{1, 1};
  if (lane == Lane::mask) {
    if (kMinus || alpha.real != 1) return l.unsupported(node, "booleans cannot be subtracted or scaled");
    return emit(l, node, f, f.bin(PointOp::logical_or, a, b), operands, out);
  }
  if (alpha.real != 1) b = lane == Lane::f32 ? b * alpha.real : b * f.whole(alpha.whole, lane);
  return emit(l, node, f, kMinus ? a - b : a + b, operands, out);
}

enum class Rounding : uint8_t { none, floor, trunc, floor_remainder, trunc_remainder };

/// Floor division of floats, as PyTorch's div_floor. A quotient may have been rounded up to a whole number. So it is
/// computed from the dividend less the remainder.
Term floor_quotient(Fx& f, Term a, Term b, Term remainder, Term across) {
  const Term quotient = a / b, zero = f.c(0);
  Term q = (a - remainder) / b;
  q = f.where(across, q - 1, q);
  const Term low = f.un(PointOp::floor, q);
  const Term near = f.where(f.bin(PointOp::gt, q - low, f.c(0.5)), low + 1, low);
  q = f.where(f.bin(PointOp::eq, q, zero), quotient * zero, near);  // a zero with the quotient's sign
  return f.where(f.bin(PointOp::eq, b, zero), quotient, q);
}

/// Quotients and remainders of integers. PyTorch raises an error if a divisor is 0. Here a divisor that is known to be
/// 0 is an error. If only the run knows it, the quotient is 0 and the remainder is the dividend.
Status divide_integers(Legalizer& l, const Node& node, const std::vector<ValueId>& operands, DType common,
                       Rounding mode) {
  Fx f;
  const Lane lane = lane_of(common);
  const Term a = read(l, f, operands, 0, lane), b = read(l, f, operands, 1, lane);
  Number divisor;
  const bool known = uniform_constant(l.b.value(operands[1]), divisor);
  if (known && divisor.whole == 0) return l.unsupported(node, "an integer is divided by 0");
  const bool down = mode == Rounding::floor || mode == Rounding::floor_remainder;
  if (down && divisor.whole > 0 &&
      (divisor.whole & (divisor.whole - 1)) == 0)  // of two: a shift rounds down, and leaves the lowest bits
    return emit(l, node, f,
                mode == Rounding::floor
                    ? f.bin(PointOp::shr, a, f.whole(__builtin_ctzll(static_cast<uint64_t>(divisor.whole)), lane))
                    : f.bin(PointOp::logical_and, a, f.whole(divisor.whole - 1, lane)),
                operands, common);
  if (mode == Rounding::trunc) return emit(l, node, f, a / b, operands, common);
  if (mode == Rounding::trunc_remainder) return emit(l, node, f, f.bin(PointOp::fmod, a, b), operands, common);
  // Rounds towards zero, then one down if the remainder's sign differs from the divisor's.
  const Term zero = f.whole(0, lane), quotient = a / b, rest = a - quotient * b;
  Term step = f.bin(PointOp::logical_and, f.bin(PointOp::ne, rest, zero),
                    f.bin(PointOp::logical_xor, f.bin(PointOp::lt, rest, zero), f.bin(PointOp::lt, b, zero)));
  if (mode == Rounding::floor_remainder) return emit(l, node, f, f.where(step, rest + b, rest), operands, common);
  if (!known) step = f.bin(PointOp::logical_and, step, f.bin(PointOp::ne, b, zero));
  return emit(l, node, f, quotient - f.to(step, lane), operands, common);
}

/// Quotients and remainders with a rounding mode.
Status divide(Legalizer& l, const Node& node, Rounding mode) {
  KILN_ASSIGN(std::vector<ValueId> operands, two(l, node));
  DType common = l.common_dtype(operands);
  if (mode != Rounding::none) {
    KILN_ASSIGN(common, l.promote(operands));
  }
  if (common == DType::boolean) return l.unsupported(node, "booleans cannot be divided");
  if (is_integer(lane_of(common)) && mode != Rounding::none) return divide_integers(l, node, operands, common, mode);
  Fx f;
  const Term a = read(l, f, operands, 0, Lane::f32), b = read(l, f, operands, 1, Lane::f32);
  DType out = common;
  Term y = a / b;
  if (mode == Rounding::none) {
    if (lane_of(common) != Lane::f32) out = DType::f32;
  } else if (mode == Rounding::trunc) {
    y = f.un(PointOp::trunc, y);
  } else {
    y = f.bin(PointOp::fmod, a, b);
    const Term zero = f.c(0);
    // the remainder's sign differs from the divisor's, also if that is infinite
    const Term across = f.bin(PointOp::logical_and, f.bin(PointOp::ne, y, zero),
                              f.bin(PointOp::logical_xor, f.bin(PointOp::lt, y, zero), f.bin(PointOp::lt, b, zero)));
    if (mode == Rounding::floor_remainder) y = f.where(across, y + b, y);
    if (mode == Rounding::floor) y = floor_quotient(f, a, b, y, across);
  }
  return emit(l, node, f, y, operands, out);
}

template <Rounding kMode>
Status divide_as(Legalizer& l, const Node& node) {
  return divide(l, node, kMode);
}

Status divide_mode(Legalizer& l, const Node& node) {
  const std::string mode = l.text(node, "rounding_mode", "");
  if (mode == "floor") return divide(l, node, Rounding::floor);
  if (mode == "trunc") return divide(l, node, Rounding::trunc);
  if (mode.empty()) return divide(l, node, Rounding::none);
  return l.unsupported(node, "unknown rounding mode '" + mode + "'");
}

/// A tensor or number to the power of a tensor.
Status power(Legalizer& l, const Node& node) {
  const bool scalar_base = node.source == "aten.pow.Scalar";  // its only operand is the exponent
  KILN_ASSIGN(const ValueId base, l.tensor_or_number(node, scalar_base ? kNoOperand : 0, "self"));
  KILN_ASSIGN(const ValueId exponent, l.tensor_or_number(node, scalar_base ? 0 : 1, "exponent"));
  std::vector<ValueId> operands{base, exponent};
  KILN_ASSIGN(const DType out, l.promote(operands));
  Fx f;
  if (const Lane lane = lane_of(out); is_integer(lane))
    return emit(l, node, f, f.bin(PointOp::pow, read(l, f, operands, 0, lane), read(l, f, operands, 1, lane)), operands,
                out);
  const Term y = read(l, f, operands, 1, Lane::f32);
  const bool of_two = scalar_base && l.number(node, "self", 0) == 2;
  const Term t = of_two ? f.un(PointOp::exp2, y) : f.bin(PointOp::pow, read(l, f, operands, 0, Lane::f32), y);
  return emit(l, node, f, t, operands, out);
}

Status where(Legalizer& l, const Node& node) {
  // In the overload with a number in front of the last operand, that operand is the second.
  const bool scalar_self = node.source == "aten.where.ScalarSelf";
  KILN_ASSIGN(const ValueId mask, l.need(node, 0));
  KILN_ASSIGN(const ValueId a, l.tensor_or_number(node, scalar_self ? kNoOperand : 1, "self"));
  KILN_ASSIGN(const ValueId b, l.tensor_or_number(node, scalar_self ? 1 : 2, "other"));
  std::vector<ValueId> chosen{a, b};
  KILN_ASSIGN(const DType out, l.promote(chosen));
  const std::vector<ValueId> operands{mask, chosen[0], chosen[1]};
  Fx f;
  const Term m = read(l, f, operands, 0, Lane::mask);
  return emit(l, node, f, f.where(m, read(l, f, operands, 1, lane_of(out)), read(l, f, operands, 2, lane_of(out))),
              operands, out);
}

Status masked_fill(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId mask, l.need(node, 1));
  KILN_ASSIGN(const ValueId fill, l.tensor_or_number(node, 2, "value"));
  const std::vector<ValueId> operands{mask, fill, x};
  const DType out = l.b.value(x).dtype;
  Fx f;
  const Term m = read(l, f, operands, 0, Lane::mask);
  return emit(l, node, f, f.where(m, read(l, f, operands, 1, lane_of(out)), read(l, f, operands, 2, lane_of(out))),
              operands, out);
}

/// self + value · a · b, or value · a / b.
template <PointOp kOp>
Status add_product(Legalizer& l, const Node& node) {
  std::vector<ValueId> operands;
  for (size_t i = 0; i < 3; ++i) {
    KILN_ASSIGN(const ValueId id, l.need(node, i));
    operands.push_back(id);
  }
  KILN_ASSIGN(const DType out, l.promote(operands));
  const Lane lane = lane_of(out);
  if (lane == Lane::mask || (lane != Lane::f32 && kOp == PointOp::div))
    return l.unsupported(node, std::string(name_of(out)) + " is not supported here");
  Fx f;
  const Number value = l.has(node, "value") ? l.any_number(node, "value") : Number{1, 1};
  Term first = read(l, f, operands, 1, lane);
  if (value.real != 1) first = first * (lane == Lane::f32 ? f.c(value.real) : f.whole(value.whole, lane));
  const Term product = f.bin(kOp, first, read(l, f, operands, 2, lane));
  return emit(l, node, f, read(l, f, operands, 0, lane) + product, operands, out);
}

Status lerp(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId a, l.need_f32(node, 0));
  KILN_ASSIGN(const ValueId b, l.need_f32(node, 1));
  KILN_ASSIGN(const ValueId given, l.tensor_or_number(node, 2, "weight"));
  KILN_ASSIGN(const ValueId weight, l.b.cast(given, DType::f32));
  Fx f;
  // computed from the nearer end, so that a weight of 1 gives exactly b
  const Term from = f.in(0), to = f.in(1), w = f.in(2), way = to - from;
  const Term near = f.bin(PointOp::lt, f.un(PointOp::abs, w), f.c(0.5));
  return emit(l, node, f, f.where(near, from + w * way, to - way * (f.c(1) - w)), {a, b, weight}, DType::f32);
}

/// x > 0 ? x : w · x, with one weight or one per channel (dim 1).
Status prelu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(ValueId w, l.need_f32(node, 1));
  if (l.b.rank(w) == 1) {
    Shape shape(static_cast<size_t>(std::max<int64_t>(l.b.rank(x) - 1, 1)), Dim(1));
    shape[0] = l.b.shape(w)[0];
    KILN_ASSIGN(w, l.b.reshape(w, shape));
  }
  Fx f;
  return emit(l, node, f, f.where(f.bin(PointOp::gt, f.in(0), f.c(0)), f.in(0), f.in(0) * f.in(1)), {x, w}, DType::f32);
}

Status clamp_tensors(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  std::vector<ValueId> operands{x};
  const ValueId low = l.in(node, 1), high = l.in(node, 2);
  for (ValueId bound : {low, high})
    if (bound != kNoValue) operands.push_back(bound);
  KILN_ASSIGN(const DType out, l.promote(operands));
  const Lane lane = lane_of(out);
  if (lane == Lane::mask) return l.unsupported(node, "booleans are not supported here");
  Fx f;
  Term t = read(l, f, operands, 0, lane);
  if (low != kNoValue) t = f.bin(PointOp::max, t, read(l, f, operands, 1, lane));
  if (high != kNoValue) t = f.bin(PointOp::min, t, read(l, f, operands, static_cast<int>(operands.size()) - 1, lane));
  return emit(l, node, f, t, operands, out);
}

}  // namespace

std::vector<OpRow> pointwise_binary_ops() {
  using R = Rounding;
  return {
      {"aten.__lshift__.Scalar", binary},
      {"aten.__lshift__.Tensor", binary},
      {"aten.__rshift__.Scalar", binary},
      {"aten.__rshift__.Tensor", binary},
      {"aten.add.Scalar", add<false, false>},
      {"aten.add.Tensor", add<false, false>},
      {"aten.addcdiv.default", add_product<PointOp::div>},
      {"aten.addcmul.default", add_product<PointOp::mul>},
      {"aten.atan2.default", binary},
      {"aten.bitwise_and.Scalar", binary},
      {"aten.bitwise_and.Tensor", binary},
      {"aten.bitwise_left_shift.Tensor", binary},
      {"aten.bitwise_left_shift.Tensor_Scalar", binary},
      {"aten.bitwise_right_shift.Tensor", binary},
      {"aten.bitwise_right_shift.Tensor_Scalar", binary},
      {"aten.bitwise_or.Scalar", binary},
      {"aten.bitwise_or.Tensor", binary},
      {"aten.bitwise_xor.Scalar", binary},
      {"aten.bitwise_xor.Tensor", binary},
      {"aten.clamp.Tensor", clamp_tensors},
      {"aten.div.Scalar", binary},
      {"aten.div.Scalar_mode", divide_mode},
      {"aten.div.Tensor", binary},
      {"aten.div.Tensor_mode", divide_mode},
      {"aten.eq.Scalar", binary},
      {"aten.eq.Tensor", binary},
      {"aten.floor_divide.Scalar", divide_as<R::floor>},
      {"aten.floor_divide.default", divide_as<R::floor>},
      {"aten.fmod.Scalar", divide_as<R::trunc_remainder>},
      {"aten.fmod.Tensor", divide_as<R::trunc_remainder>},
      {"aten.ge.Scalar", binary},
      {"aten.ge.Tensor", binary},
      {"aten.gt.Scalar", binary},
      {"aten.gt.Tensor", binary},
      {"aten.le.Scalar", binary},
      {"aten.le.Tensor", binary},
      {"aten.lerp.Scalar", lerp},
      {"aten.lerp.Tensor", lerp},
      {"aten.logical_and.default", binary},
      {"aten.logical_or.default", binary},
      {"aten.logical_xor.default", binary},
      {"aten.lt.Scalar", binary},
      {"aten.lt.Tensor", binary},
      {"aten.masked_fill.Scalar", masked_fill},
      {"aten.masked_fill.Tensor", masked_fill},
      {"aten.maximum.default", binary},
      {"aten.minimum.default", binary},
      {"aten.mul.Scalar", binary},
      {"aten.mul.Tensor", binary},
      {"aten.ne.Scalar", binary},
      {"aten.ne.Tensor", binary},
      {"aten.pow.Scalar", power},
      {"aten.pow.Tensor_Tensor", power},
      {"aten.prelu.default", prelu},
      {"aten._prelu_kernel.default", prelu},
      {"aten.remainder.Scalar", divide_as<R::floor_remainder>},
      {"aten.remainder.Tensor", divide_as<R::floor_remainder>},
      {"aten.rsub.Scalar", add<true, true>},
      {"aten.rsub.Tensor", add<true, true>},
      {"aten.sub.Scalar", add<true, false>},
      {"aten.sub.Tensor", add<true, false>},
      {"aten.where.Scalar", where},
      {"aten.where.ScalarOther", where},
      {"aten.where.ScalarSelf", where},
      {"aten.where.self", where},
  };
}

}  // namespace kiln
