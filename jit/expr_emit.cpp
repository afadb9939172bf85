#include "jit/expr_emit.h"

#include <cmath>

#include "jit/math.h"

namespace kiln {
namespace {

using integer::Wide;

class ExprEmitter {
 public:
  ExprEmitter(Emitter& emitter, const Expr& expr, const std::vector<Wide>& inputs)
      : e_(emitter), expr_(expr), inputs_(inputs) {}

  Wide run() {
    regs_.reserve(expr_.insts.size());
    for (const PointInst& i : expr_.insts) regs_.push_back(emit(i));
    return regs_.back();
  }

 private:
  Wide emit(const PointInst& i) {
    switch (i.op) {
      case PointOp::input:
        return inputs_[i.a];
      case PointOp::constant:
        return constant(i);
      case PointOp::select: {
        if (is_pair(i.lane)) return integer::select(e_, regs_[i.a].low, regs_[i.b], regs_[i.c]);
        const Vec v = e_.vec();
        e_.select(v, regs_[i.a].low, regs_[i.b].low, regs_[i.c].low);
        return {v};
      }
      default:
        break;
    }
    const bool two = arity(i.op) == 2;
    if (is_pair(lane_of(i.a))) return two ? binary(i, regs_[i.a], regs_[i.b]) : unary(i, regs_[i.a]);
    if (is_pair(i.lane)) return to_pair(i);
    return {two ? binary(i, regs_[i.a].low, regs_[i.b].low) : unary(i, regs_[i.a].low)};
  }
  Wide constant(const PointInst& i) {
    if (is_pair(i.lane)) return integer::constant(e_, i.integer);
    const bool zeros = i.lane == Lane::f32 ? i.value == 0 && !std::signbit(i.value) : i.integer == 0;
    if (zeros && !inputs_.empty()) return {zero()};
    if (i.lane == Lane::f32) return {splat(i.value)};
    return {splat_i32(static_cast<int32_t>(i.lane == Lane::mask ? -i.integer : i.integer))};
  }
  Lane lane_of(uint16_t index) const { return expr_.insts[index].lane; }
  Vec splat(float value) {
    const Vec v = e_.vec();
    e_.splat(v, value);
    return v;
  }
  Vec splat_i32(int32_t value) {
    const Vec v = e_.vec();
    e_.splat_i32(v, value);
    return v;
  }
  /// A zero that is not made as a constant. Firefox keeps equal constants of a function in one register for all of
  /// their life. If sums begin as zeros, a ReLU after the loop would take a register from the loop.
  Vec zero() { return op(VecBinary::xor_, inputs_[0].low, inputs_[0].low); }
  Vec op(VecUnary o, Vec a) {
    const Vec v = e_.vec();
    e_.op(o, v, a);
    return v;
  }
  Vec op(VecBinary o, Vec a, Vec b) {
    const Vec v = e_.vec();
    e_.op(o, v, a, b);
    return v;
  }
  Vec compare(Lane lane, Compare c, Vec a, Vec b) {
    const Vec v = e_.vec();
    e_.compare(v, lane, c, a, b);
    return v;
  }
  /// PyTorch's min and max give NaN if either operand is NaN, and the second of two zeros. The emitter's give NaN only
  /// if the first operand is NaN.
  Vec nan_aware(VecBinary o, Vec a, Vec b) {
    const Vec r = e_.vec();
    e_.select(r, compare(Lane::f32, Compare::eq, a, a), op(o, b, a), a);  // a NaN in b passes through
    return r;
  }

