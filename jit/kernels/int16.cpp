#include "jit/kernels/int16.h"

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// The largest integer, and the largest norm of 32 integers. With what rounding may add (3) the norm stays below
/// 2^15.5.
constexpr float kMost = 32766, kMostNorm = 46330;
/// The least scale. The square of every element that it converts to a non-zero integer is a normal float.
constexpr float kLeastScale = 3e-22F;
/// If it is added to a number below 2^22, the nearest integer is in the low bits of the sum.
constexpr float kRounder = 12582912;  // 1.5 · 2^23

/// row(dst, src, scale, sums); see emit_int16_rows.
Func emit_row(Emitter& e) {
  const int w = e.width();
  const int64_t vectors = kInt16Sum / w;
  const Func f = e.begin_function("int16_row", 4);
  const Int dst = e.param(0), src = e.param(1), scale = e.param(2), sums = e.param(3), i = e.integer();
  Vec most[2], part[2];
  const Vec norm = e.vec(), all = e.vec(), v = e.vec(), t = e.vec();
  for (Vec& m : most) e.splat(m = e.vec(), 0);
  for (Vec& p : part) p = e.vec();
  e.splat(norm, 0);
  e.splat(all, 0);
  e.for_range(i, 0, sums, 1, [&] {
    for (const Vec p : part) e.splat(p, 0);
    for (int64_t j = 0; j < vectors; ++j) {
      const Vec m = most[j % 2], p = part[j % 2];
      e.load(v, {src, j * w * kF});
      e.madd(p, v, v, p);
      e.op(VecUnary::abs, v, v);
      e.op(VecBinary::max, m, m, v);
    }
    e.op(VecBinary::add, part[0], part[0], part[1]);
    horizontal(e, VecBinary::add, part[0], t);
    e.op(VecBinary::max, norm, norm, part[0]);
    e.op(VecBinary::add, all, all, part[0]);
    add(e, src, src, kInt16Sum * kF);
  });
  e.op(IntOp::mul, i, sums, kInt16Sum * kF);
  e.op(IntOp::sub, src, src, i);

  e.op(VecBinary::max, most[0], most[0], most[1]);
  horizontal(e, VecBinary::max, most[0], t);
  const auto times = [&](Vec x, float factor) {
    e.splat(t, factor);
    e.op(VecBinary::mul, x, x, t);
  };
  times(most[0], 1 / kMost);
  e.op(VecUnary::sqrt, norm, norm);
  times(norm, 1 / kMostNorm);
  e.op(VecBinary::max, most[0], most[0], norm);
  e.splat(t, kLeastScale);
  e.op(VecBinary::max, most[0], most[0], t);
  e.splat(t, 0);
  e.madd(most[0], all, t, most[0]);  // NaN if a square was infinite
  e.store({scale, 0}, most[0], DType::f32, 1);
  const Vec per_unit = norm, rounder = all, low = part[0], high = part[1], mask = most[1];
  e.splat(per_unit, 1);
  e.op(VecBinary::div, per_unit, per_unit, most[0]);
  e.splat(rounder, kRounder);
  e.splat_i32(mask, 0xffff);
  e.for_range(i, 0, sums, 1, [&] {
    for (int64_t j = 0; j < vectors; j += 2) {
      e.load(low, {src, j * w * kF});
      e.load(high, {src, (j + 1) * w * kF});
      e.madd(low, low, per_unit, rounder);
      e.madd(high, high, per_unit, rounder);
      e.op(VecBinary::and_, low, low, mask);
      e.shift_left(high, high, 16);
      e.op(VecBinary::or_, low, low, high);
      e.store({dst, j / 2 * w * kF}, low, DType::i32, w);
    }
    add(e, src, src, kInt16Sum * kF);
    add(e, dst, dst, kInt16Words * kF);
  });
  e.end_function();
  return f;
}

}  // namespace

Func emit_int16_rows(Emitter& e) {
  return e.shared_function("int16_rows", [&] {
    const Func row = emit_row(e);
    const Func f = e.begin_function("int16_rows", 6);
    const Int dst = e.param(0), src = e.param(1), scale = e.param(2), left = e.param(3), pitch = e.param(4),
              sums = e.param(5), bytes = e.integer();
    e.op(IntOp::mul, bytes, sums, kInt16Words * kF);
    e.do_while(
        [&] {
          e.call(row, {dst, src, scale, sums});
          add(e, dst, dst, bytes);
          add(e, src, src, pitch);
          add(e, scale, scale, kF);
          add(e, left, left, -1);
        },
        left, Compare::gt, 0);
    e.end_function();
    return f;
  });
}

Func emit_columns_as_rows(Emitter& e) {
  return e.shared_function("int16_columns", [&] {
    const Func f = e.begin_function("int16_columns", 7);
    const Int dst = e.param(0), src = e.param(1), count = e.param(2), k = e.param(3), src_k = e.param(4),
              src_n = e.param(5), pitch = e.param(6);
    const Int end = e.integer(), i = e.integer(), j = e.integer(), to = e.integer(), from = e.integer(),
              value = e.integer();
    const auto each_column = [&](FunctionRef<void()> body) {
      e.set(to, dst);
      e.for_range(j, 0, count, 1, [&] {
        body();
        e.store_int({to, 0}, value, DType::i32);
        add(e, to, to, pitch);
      });
      add(e, dst, dst, kF);
    };
    e.for_range(i, 0, k, 1, [&] {
      e.set(from, src);
      each_column([&] {
        e.load_int(value, {from, 0}, DType::i32);
        add(e, from, from, src_n);
      });
      add(e, src, src, src_k);
    });
    e.set(value, 0);
    e.op(IntOp::div, end, pitch, kF);
    e.for_range(i, k, end, 1, [&] { each_column([] {}); });
    e.end_function();
    return f;
  });
}

ContractionSpec int16_product(const ContractionSpec& s) {
  ContractionSpec p = s;
  p.kh = int16_sums(s.k), p.k = kInt16Words;
  p.a_col = int16_words(s.k), p.a_tap_row = kInt16Words, p.a_tap_col = kInt16Words;
  constexpr int kScales = 2;
  Expr sum;
  const uint16_t scale = sum.binary(PointOp::mul, sum.input(1), sum.input(2));
  sum.binary(PointOp::mul, sum.input(0), scale);
  p.epilogue.operands = {{DType::f32, {0, 0, 0, 1, 0}}, {DType::f32, {0, 0, 0, 0, 1}}};
  p.epilogue.operands.insert(p.epilogue.operands.end(), s.epilogue.operands.begin(), s.epilogue.operands.end());
  std::vector<int> outer;
  for (size_t i = 0; i <= s.epilogue.operands.size(); ++i) outer.push_back(static_cast<int>(i) + kScales);
  p.epilogue.expr = s.epilogue.empty() ? sum : compose(s.epilogue.expr, 0, sum, outer, {0, 1, 2});
  return p;
}

bool int16_fits(const ContractionSpec& s, const Target& target) {
  return s.k % kInt16Sum == 0 && kInt16Sum % (2 * target.width) == 0;
}

bool int16_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target) {
  const ContractionSpec s = flattened(spec);
  return s.int16 && s.batch[0] * s.batch[1] * s.oh * s.kh * s.kw == 1 && int16_fits(s, target) &&
         schedule.order == LoopOrder::rows_outer && size_of(stored_type(s.epilogue)) == kF;
}

}  // namespace kiln
