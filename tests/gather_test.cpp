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
  s.outer = pick(random, 1, 3);
  s.count = pick(random, 1, 9);
  s.slice = pick(random, 0, 1) ? pick(random, 1, 9) : pick(random, 10, 90);
  s.rows = pick(random, 1, 20);
  s.table_row = s.slice + pick(random, 0, 2);
  s.table_outer = s.table_row * s.rows;
  s.out_row = s.slice + pick(random, 0, 2);
  s.out_outer = s.out_row * s.count;
  s.index_stride = pick(random, 1, 2);
  const int64_t size = size_of(dtype);
  Guarded<uint8_t> table(s.outer * s.table_outer * size), out(s.outer * s.out_outer * size);
  Guarded<Index> index(s.count * s.index_stride);
  for (int64_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint8_t>(pick(random, 0, 255));
  bool hostile = false;
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
    hostile |= i % s.index_stride == 0;
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
  EXPECT_EQ(status_word[0], hostile ? kStatusBadIndex : kStatusOk);
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t i = 0; i < s.count; ++i) {
      auto row = static_cast<int64_t>(index[i * s.index_stride]);
      if (row < -s.rows || row >= s.rows) row = 0;
      if (row < 0) row += s.rows;
      for (int64_t b = 0; b < s.slice * size; ++b)
        ASSERT_EQ(out[(o * s.out_outer + i * s.out_row) * size + b],
                  table[(o * s.table_outer + row * s.table_row) * size + b])
            << to_string(KernelSpec(s)) << " on " << to_string(target);
    }
  }
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
