// Scattering over random shapes, strides and types, in order, with hostile indices.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

/// What an element becomes. Whole numbers wrap; NaN stays, and comes in.
template <class T>
T updated(ScatterKind kind, T old, T by) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    if (kind == ScatterKind::sum) return static_cast<T>(static_cast<Unsigned>(old) + static_cast<Unsigned>(by));
    if (kind == ScatterKind::prod) return static_cast<T>(static_cast<Unsigned>(old) * static_cast<Unsigned>(by));
  }
  switch (kind) {
    case ScatterKind::sum:
      return static_cast<T>(old + by);
    case ScatterKind::prod:
      return static_cast<T>(old * by);
    case ScatterKind::max:
      return old != old || old > by ? old : by;
    case ScatterKind::min:
      return old != old || old < by ? old : by;
    default:
      return by;
  }
}

template <class T, class Index>
void check(const Target& target, Random& random, DType type, DType index_type) {
  ScatterSpec s;
  s.dtype = type, s.index_dtype = index_type;
  if (size_of(type) > 1) s.kind = static_cast<ScatterKind>(pick(random, 0, 4));
  s.rows = pick(random, 1, 9);
  for (int64_t d = pick(random, 1, 3); d-- > 0;) s.dims.push_back(pick(random, 0, 3) ? pick(random, 1, 5) : 40);
  for (int64_t d = pick(random, 1, 2); d-- > 0;) s.serial.push_back(pick(random, 1, 6));
  const auto both = [&](std::vector<int64_t>& own, std::vector<int64_t>& others, const Sizes& rest) {
    Sizes dims = s.dims;
    dims.insert(dims.end(), rest.begin(), rest.end());
    const Sizes strides = random_strides(random, dims);
    own.assign(strides.begin(), strides.begin() + static_cast<long>(s.dims.size()));
    others.assign(strides.begin() + static_cast<long>(s.dims.size()), strides.end());
    return extent(dims, strides);
  };
  std::vector<int64_t> row;
  Guarded<T> out(both(s.out, row, {s.rows})), updates(both(s.updates, s.serial_updates, s.serial));
  s.out_row = row[0];
  Guarded<Index> index(both(s.index, s.serial_index, s.serial));
  if (pick(random, 0, 1)) std::fill(s.index.begin(), s.index.end(), 0);  // slices: one index for all
  const auto number = [&] {
    if constexpr (std::is_floating_point_v<T>)
      if (pick(random, 0, 15) == 0) return std::numeric_limits<T>::quiet_NaN();
    return static_cast<T>(pick(random, -9, 9));
  };
  for (int64_t i = 0; i < out.size(); ++i) out[i] = number();
  for (int64_t i = 0; i < updates.size(); ++i) updates[i] = number();
  for (int64_t i = 0; i < index.size(); ++i) {
    index[i] = static_cast<Index>(pick(random, -s.rows, s.rows - 1));
    if (pick(random, 0, 15)) continue;
    const Index bad[] = {static_cast<Index>(s.rows),
                         static_cast<Index>(-s.rows - 1),
                         std::numeric_limits<Index>::max(),
                         std::numeric_limits<Index>::min(),
                         static_cast<Index>(sizeof(Index) == 8 ? (int64_t{1} << 32) : s.rows),
                         static_cast<Index>(sizeof(Index) == 8 ? (int64_t{-3} * (int64_t{1} << 32)) : -s.rows - 2)};
    index[i] = bad[pick(random, 0, 5)];
  }
  std::vector<T> expected(out.data(), out.data() + out.size());
  bool hostile = false;
  each_index(s.dims, [&](const Sizes& o) {
    each_index(s.serial, [&](const Sizes& j) {
      auto at = static_cast<int64_t>(index[dot(o, s.index) + dot(j, s.serial_index)]);
      if (at < -s.rows || at >= s.rows) return void(hostile = true);
      if (at < 0) at += s.rows;
      T& to = expected[static_cast<size_t>(dot(o, s.out) + at * s.out_row)];
      to = updated(s.kind, to, updates[dot(o, s.updates) + dot(j, s.serial_updates)]);
    });
  });
  Guarded<int32_t> status_word(1);
  status_word[0] = kStatusOk;
  Kernel kernel(target, s);
  kernel.allow(out.data(), out.bytes());
  kernel.allow(index.data(), index.bytes());
  kernel.allow(updates.data(), updates.bytes());
  kernel.allow(status_word.data(), 4);
  const std::string what = to_string(KernelSpec(s)) + " on " + to_string(target);
  const Status status = kernel.run({out.data(), out.data(), index.data(), updates.data(), status_word.data()},
                                   static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << what;
  EXPECT_EQ(status_word[0], hostile ? kStatusBadIndex : kStatusOk) << what;
  for (int64_t i = 0; i < out.size(); ++i) {
    const T got = out[i], wanted = expected[static_cast<size_t>(i)];
    ASSERT_TRUE(got == wanted || (got != got && wanted != wanted)) << got << " for " << wanted << " at " << i << what;
  }
  EXPECT_TRUE(out.intact() && updates.intact() && index.intact()) << what;
}

TEST(Scatter, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(17);
    for (int i = 0; i < 12; ++i) {
      check<float, int64_t>(target, random, DType::f32, DType::i64);
      check<float, int32_t>(target, random, DType::f32, DType::i32);
      check<int32_t, int64_t>(target, random, DType::i32, DType::i64);
      check<int64_t, int32_t>(target, random, DType::i64, DType::i32);
      check<uint8_t, int64_t>(target, random, DType::u8, DType::i64);
    }
  }
}

}  // namespace
}  // namespace kiln
