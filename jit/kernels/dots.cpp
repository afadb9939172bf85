#include "jit/kernels/dots.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/cascade.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/rounded.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// The number of chains of multiply-adds that hide their latency. Long rows take all chains for one row, because memory
/// delivers a single stream fastest. Short rows take one chain each, and share the loads of x.
constexpr int64_t kChains = 8, kLongRow = 256, kShortRows = 4;
int64_t rows_at_once(int64_t k) { return k >= kLongRow ? 1 : kShortRows; }
/// Terms that a chain adds before its sum goes to the next level. Layers with tens of thousands of terms need no more.
constexpr int64_t kChainRun = 512;
/// Rows of a unit of work.
constexpr int64_t kUnit = 64;

/// `count` rows against x.
void emit_sums(Emitter& e, int64_t k, int64_t row, Int x, Int rows, Int sums, int64_t count) {
  const int64_t unroll = kChains / rows_at_once(k);
  const auto chains = static_cast<size_t>(std::min<int64_t>(unroll, ceil_div(k, e.width())));
  std::vector<Vec> partial(static_cast<size_t>(count) * chains);
  for (Vec& v : partial) e.splat(v = e.vec(), 0);
  const Vec a = e.vec(), b = e.vec();
  const auto multiply = [&](int64_t at, int lanes) {
    e.load(a, {x, at * kF}, DType::f32, lanes);
    for (int64_t i = 0; i < count; ++i) {
      const Vec sum = partial[static_cast<size_t>(i) * chains + static_cast<size_t>(at / e.width())];
      e.load(b, {rows, (i * row + at) * kF}, DType::f32, lanes);
      e.madd(sum, a, b, sum);
    }
  };
  const int64_t chunk = unroll * e.width(), rounds = k / chunk;
  for_vectors(e, rounds, k % chunk, static_cast<int>(unroll), {x, rows}, {kF, kF}, multiply,
              [&](FunctionRef<void()> round) { Cascade(e, partial, kChainRun).loop(rounds, 1, round); });
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const Vec sum = partial[i * chains];
    for (size_t c = 1; c < chains; ++c) e.op(VecBinary::add, sum, sum, partial[i * chains + c]);
    horizontal(e, VecBinary::add, sum, b);
    e.store({sums, static_cast<int64_t>(i) * kF}, sum, DType::f32, 1);
  }
}

/// One rounded row against x, in several chains, because memory delivers a single stream fastest.
void emit_rounded_sum(Emitter& e, int64_t k, Int x, Int row, Int sum) {
  std::vector<Vec> partial(static_cast<size_t>(std::min<int64_t>(kChains, ceil_div(k, e.width()))));
  for (Vec& v : partial) e.splat(v = e.vec(), 0);
  const Vec a = e.vec();
  for_rounded(e, k, kChains, row, {x}, {kF}, [&](int64_t at, int lanes, Vec value) {
    const Vec chain = partial[static_cast<size_t>(at / e.width())];
    e.load(a, {x, at * kF}, DType::f32, lanes);
    e.madd(chain, a, value, chain);
  });
  for (size_t c = 1; c < partial.size(); ++c) e.op(VecBinary::add, partial[0], partial[0], partial[c]);
  horizontal(e, VecBinary::add, partial[0], a);
  e.store({sum, 0}, partial[0], DType::f32, 1);
}

}  // namespace