  Vec binary(const PointInst& i, Vec a, Vec b) {
    const bool f32 = lane_of(i.a) == Lane::f32;
    switch (i.op) {
      case PointOp::add:
        return op(f32 ? VecBinary::add : VecBinary::i32_add, a, b);
      case PointOp::sub:
        return op(f32 ? VecBinary::sub : VecBinary::i32_sub, a, b);
      case PointOp::mul:
        return op(f32 ? VecBinary::mul : VecBinary::i32_mul, a, b);
      case PointOp::min:
        return f32 ? min_max(VecBinary::min, i, a, b) : op(VecBinary::i32_min, a, b);
      case PointOp::max:
        return f32 ? min_max(VecBinary::max, i, a, b) : op(VecBinary::i32_max, a, b);
      case PointOp::div:
        return f32 ? op(VecBinary::div, a, b) : integer::divide(e_, a, b);
      case PointOp::pow:
        return f32 ? math::pow(e_, a, b) : widened(i, a, b);
      case PointOp::atan2:
        return math::atan2(e_, a, b);
      case PointOp::fmod:
        if (f32) return math::fmod(e_, a, b);
        return op(VecBinary::i32_sub, a, op(VecBinary::i32_mul, integer::divide(e_, a, b), b));
      case PointOp::shl:
      case PointOp::shr:
        return widened(i, a, b);
      case PointOp::logical_and:
        return op(VecBinary::and_, a, b);
      case PointOp::logical_or:
        return op(VecBinary::or_, a, b);
      case PointOp::logical_xor:
        return op(VecBinary::xor_, a, b);
      default:
        return compare(f32 ? Lane::f32 : Lane::i32, compare_of(i.op), a, b);
    }
  }
  /// i32 operations without code of their own: the low half of the 64-bit result.
  Vec widened(const PointInst& i, Vec a, Vec b) {
    return binary(i, integer::from_i32(e_, a), integer::from_i32(e_, b)).low;
  }
  Wide binary(const PointInst& i, const Wide& a, const Wide& b) {
    const bool is_signed = lane_of(i.a) == Lane::i64 || lane_of(i.a) == Lane::i32;
    switch (i.op) {
      case PointOp::add:
        return integer::add(e_, a, b);
      case PointOp::sub:
        return integer::subtract(e_, a, b);
      case PointOp::mul:
        return integer::multiply(e_, a, b);
      case PointOp::min:
        return integer::select(e_, integer::compare(e_, Compare::lt, a, b, is_signed), a, b);
      case PointOp::max:
        return integer::select(e_, integer::compare(e_, Compare::lt, a, b, is_signed), b, a);
      case PointOp::div:
        return integer::divide(e_, a, b, is_signed);
      case PointOp::fmod:
        return integer::subtract(e_, a, integer::multiply(e_, integer::divide(e_, a, b, is_signed), b));
      case PointOp::pow:
        return integer::power(e_, a, b, is_signed);
      case PointOp::logical_and:
        return integer::bits(e_, VecBinary::and_, a, b);
      case PointOp::logical_or:
        return integer::bits(e_, VecBinary::or_, a, b);
      case PointOp::logical_xor:
        return integer::bits(e_, VecBinary::xor_, a, b);
      case PointOp::shl:
      case PointOp::shr: {
        const PointInst& by = expr_.insts[i.b];  // a number that is known, mostly
        if (by.op == PointOp::constant) return integer::shift(e_, i.op, a, by.integer, is_signed);
        return integer::shift(e_, i.op, a, b, is_signed);
      }
      default:
        return {integer::compare(e_, compare_of(i.op), a, b, is_signed)};
    }
  }
  Wide unary(const PointInst& i, const Wide& a) {
    const bool is_signed = lane_of(i.a) == Lane::i64;
    switch (i.op) {
      case PointOp::neg:
        return integer::subtract(e_, integer::constant(e_, 0), a);
      case PointOp::abs:
        return is_signed ? integer::absolute(e_, a) : a;
      case PointOp::to_f32:
        return {integer::to_f32(e_, a, is_signed)};
      case PointOp::to_i32:
        return {a.low};
      case PointOp::to_mask:
        return {integer::to_mask(e_, a)};
      default:  // to_i64, to_u64
        return a;
    }
  }
  Wide to_pair(const PointInst& i) {
    const Vec a = regs_[i.a].low;
    switch (lane_of(i.a)) {
      case Lane::f32:
        return i.op == PointOp::to_u64 ? integer::unsigned_from_f32(e_, a) : integer::from_f32(e_, a);
      case Lane::mask:
        return {op(VecBinary::and_, a, splat_i32(1)), splat_i32(0)};
      default:
        return integer::from_i32(e_, a);
    }
  }
  static Compare compare_of(PointOp op) {
    return static_cast<Compare>(static_cast<int>(op) - static_cast<int>(PointOp::eq));
  }
  /// With a constant operand (relu, clamp) the order of operands is enough to keep a NaN: min(a,b) is b < a ? b : a.
  Vec min_max(VecBinary o, const PointInst& i, Vec a, Vec b) {
    for (uint16_t operand : {i.a, i.b})
      if (std::isnan(expr_.insts[operand].value)) return regs_[operand].low;
    if (expr_.insts[i.b].op == PointOp::constant) return op(o, a, b);
    if (expr_.insts[i.a].op == PointOp::constant) return op(o, b, a);
    return nan_aware(o, a, b);
  }

