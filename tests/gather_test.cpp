// Rows by index: every dtype by its size, both index types, negative and hostile indices.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

template <class Index>
void check_random(const Target& target, Random& random, DType dtype, DType index_dtype) {
  GatherSpec s;
  s.dtype = dtype;
  s.index_dtype = index_dtype;
  s.slice = pick(random, 0, 1) ? pick(random, 1, 9) : pick(random, 10, 90);
  s.rows = pick(random, 1, 20);
  s.table_row = s.slice + pick(random, 0, 2);
  int64_t outs = s.slice + pick(random, 0, 2), indices = pick(random, 1, 2), rows = s.table_row * s.rows;
  for (int64_t d = pick(random, 1, 3); d-- > 0;) {  // innermost first; table and index may stay where they are
    const int64_t size = pick(random, 1, d ? 3 : 9);
    const bool own_table = pick(random, 0, 1), own_index = pick(random, 0, 2) > 0;
    s.dims.insert(s.dims.begin(), size);
    s.out.insert(s.out.begin(), outs);
    s.table.insert(s.table.begin(), own_table ? rows : 0);
    s.index.insert(s.index.begin(), own_index ? indices : 0);
    outs *= size, rows *= own_table ? size : 1, indices *= own_index ? size : 1;
  }
  if (pick(random, 0, 7) == 0 && s.slice == 1) {  // more than a unit has
    s.dims = {pick(random, 1000, 3000)}, s.out = {1}, s.table = {0}, s.index = {1};
    outs = indices = s.dims[0], rows = s.table_row * s.rows;
  }
  const int64_t size = size_of(dtype);
  Guarded<uint8_t> table(rows * size), out(outs * size);
  Guarded<Index> index(indices);
  for (int64_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint8_t>(pick(random, 0, 255));
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
  Guarded<int32_t> status_word(1);
  status_word[0] = kStatusOk;
  Kernel kernel(target, s);
  kernel.allow(table.data(), table.bytes());
  kernel.allow(out.data(), out.bytes());
  kernel.allow(index.data(), index.bytes());
  kernel.allow(status_word.data(), 4);
  const Status status =
      kernel.run({out.data(), table.data(), index.data(), status_word.data()}, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  int64_t all = 1;
  for (const int64_t d : s.dims) all *= d;
  bool hostile = false;
  for (int64_t o = 0; o < all; ++o) {
    int64_t rest = o, to = 0, from = 0, at = 0;
    for (size_t d = s.dims.size(); d-- > 0; rest /= s.dims[d]) {
      const int64_t i = rest % s.dims[d];
      to += i * s.out[d], from += i * s.table[d], at += i * s.index[d];
    }
    auto row = static_cast<int64_t>(index[at]);
    if (row < -s.rows || row >= s.rows) row = 0, hostile = true;
    if (row < 0) row += s.rows;
    for (int64_t b = 0; b < s.slice * size; ++b)
      ASSERT_EQ(out[to * size + b], table[(from + row * s.table_row) * size + b])
          << to_string(KernelSpec(s)) << " on " << to_string(target);
  }
  EXPECT_EQ(status_word[0], hostile ? kStatusBadIndex : kStatusOk);
  EXPECT_TRUE(out.intact());
}

TEST(Gather, RandomSlices) {
  for (const Target& target : targets()) {
    Random random(43);
    for (int i = 0; i < 15; ++i) {
      for (const DType t : {DType::f32, DType::i64, DType::u8, DType::boolean, DType::f16}) {
        check_random<int64_t>(target, random, t, DType::i64);
        check_random<int32_t>(target, random, t, DType::i32);
      }
    }
  }
}

}  // namespace
}  // namespace kiln