Func emit_dots(Emitter& e, const ContractionSpec& product, int64_t row, const std::string& name) {
  const Epilogue& epilogue = product.epilogue;
  const std::vector<FusedOperand>& fused = epilogue.operands;
  const DType out_type = stored_type(epilogue);
  const int64_t at_once = product.rounded ? 1 : rows_at_once(product.k), rounds = product.n / at_once;
  const Func f = e.begin_function(name, static_cast<int>(4 + fused.size() + product.rounded));
  const Int x = e.param(0), rows = e.param(1), sums = e.param(2), out = e.param(3), i = e.integer();
  e.for_range(i, 0, rounds, 1, [&] {
    product.rounded ? emit_rounded_sum(e, product.k, x, rows, sums)
                    : emit_sums(e, product.k, row, x, rows, sums, at_once);
    add(e, rows, rows, at_once * row * kF);
    add(e, sums, sums, at_once * kF);
  });
  if (product.n % at_once) emit_sums(e, product.k, row, x, rows, sums, product.n % at_once);
  add(e, sums, sums, -rounds * at_once * kF);
  std::vector<Int> bases{sums, out};
  std::vector<int64_t> steps{kF, size_of(out_type)};
  for (size_t o = 0; o < fused.size(); ++o) {
    bases.push_back(e.param(static_cast<int>(4 + o)));
    steps.push_back(fused[o].strides.back() * size_of(fused[o].dtype));
  }
  if (product.rounded) {
    bases.push_back(e.param(static_cast<int>(4 + fused.size())));
    steps.push_back(kF);
  }
  for_vectors(e, product.n, 2, bases, steps, [&](int64_t at, int lanes) {
    Vec v = e.vec();
    e.load(v, {sums, at * kF}, DType::f32, lanes);
    if (product.rounded) {
      const Vec scale = e.vec();
      e.load(scale, {bases.back(), at * kF}, DType::f32, lanes);
      e.op(VecBinary::mul, v, v, scale);
    }
    if (!epilogue.empty())
      v = apply_epilogue(e, epilogue, v, lanes, [&](int o) {
        const auto operand = static_cast<size_t>(2 + o);
        return Mem{bases[operand], at * steps[operand]};
      });
    e.store({out, at * steps[1]}, v, out_type, lanes);
  });
  e.end_function();
  return f;
}

Func emit_matrix_vector(Emitter& e, const ContractionSpec& spec, const std::string& name) {
  const std::vector<FusedOperand>& fused = spec.epilogue.operands;
  const auto dots = [&](int64_t columns) {
    ContractionSpec part = spec;
    part.n = columns;
    return emit_dots(e, part, spec.b_row, name + "_dots" + std::to_string(columns));
  };
  const int64_t full = spec.n / kUnit, tail = spec.n % kUnit;
  Func whole{}, last{};
  if (full) whole = dots(kUnit);
  if (tail) last = dots(tail);
  const Func f = e.begin_function(name, static_cast<int>(6 + fused.size()));
  const int64_t blocks = ceil_div(spec.n, kUnit);
  UnitOperands operands(e, {spec.batch[0], spec.batch[1], blocks});
  operands.add(4, kF, {spec.a_batch[0], spec.a_batch[1]});
  operands.add(5, kF, {spec.b_batch[0], spec.b_batch[1], kUnit * spec.b_row});
  operands.add(3, size_of(stored_type(spec.epilogue)), {spec.c_batch[0], spec.c_batch[1], kUnit});
  for (size_t o = 0; o < fused.size(); ++o)
    operands.add(static_cast<int>(6 + o), size_of(fused[o].dtype),
                 {fused[o].strides[0], fused[o].strides[1], kUnit * fused[o].strides.back()});
  if (spec.rounded) operands.add(5, kF, {0, 0, kUnit});  // scales, behind the rows
  const Int block = e.integer();
  for_units(e, [&](Int unit) {
    std::vector<Arg> args = operands.at(unit);
    if (spec.rounded) add(e, args.back().reg, args.back().reg, spec.n * spec.b_row * kF);
    args.insert(args.begin() + 2, e.param(2));
    if (!tail) return e.call(whole, args);
    if (!full) return e.call(last, args);
    e.op(IntOp::rem, block, unit, blocks);
    e.if_(
        block, Compare::lt, full, [&] { e.call(whole, args); }, [&] { e.call(last, args); });
  });
  e.end_function();
  return f;
}

int64_t matrix_vector_units(const ContractionSpec& spec) {
  return spec.batch[0] * spec.batch[1] * ceil_div(spec.n, kUnit);
}
int64_t matrix_vector_scratch() { return kUnit * kF; }

}  // namespace kiln
