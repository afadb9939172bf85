// Softmax and the norms against double precision: any number of columns, strided rows, scale, shift,
// epilogues, special values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

std::vector<double> exact_row(const NormSpec& s, const float* x, const float* scale, const float* shift) {
  const auto n = static_cast<size_t>(s.cols);
  std::vector<double> y(x, x + n);
  double mean = 0, squares = 0, max = -INFINITY, sum = 0;
  for (double v : y) mean += v / static_cast<double>(n), max = std::max(max, v);
  if (s.kind == NormKind::rms_norm) mean = 0;
  for (double v : y) squares += (v - mean) * (v - mean) / static_cast<double>(n), sum += std::exp(v - max);
  for (size_t i = 0; i < n; ++i) {
    if (s.kind == NormKind::softmax)
      y[i] = std::exp(y[i] - max) / sum;
    else if (s.kind == NormKind::log_softmax)
      y[i] = y[i] - max - std::log(sum);
    else
      y[i] = (y[i] - mean) / std::sqrt(squares + static_cast<double>(s.eps));
    if (s.has_scale) y[i] *= static_cast<double>(scale[i]);
    if (s.has_shift) y[i] += static_cast<double>(shift[i]);
  }
  return y;
}

void check_random(const Target& target, Random& random, NormKind kind) {
  NormSpec s;
  s.kind = kind;
  const bool norm = kind == NormKind::layer_norm || kind == NormKind::rms_norm;
  for (int64_t d = pick(random, 0, 4); d-- > 0;) s.rows.push_back(pick(random, 1, 4));
  s.cols = pick(random, 0, 2) ? pick(random, 1, 40) : pick(random, 100, 400);
  Sizes dims = s.rows;
  dims.push_back(s.cols);
  const auto strides = [&] {  // columns contiguous
    Sizes st = random_strides(random, s.rows, false);
    const int64_t pitch = s.cols + pick(random, 0, 3);
    for (int64_t& x : st) x *= pitch;
    return st;
  };
  s.in_rows = strides();
  s.out_rows = strides();
  s.eps = 1e-5f;
  s.has_scale = norm && pick(random, 0, 1);
  s.has_shift = norm && pick(random, 0, 1);
  const bool residual = pick(random, 0, 2) == 0;
  Sizes residual_strides = strides();
  residual_strides.push_back(1);
  if (residual) {
    Expr& e = s.epilogue.expr;
    e.binary(PointOp::add, e.input(0), e.input(1));
    s.epilogue.operands.push_back({DType::f32, residual_strides});
  }
  const auto extent_of = [&](const Sizes& rows) { return extent(s.rows, rows) + s.cols - 1; };
  Guarded<float> in(extent_of(s.in_rows)), out(extent_of(s.out_rows)), scale(s.cols), shift(s.cols),
      other(extent(dims, residual_strides));
  std::normal_distribution<float> normal(0.5f, 3);
  for (Guarded<float>* g : {&in, &scale, &shift, &other})
    for (int64_t i = 0; i < g->size(); ++i) (*g)[i] = normal(random);
  Kernel kernel(target, s);
  std::vector<void*> operands{out.data(), in.data()};
  if (s.has_scale) operands.push_back(scale.data());
  if (s.has_shift) operands.push_back(shift.data());
  if (residual) operands.push_back(other.data());
  for (Guarded<float>* g : {&in, &scale, &shift, &other, &out}) kernel.allow(g->data(), g->bytes());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index(s.rows, [&](const Sizes& row) {
    const std::vector<double> expected = exact_row(s, in.data() + dot(row, s.in_rows), scale.data(), shift.data());
    for (int64_t c = 0; c < s.cols; ++c) {
      Sizes index = row;
      index.push_back(c);
      double want = expected[static_cast<size_t>(c)];
      if (residual) want += static_cast<double>(other[dot(index, residual_strides)]);
      // outputs are of the order of 10 here; softmax's at most 1
      const double scale_of_result = kind == NormKind::softmax && !residual ? 1 : std::max(10.0, std::fabs(want));
      ASSERT_NEAR(out[dot(row, s.out_rows) + c], want, 1e-6 * scale_of_result)
          << to_string(KernelSpec(s)) << " on " << to_string(target);
    }
  });
  EXPECT_TRUE(out.intact());
}

