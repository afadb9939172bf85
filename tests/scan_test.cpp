// Running sums over random shapes and strides, of special values, and over long axes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

/// Sums, products and extremes of numbers that the type holds; NaN among floats.
template <class T>
struct Running {
  ScanKind kind;
  T value;
  int64_t place = 0;
  void take(T x, int64_t at) {
    using Unsigned = std::make_unsigned_t<std::conditional_t<std::is_integral_v<T>, T, int64_t>>;
    if (is_extreme(kind)) {
      const bool better = x != x || (value == value && (kind == ScanKind::max ? x >= value : x <= value));
      if (at == 0 || better) value = x, place = at;
    } else if constexpr (std::is_integral_v<T>) {
      const auto a = static_cast<Unsigned>(value), b = static_cast<Unsigned>(x);
      value = at == 0 ? x : static_cast<T>(kind == ScanKind::sum ? a + b : a * b);
    } else {
      value = at == 0 ? x : kind == ScanKind::sum ? value + x : value * x;
    }
  }
};

template <class T>
void check(const Target& target, Random& random, DType type) {
  ScanSpec s;
  s.dtype = type;
  s.kind = static_cast<ScanKind>(pick(random, 0, 3));
  if (is_extreme(s.kind)) s.has_out = pick(random, 0, 3), s.has_index = !s.has_out || pick(random, 0, 3);
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
  Guarded<int64_t> index(all(s.index, s.index_step));
  for (int64_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<T>(pick(random, -99, 99));
    if (std::is_floating_point_v<T> && s.kind == ScanKind::prod) in[i] = static_cast<T>(pick(random, 0, 1) ? 0.5 : -2);
    if (std::is_floating_point_v<T> && is_extreme(s.kind) && pick(random, 0, 9) == 0) in[i] = static_cast<T>(NAN);
    if (std::is_floating_point_v<T> && pick(random, 0, 99) == 0 && is_extreme(s.kind))
      in[i] = static_cast<T>(-INFINITY);
  }
  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  std::vector<void*> operands;
  if (s.has_out) operands.push_back(out.data()), kernel.allow(out.data(), out.bytes());
  if (s.has_index) operands.push_back(index.data()), kernel.allow(index.data(), index.bytes());
  operands.push_back(in.data());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  const std::string what = to_string(KernelSpec(s)) + " on " + to_string(target);
  ASSERT_TRUE(status.ok()) << status.error().message << " " << what;
  each_index(s.dims, [&](const Sizes& i) {
    Running<T> expected{s.kind, 0};
    for (int64_t j = 0; j < s.count; ++j) {
      expected.take(in[dot(i, s.in) + j * s.in_step], j);
      const T got = s.has_out ? out[dot(i, s.out) + j * s.out_step] : expected.value;
      ASSERT_TRUE(got == expected.value || (got != got && expected.value != expected.value))
          << got << " for " << expected.value << " " << what;
      if (!s.has_index) continue;
      ASSERT_EQ(index[dot(i, s.index) + j * s.index_step], expected.place) << what;
    }
  });
  EXPECT_TRUE(out.intact() && index.intact());
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

std::vector<float> sums(const Target& target, const std::vector<float>& x, ScanKind kind = ScanKind::sum) {
  ScanSpec s;
  s.kind = kind;
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

/// What PyTorch answers.
TEST(Scan, ProductsAndLogarithmsOfSpecialNumbers) {
  const auto same = [](const std::vector<float>& got, const std::vector<float>& expected) {
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << i;
      if (!std::isnan(expected[i]) && got[i] != expected[i]) {
        EXPECT_NEAR(got[i], expected[i], 3e-7f * std::fabs(expected[i]) + 1e-7f) << i;
      }
    }
  };
  for (const Target& target : targets()) {
    same(sums(target, {2, 0, INFINITY, 3}, ScanKind::prod), {2, 0, NAN, NAN});
    same(sums(target, {2, INFINITY, -1, 0}, ScanKind::prod), {2, INFINITY, -INFINITY, NAN});
    same(sums(target, {1, 2, 3, -50, 100}, ScanKind::log_sum_exp), {1, 2.3132617f, 3.4076059f, 3.4076059f, 100});
    same(sums(target, {-INFINITY, -INFINITY, 0, INFINITY, 1}, ScanKind::log_sum_exp),
         {-INFINITY, -INFINITY, 0, INFINITY, INFINITY});
    same(sums(target, {0, NAN, 1, INFINITY}, ScanKind::log_sum_exp), {0, NAN, NAN, NAN});
  }
}

/// Within a rounding of the product in double precision, as PyTorch's are; a plain product would lose 1e-5 here.
TEST(Scan, LongProducts) {
  for (const Target& target : real_targets()) {
    std::vector<float> x(100001);
    Random random(3);
    for (float& v : x) v = std::uniform_real_distribution<float>(0.9f, 1.1f)(random);
    const std::vector<float> y = sums(target, x, ScanKind::prod);
    double product = 1;
    for (size_t i = 0; i < x.size() && product > 1e-30; ++i) {
      product *= static_cast<double>(x[i]);
      ASSERT_NEAR(y[i], product, 1e-7 * product) << i << " on " << to_string(target);
    }
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
