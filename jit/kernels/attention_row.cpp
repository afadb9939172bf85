#include "jit/kernels/attention_row.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// Keys at a time: chains of multiply-adds that hide their latency, and one load of the query for all of them.
constexpr int64_t kKeys = 4;
/// Vectors of a row of V at a time; as many chains.
constexpr int64_t kVectors = 8;

/// dots(query, keys, out): `count` keys against the query.
void emit_dots(Emitter& e, const AttentionSpec& s, Int query, Int keys, Int out, int64_t count) {
  std::vector<Vec> sums;
  for (int64_t i = 0; i < count; ++i) e.splat(sums.emplace_back(e.vec()), 0);
  const Vec q = e.vec(), k = e.vec();
  for_vectors(e, s.scores.k, 4, {query, keys}, {kF, kF}, [&](int64_t at, int lanes) {
    e.load(q, {query, at * kF}, DType::f32, lanes);
    for (int64_t i = 0; i < count; ++i) {
      e.load(k, {keys, (i * s.k_row + at) * kF}, DType::f32, lanes);
      e.madd(sums[static_cast<size_t>(i)], q, k, sums[static_cast<size_t>(i)]);
    }
  });
  for (int64_t i = 0; i < count; ++i) {
    horizontal(e, VecBinary::add, sums[static_cast<size_t>(i)], k);
    e.store({out, i * kF}, sums[static_cast<size_t>(i)], DType::f32, 1);
  }
}

}  // namespace

Func emit_score_row(Emitter& e, const AttentionSpec& s, const std::string& name) {
  const Epilogue& epilogue = s.scores.epilogue;
  const std::vector<FusedOperand>& fused = epilogue.operands;
  const int64_t keys = s.scores.n, rounds = keys / kKeys;
  const Func f = e.begin_function(name, static_cast<int>(3 + fused.size()));
  const Int query = e.param(0), k = e.param(1), out = e.param(2), i = e.integer();
  e.for_range(i, 0, rounds, 1, [&] {
    emit_dots(e, s, query, k, out, kKeys);
    add(e, k, k, kKeys * s.k_row * kF);
    add(e, out, out, kKeys * kF);
  });
  emit_dots(e, s, query, k, out, keys % kKeys);
  add(e, out, out, -rounds * kKeys * kF);
  if (!epilogue.empty()) {
    std::vector<Int> bases{out};
    std::vector<int64_t> steps{kF};
    for (size_t o = 0; o < fused.size(); ++o) {
      bases.push_back(e.param(static_cast<int>(3 + o)));
      steps.push_back(fused[o].strides.back() * size_of(fused[o].dtype));
    }
    for_vectors(e, keys, 2, bases, steps, [&](int64_t at, int lanes) {
      const Vec x = e.vec();
      e.load(x, {out, at * kF}, DType::f32, lanes);
      const Vec y = apply_epilogue(e, epilogue, x, lanes, [&](int o) {
        const auto operand = static_cast<size_t>(1 + o);
        return Mem{bases[operand], at * steps[operand]};
      });
      e.store({out, at * kF}, y, DType::f32, lanes);
    });
  }
  e.end_function();
  return f;
}

Func emit_weigh_row(Emitter& e, const AttentionSpec& s, const std::string& name) {
  const int64_t columns = s.values.n, keys = s.values.k, chunk = kVectors * e.width();
  const Func f = e.begin_function(name, 3);
  const Int weights = e.param(0), v = e.param(1), out = e.param(2);
  const Int weight = e.integer(), row = e.integer(), i = e.integer();
  const Vec w = e.vec(), x = e.vec();
  for (int64_t begin = 0; begin < columns; begin += chunk) {
    const int64_t width = std::min(chunk, columns - begin);
    const auto each_vector = [&](FunctionRef<void(size_t vector, int64_t column, int lanes)> body) {
      for (int64_t at = 0; at < width; at += e.width())
        body(static_cast<size_t>(at / e.width()), begin + at,
             static_cast<int>(std::min<int64_t>(e.width(), width - at)));
    };
    std::vector<Vec> sums;
    each_vector([&](size_t, int64_t, int) { e.splat(sums.emplace_back(e.vec()), 0); });
    e.set(weight, weights);
    e.set(row, v);
    e.for_range(i, 0, keys, 1, [&] {
      e.splat_load(w, {weight, 0});
      each_vector([&](size_t at, int64_t column, int lanes) {
        e.load(x, {row, column * kF}, DType::f32, lanes);
        e.madd(sums[at], w, x, sums[at]);
      });
      add(e, weight, weight, kF);
      add(e, row, row, s.v_row * kF);
    });
    each_vector([&](size_t at, int64_t column, int lanes) {
      e.store({out, column * kF}, sums[at], DType::f32, lanes);
    });
  }
  e.end_function();
  return f;
}

}  // namespace kiln
