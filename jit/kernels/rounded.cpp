#include "jit/kernels/rounded.h"

#include <algorithm>

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// The largest integer. With the bits of another one below it, it never overflows a word. Rows of zeros have a scale
/// too.
constexpr float kMost = 32766, kLow = 65536, kLeast = 1e-25F;

/// round(dst, src, scale): one row of k floats. An element that is not finite makes the scale NaN.
Func emit_round_row(Emitter& e, int64_t k, const std::string& name) {
  constexpr int kChains = 4;
  const int w = e.width();
  const Func f = e.begin_function(name, 3);
  const Int dst = e.param(0), src = e.param(1), scale = e.param(2), i = e.integer();
  Vec most[kChains];
  for (Vec& m : most) e.splat(m = e.vec(), kLeast);
  const Vec zero = e.vec(), none = e.vec(), low = e.vec(), high = e.vec(), per_unit = e.vec(), fraction = e.vec();
  e.splat(zero, 0);
  e.splat(none, 0);
  for_vectors(e, k, kChains, {src}, {kF}, [&](int64_t at, int lanes) {
    const Vec m = most[at / w];
    e.load(low, {src, at * kF}, DType::f32, lanes);
    e.madd(none, low, zero, none);
    e.op(VecUnary::abs, low, low);
    e.op(VecBinary::max, m, m, low);
  });
  for (int c = 1; c < kChains; ++c) e.op(VecBinary::max, most[0], most[0], most[c]);
  horizontal(e, VecBinary::max, most[0], low);
  horizontal(e, VecBinary::add, none, low);
  e.splat(per_unit, kMost);
  e.op(VecBinary::div, per_unit, per_unit, most[0]);
  e.splat(fraction, 1 / (kMost * kLow));
  e.madd(most[0], most[0], fraction, none);
  e.store({scale, 0}, most[0], DType::f32, 1);
  e.splat(fraction, 1 / kLow);
  const auto pair = [&](int64_t elements) {
    const int first = static_cast<int>(std::min<int64_t>(elements, w)), second = static_cast<int>(elements) - first;
    const auto scaled = [&](Vec v, int64_t at, int lanes) {
      lanes ? e.load(v, {src, at * kF}, DType::f32, lanes) : e.splat(v, 0);
      e.op(VecBinary::mul, v, v, per_unit);
    };
    scaled(low, 0, first);
    scaled(high, w, second);
    e.op(VecUnary::round, low, low);
    e.nmadd(high, low, fraction, high);
    e.op(VecUnary::round, high, high);
    e.op(VecUnary::f32_to_i32, low, low);
    e.op(VecUnary::f32_to_i32, high, high);
    e.shift_left(high, high, 16);
    e.op(VecBinary::i32_add, high, high, low);
    e.store({dst, 0}, high, DType::i32, w);
  };
  e.for_range(i, 0, k / (2 * w), 1, [&] {
    pair(2 * w);
    add(e, src, src, 2 * w * kF);
    add(e, dst, dst, w * kF);
  });
  if (k % (2 * w)) pair(k % (2 * w));
  e.end_function();
  return f;
}

}  // namespace

void for_rounded(Emitter& e, int64_t k, int unroll, Int row, const std::vector<Int>& bases,
                 const std::vector<int64_t>& steps, FunctionRef<void(int64_t element, int lanes, Vec value)> body) {
  std::vector<Int> all{row};
  std::vector<int64_t> bytes{kF / 2};
  all.insert(all.end(), bases.begin(), bases.end());
  bytes.insert(bytes.end(), steps.begin(), steps.end());
  const Vec words = e.vec(), value = e.vec();
  for_vectors(e, k, unroll, all, bytes, [&](int64_t at, int lanes) {
    const bool first = at / e.width() % 2 == 0;
    if (first) {
      e.load(words, {row, at * kF / 2}, DType::i32, e.width());
      e.shift_left(value, words, 16);
    }
    e.op(VecUnary::i32_to_f32, value, first ? value : words);
    body(at, lanes, value);
  });
}

Func emit_round(Emitter& e, const PackSpec& spec, const std::string& name) {
  const Func row = emit_round_row(e, spec.k, name + "_row");
  const Func f = e.begin_function(name, 7);
  const Int scales = e.integer(), dst = e.integer(), src = e.integer(), scale = e.integer();
  const Int src_n = e.param(5);
  add(e, scales, e.param(3), e.param(6));
  for_units(e, [&](Int unit) {
    e.op(IntOp::mul, dst, unit, rounded_row(spec.k) * kF);
    add(e, dst, dst, e.param(3));
    e.op(IntOp::mul, src, unit, src_n);
    add(e, src, src, e.param(4));
    e.op(IntOp::mul, scale, unit, kF);
    add(e, scale, scale, scales);
    e.call(row, {dst, src, scale});
  });
  e.end_function();
  return f;
}

KernelCode round_code(const PackSpec& spec) {
  PackSpec code;
  code.k = spec.k, code.scales = 1;
  return {code, {}};
}

std::vector<int64_t> round_sizes(const PackSpec& spec) { return {spec.src_n * kF, spec.scales * kF}; }

}  // namespace kiln
