// Running sums over random shapes and strides, of special values, and over long axes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

template <class T>
void check(const Target& target, Random& random, DType type) {
  ScanSpec s;
  s.dtype = type;
  for (int64_t d = pick(random, 0, 3); d-- > 0;) s.dims.push_back(pick(random, 0, 2) ? pick(random, 1, 9) : 70);
  s.count = pick(random, 0, 3) ? pick(random, 1, 9) : pick(random, 60, 200);
  const auto all = [&](std::vector<int64_t>& others, int64_t& step) {
    Sizes dims = s.dims;
    const auto at = static_cast<size_t>(pick(random, 0, static_cast<int64_t>(dims.size())));
    dims.insert(dims.begin() + static_cast<long>(at), s.count);
    Sizes strides = random_strides(random, dims);
    const int64_t extent_of = extent(dims, strides);
    step = strides[at];
    strides.erase(strides.begin() + static_cast<long>(at));
    others = strides;
    return extent_of;
  };
  Guarded<T> in(all(s.in, s.in_step)), out(all(s.out, s.out_step));
  for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(pick(random, -99, 99));
  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  kernel.allow(out.data(), out.bytes());
  const Status status = kernel.run({out.data(), in.data()}, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index(s.dims, [&](const Sizes& i) {
    T sum = 0;
    for (int64_t j = 0; j < s.count; ++j) {
      sum += in[dot(i, s.in) + j * s.in_step];
      ASSERT_EQ(out[dot(i, s.out) + j * s.out_step], sum) << to_string(KernelSpec(s)) << " on " << to_string(target);
    }
  });
  EXPECT_TRUE(out.intact());
}

TEST(Scan, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(5);
    for (int i = 0; i < 25; ++i) {
      check<float>(target, random, DType::f32);
      check<int32_t>(target, random, DType::i32);
      check<int64_t>(target, random, DType::i64);
    }
  }
}

std::vector<float> sums(const Target& target, const std::vector<float>& x) {
  ScanSpec s;
  s.count = static_cast<int64_t>(x.size());
  s.in_step = s.out_step = 1;
  std::vector<float> y(x.size());
  EXPECT_TRUE(Kernel(target, s).run({y.data(), const_cast<float*>(x.data())}).ok());
  return y;
}

/// What PyTorch answers.
TEST(Scan, InfinityAndNaNReachWhatComesAfterThem) {
  for (const Target& target : targets()) {
    EXPECT_EQ(sums(target, {1, 2, -INFINITY, 3}), (std::vector<float>{1, 3, -INFINITY, -INFINITY}));
    const std::vector<float> nan = sums(target, {1, NAN, 2}), both = sums(target, {INFINITY, -INFINITY, 1});
    EXPECT_EQ(nan[0], 1);
    EXPECT_TRUE(std::isnan(nan[1]) && std::isnan(nan[2]));
    EXPECT_EQ(both[0], INFINITY);
    EXPECT_TRUE(std::isnan(both[1]) && std::isnan(both[2]));
  }
}

/// Within a rounding of the sum in double precision, as PyTorch's are.
TEST(Scan, LongAxes) {
  for (const Target& target : real_targets()) {
    std::vector<float> x(3000001);
    Random random(3);
    for (const bool constant : {true, false}) {
      for (float& v : x) v = constant ? 0.1f : std::normal_distribution<float>(0.01f, 1)(random);
      const std::vector<float> y = sums(target, x);
      double sum = 0, most = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        sum += static_cast<double>(x[i]);
        most = std::max(most, std::fabs(sum));
        ASSERT_NEAR(y[i], sum, 1e-7 * most) << i << " on " << to_string(target);
      }
    }
  }
}

}  // namespace
}  // namespace kiln
