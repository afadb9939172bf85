// Sorting over random shapes, strides, parts and types; of special values; and of few among many.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

template <class T>
bool before(T u, T v) {
  return v != v ? u == u : u < v;  // NaN is the greatest
}

template <class T>
T some(Random& random, DType type) {
  if (type == DType::boolean) return static_cast<T>(pick(random, 0, 1));
  const int64_t few = pick(random, -3, 3), any = static_cast<int64_t>(random()) * 2147483629;
  if constexpr (std::is_floating_point_v<T>) {
    const T special[] = {T(0),
                         T(-0.0),
                         std::numeric_limits<T>::quiet_NaN(),
                         -std::numeric_limits<T>::quiet_NaN(),
                         std::numeric_limits<T>::infinity(),
                         -std::numeric_limits<T>::infinity(),
                         std::numeric_limits<T>::denorm_min(),
                         -std::numeric_limits<T>::denorm_min()};
    if (pick(random, 0, 3) == 0) return special[pick(random, 0, 7)];
    return static_cast<T>(few) + (pick(random, 0, 1) ? static_cast<T>(any) * T(1e-12) : T(0));
  } else {
    const T special[] = {std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
    if (pick(random, 0, 7) == 0) return special[pick(random, 0, 1)];
    return static_cast<T>(pick(random, 0, 1) ? few : any);
  }
}

/// Strides of a tensor of `dims` with `count` put in at `at`, without that of it, which goes to `step`.
int64_t lay_out(Random& random, Sizes dims, size_t at, int64_t count, Sizes& others, int64_t& step) {
  dims.insert(dims.begin() + static_cast<long>(at), count);
  others = random_strides(random, dims);
  const int64_t all = extent(dims, others);
  step = others[at];
  others.erase(others.begin() + static_cast<long>(at));
  return all;
}

template <class T>
void check(const Target& target, Random& random, DType type, int64_t longest) {
  SortSpec s;
  s.dtype = type;
  for (int64_t d = pick(random, 1, 3); d-- > 0;) s.dims.push_back(pick(random, 1, longest > 200 ? 2 : 4));
  s.count = pick(random, 1, longest);
  s.first = pick(random, 0, 2) ? 0 : pick(random, 0, s.count - 1);
  s.taken = pick(random, 1, pick(random, 0, 1) ? s.count - s.first : std::min<int64_t>(s.count - s.first, 5));
  s.descending = pick(random, 0, 1);
  s.has_values = pick(random, 0, 3) > 0;
  s.has_indices = !s.has_values || pick(random, 0, 2);
  const auto at = static_cast<size_t>(pick(random, 0, static_cast<int64_t>(s.dims.size())));
  Guarded<T> in(lay_out(random, s.dims, at, s.count, s.in, s.in_step)),
      values(lay_out(random, s.dims, at, s.taken, s.values, s.values_step));
  Guarded<int64_t> indices(lay_out(random, s.dims, at, s.taken, s.indices, s.indices_step));
  for (int64_t i = 0; i < in.size(); ++i) in[i] = some<T>(random, type);
  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  std::vector<void*> operands;
  if (s.has_values) operands.push_back(values.data()), kernel.allow(values.data(), values.bytes());
  if (s.has_indices) operands.push_back(indices.data()), kernel.allow(indices.data(), indices.bytes());
  operands.push_back(in.data());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  const std::string what = to_string(KernelSpec(s)) + " on " + to_string(target);
  ASSERT_TRUE(status.ok()) << status.error().message << " " << what;
  each_index(s.dims, [&](const Sizes& i) {
    const auto value = [&](int64_t j) { return in[dot(i, s.in) + j * s.in_step]; };
    std::vector<int64_t> order(static_cast<size_t>(s.count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t u, int64_t v) {
      return s.descending ? before(value(v), value(u)) : before(value(u), value(v));
    });
    for (int64_t j = 0; j < s.taken; ++j) {
      const int64_t from = order[static_cast<size_t>(s.first + j)];
      ASSERT_TRUE(!s.has_indices || indices[dot(i, s.indices) + j * s.indices_step] == from) << j << " of " << what;
      if (!s.has_values) continue;
      const T got = values[dot(i, s.values) + j * s.values_step], wanted = value(from);
      ASSERT_EQ(std::memcmp(&got, &wanted, sizeof got), 0) << got << " for " << wanted << " " << what;
    }
  });
  EXPECT_TRUE(values.intact() && indices.intact()) << what;
}

template <class T>
void check_all(DType type) {
  for (const Target& target : targets()) {
    Random random(7);
    for (const int64_t longest : {5, 30, 90, 400})
      for (int i = 0; i < 8 && !::testing::Test::HasFailure(); ++i) check<T>(target, random, type, longest);
  }
}
TEST(Sort, Floats) { check_all<float>(DType::f32); }
TEST(Sort, Words) { check_all<int32_t>(DType::i32); }
TEST(Sort, LongWords) { check_all<int64_t>(DType::i64); }
TEST(Sort, Bytes) { check_all<uint8_t>(DType::u8); }
TEST(Sort, SignedBytes) { check_all<int8_t>(DType::i8); }
TEST(Sort, Truths) { check_all<uint8_t>(DType::boolean); }

/// Few of many are found by a threshold, whatever order the row has.
TEST(Sort, FewOfMany) {
  for (const Target& target : targets()) {
    Random random(11);
    for (const int order : {0, 1, 2, 3}) {
      SortSpec s;
      s.dims = {1}, s.in = {0}, s.values = {0}, s.indices = {0};
      s.count = 5001, s.taken = 1 + pick(random, 0, 99), s.first = order == 2 ? 3 : 0;
      s.in_step = 1, s.values_step = 1, s.indices_step = 1;
      s.descending = order != 1;
      std::vector<float> x(static_cast<size_t>(s.count)), values(static_cast<size_t>(s.taken));
      std::vector<int64_t> indices(values.size()), wanted(x.size());
      for (float& v : x) v = static_cast<float>(pick(random, -300, 300));
      if (order == 3) x[4999] = x[17] = std::numeric_limits<float>::quiet_NaN();
      if (order < 2) std::sort(x.begin(), x.end());  // and so each is better than all before, or none
      std::iota(wanted.begin(), wanted.end(), 0);
      std::stable_sort(wanted.begin(), wanted.end(), [&](int64_t u, int64_t v) {
        const float a = x[static_cast<size_t>(u)], b = x[static_cast<size_t>(v)];
        return s.descending ? before(b, a) : before(a, b);
      });
      const Status status = Kernel(target, s).run({values.data(), indices.data(), x.data()});
      ASSERT_TRUE(status.ok()) << status.error().message;
      for (size_t i = 0; i < indices.size(); ++i)
        ASSERT_EQ(indices[i], wanted[static_cast<size_t>(s.first) + i]) << order << " on " << to_string(target);
    }
  }
}

}  // namespace
}  // namespace kiln