TEST(Norm, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(23);
    for (int i = 0; i < 60; ++i) check_random(target, random, static_cast<NormKind>(i % 4));
  }
}

std::vector<float> softmax(const Target& target, NormKind kind, std::vector<float> x, bool masked = false) {
  NormSpec s;
  s.kind = kind, s.masked = masked;
  s.cols = static_cast<int64_t>(x.size());
  std::vector<float> y(x.size());
  Kernel kernel(target, s);
  EXPECT_EQ(kernel.units(), 1);
  EXPECT_TRUE(kernel.run({y.data(), x.data()}).ok());
  return y;
}

/// What PyTorch answers: NaN for a row of -inf (zeros in attention), exact zeros for masked places, no overflow of
/// large values.
TEST(Norm, SoftmaxSpecials) {
  for (const Target& target : targets()) {
    for (const size_t n : {1u, 3u, 7u, 16u, 37u}) {
      for (float v : softmax(target, NormKind::softmax, std::vector<float>(n, -INFINITY))) EXPECT_TRUE(std::isnan(v));
      for (float v : softmax(target, NormKind::softmax, std::vector<float>(n, -INFINITY), true)) EXPECT_EQ(v, 0.0f);
      std::vector<float> x(n, 1e4f);
      for (float v : softmax(target, NormKind::softmax, x)) EXPECT_NEAR(v, 1.0 / static_cast<double>(n), 1e-7);
      for (float v : softmax(target, NormKind::log_softmax, x)) EXPECT_NEAR(v, -std::log(static_cast<double>(n)), 1e-6);
      if (n == 1) continue;
      x[0] = -INFINITY;
      const std::vector<float> masked = softmax(target, NormKind::softmax, x);
      EXPECT_EQ(masked[0], 0.0f);
      EXPECT_NEAR(masked[n - 1], 1.0 / static_cast<double>(n - 1), 1e-7);
      EXPECT_EQ(softmax(target, NormKind::softmax, x, true), masked);
      x[n - 1] = NAN;
      for (float v : softmax(target, NormKind::softmax, x, true)) EXPECT_TRUE(std::isnan(v));
      for (float v : softmax(target, NormKind::softmax, x)) EXPECT_TRUE(std::isnan(v));
    }
  }
}

/// Rows of as many elements as a large image has: what PyTorch answers within a few roundings, not 1e-3 beside it.
TEST(Norm, LongRows) {
  for (const Target& target : real_targets()) {
    constexpr int64_t kCols = 3000001;
    for (const NormKind kind : {NormKind::softmax, NormKind::log_softmax, NormKind::layer_norm, NormKind::rms_norm}) {
      NormSpec s;
      s.kind = kind;
      s.cols = kCols;
      s.eps = 1e-5f;
      std::vector<float> in(kCols), out(kCols);
      for (size_t i = 0; i < in.size(); ++i) in[i] = 100 + static_cast<float>(i % 5);
      ASSERT_TRUE(Kernel(target, s).run({out.data(), in.data()}).ok());
      const std::vector<double> want = exact_row(s, in.data(), nullptr, nullptr);
      for (size_t i = 0; i < in.size(); i += 997) {
        const double scale = kind == NormKind::softmax ? want[i] : std::max(1.0, std::fabs(want[i]));
        ASSERT_NEAR(out[i], want[i], 4e-6 * scale) << to_string(KernelSpec(s)) << " on " << to_string(target);
      }
    }
  }
}

/// An output narrower than a float must not hold exponentials on the way.
TEST(Norm, SoftmaxToBoolean) {
  for (const Target& target : targets()) {
    NormSpec s;
    s.cols = 11;
    Expr& e = s.epilogue.expr;
    e.binary(PointOp::gt, e.input(0), e.constant(0.5f));
    Guarded<float> in(11);
    Guarded<bool> out(11);
    for (int64_t i = 0; i < 11; ++i) in[i] = i == 4 ? 9 : 0;
    Kernel kernel(target, s);
    kernel.allow(in.data(), in.bytes());
    kernel.allow(out.data(), out.bytes());
    ASSERT_TRUE(kernel.run({out.data(), in.data()}).ok());
    for (int64_t i = 0; i < 11; ++i) EXPECT_EQ(out[i], i == 4);
    EXPECT_TRUE(out.intact());
  }
}

}  // namespace
}  // namespace kiln
