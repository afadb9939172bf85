#include "jit/kernels/attention_row.h"

#include <algorithm>

#include "jit/kernels/loops.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// How many vectors of a row of V are computed at a time, each a chain of its own.
constexpr int64_t kVectors = 8;

}  // namespace

Func emit_weigh_row(Emitter& e, const WeighedRows& rows, const std::string& name) {
  const int64_t columns = rows.columns, chunk = kVectors * e.width();
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
    each_vector([&](size_t, int64_t column, int lanes) {
      sums.push_back(e.vec());
      rows.add ? e.load(sums.back(), {out, column * kF}, DType::f32, lanes) : e.splat(sums.back(), 0);
    });
    e.set(weight, weights);
    e.set(row, v);
    e.for_range(i, 0, rows.keys, 1, [&] {
      e.splat_load(w, {weight, 0});
      each_vector([&](size_t at, int64_t column, int lanes) {
        e.load(x, {row, column * kF}, DType::f32, lanes);
        e.madd(sums[at], w, x, sums[at]);
      });
      add(e, weight, weight, kF);
      add(e, row, row, rows.row * kF);
    });
    each_vector([&](size_t at, int64_t column, int lanes) {
      e.store({out, column * kF}, sums[at], DType::f32, lanes);
    });
  }
  e.end_function();
  return f;
}

}  // namespace kiln
