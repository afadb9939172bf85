#include "tests/support/scalar_expr.h"

#include <algorithm>
#include <cmath>

namespace kiln::testing {
namespace {

/// Whole numbers are exact here below 2^53.
int64_t whole(double x) { return std::isnan(x) ? 0 : static_cast<int64_t>(std::clamp(x, -9e18, 9e18)); }

double apply(const PointInst& inst, Lane from, double a, double b, double c) {
  const bool is_sum = inst.op >= PointOp::add && inst.op <= PointOp::abs && inst.op != PointOp::atan2;
  const bool is_logic = inst.op >= PointOp::logical_and && inst.op <= PointOp::logical_xor;
  if (is_integer(from) && (is_sum || is_logic || inst.op == PointOp::shl || inst.op == PointOp::shr))
    return static_cast<double>(apply_integer(inst.op, from, whole(a), whole(b)));
  switch (inst.op) {
    case PointOp::add:
      return a + b;
    case PointOp::sub:
      return a - b;
    case PointOp::mul:
      return a * b;
    case PointOp::min:
      return std::isnan(a) || std::isnan(b) ? std::nan("") : std::min(a, b);
    case PointOp::max:
      return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b);
    case PointOp::div:
      return a / b;
    case PointOp::pow:
      return std::pow(a, b);
    case PointOp::atan2:
      return std::atan2(a, b);
    case PointOp::fmod:
      return std::fmod(a, b);
    case PointOp::neg:
      return -a;
    case PointOp::abs:
      return std::fabs(a);
    case PointOp::sqrt:
      return std::sqrt(a);
    case PointOp::rsqrt:
      return 1 / std::sqrt(a);
    case PointOp::reciprocal:
      return 1 / a;
    case PointOp::exp:
      return std::exp(a);
    case PointOp::exp2:
      return std::exp2(a);
    case PointOp::log:
      return std::log(a);
    case PointOp::log10:
      return std::log10(a);
    case PointOp::log2:
      return std::log2(a);
    case PointOp::log1p:
      return std::log1p(a);
    case PointOp::expm1:
      return std::expm1(a);
    case PointOp::erf:
      return std::erf(a);
    case PointOp::tanh:
      return std::tanh(a);
    case PointOp::sigmoid:
      return 1 / (1 + std::exp(-a));
    case PointOp::sin:
      return std::sin(a);
    case PointOp::cos:
      return std::cos(a);
    case PointOp::tan:
      return std::tan(a);
    case PointOp::floor:
      return std::floor(a);
    case PointOp::ceil:
      return std::ceil(a);
    case PointOp::round:
      return std::nearbyint(a);
    case PointOp::trunc:
      return std::trunc(a);
    case PointOp::eq:
      return a == b;
    case PointOp::ne:
      return a != b;
    case PointOp::lt:
      return a < b;
    case PointOp::le:
      return a <= b;
    case PointOp::gt:
      return a > b;
    case PointOp::ge:
      return a >= b;
    case PointOp::logical_and:
      return a != 0 && b != 0;
    case PointOp::logical_or:
      return a != 0 || b != 0;
    case PointOp::logical_xor:
      return (a != 0) != (b != 0);
    case PointOp::logical_not:
      return a == 0;
    case PointOp::select:
      return a != 0 ? b : c;
    case PointOp::to_f32:
      return a;
    case PointOp::to_i32:
      return from == Lane::f32 ? std::trunc(std::isnan(a) ? 0 : std::clamp(a, -0x1p31, 0x1p31 - 1)) + 0.0  // no −0
                               : static_cast<double>(wrapped(whole(a), Lane::i32));
    case PointOp::to_i64:
    case PointOp::to_u64:
      return static_cast<double>(whole(a));
    case PointOp::to_mask:
      return a != 0;
    default:
      return std::nan("");
  }
}

}  // namespace

double evaluate(const Expr& expr, const std::vector<double>& operands) {
  std::vector<double> at;
  for (const PointInst& inst : expr.insts) {
    double v;
    if (inst.op == PointOp::input)
      v = operands[inst.a];
    else if (inst.op == PointOp::constant)
      v = inst.lane == Lane::f32 ? static_cast<double>(inst.value) : static_cast<double>(inst.integer);
    else
      v = apply(inst, expr.insts[inst.a].lane, at[inst.a], arity(inst.op) > 1 ? at[inst.b] : 0,
                arity(inst.op) > 2 ? at[inst.c] : 0);
    at.push_back(v);
  }
  return at.back();
}

}  // namespace kiln::testing