  Vec unary(const PointInst& i, Vec a) {
    const Lane from = lane_of(i.a);
    const bool f32 = from == Lane::f32;
    switch (i.op) {
      case PointOp::neg:
        return op(f32 ? VecUnary::neg : VecUnary::i32_neg, a);
      case PointOp::abs:
        return op(f32 ? VecUnary::abs : VecUnary::i32_abs, a);
      case PointOp::sqrt:
        return op(VecUnary::sqrt, a);
      case PointOp::rsqrt:
        return op(VecBinary::div, splat(1), op(VecUnary::sqrt, a));
      case PointOp::reciprocal:
        return op(VecBinary::div, splat(1), a);
      case PointOp::exp:
        return math::exp(e_, a);
      case PointOp::exp2:
        return math::exp2(e_, a);
      case PointOp::log:
        return math::log(e_, a);
      case PointOp::log10:
        return math::log10(e_, a);
      case PointOp::log2:
        return math::log2(e_, a);
      case PointOp::log1p:
        return math::log1p(e_, a);
      case PointOp::expm1:
        return math::expm1(e_, a);
      case PointOp::erf:
        return math::erf(e_, a);
      case PointOp::tanh:
        return math::tanh(e_, a);
      case PointOp::sigmoid:
        return math::sigmoid(e_, a);
      case PointOp::sin:
        return math::sin(e_, a);
      case PointOp::cos:
        return math::cos(e_, a);
      case PointOp::tan:
        return math::tan(e_, a);
      case PointOp::floor:
        return op(VecUnary::floor, a);
      case PointOp::ceil:
        return op(VecUnary::ceil, a);
      case PointOp::round:
        return op(VecUnary::round, a);
      case PointOp::trunc:
        return op(VecUnary::trunc, a);
      case PointOp::logical_not:
        return op(VecUnary::not_, a);
      case PointOp::to_f32:
        if (from == Lane::mask) return op(VecBinary::and_, a, splat(1));
        return from == Lane::i32 ? op(VecUnary::i32_to_f32, a) : a;
      case PointOp::to_i32:
        if (from == Lane::mask) return op(VecBinary::and_, a, splat_i32(1));
        return f32 ? op(VecUnary::f32_to_i32, a) : a;
      default:  // to_mask
        if (from == Lane::mask) return a;
        return compare(from, Compare::ne, a, f32 ? splat(0) : splat_i32(0));
    }
  }

  Emitter& e_;
  const Expr& expr_;
  const std::vector<Wide>& inputs_;
  std::vector<Wide> regs_;
};

}  // namespace

Wide emit_wide_expr(Emitter& e, const Expr& expr, const std::vector<Wide>& inputs) {
  return ExprEmitter(e, expr, inputs).run();
}

Vec emit_expr(Emitter& e, const Expr& expr, const std::vector<Vec>& inputs) {
  std::vector<Wide> wide;
  for (const Vec v : inputs) wide.push_back({v});
  return emit_wide_expr(e, expr, wide).low;
}

}  // namespace kiln
