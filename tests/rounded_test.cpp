// Rounded rows on every machine: how far they lie from the floats that they stand for, and who reads them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/machine.h"
#include "tests/support/strided.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

constexpr double kMost = 32766;

/// A matrix of rows that differ in scale by powers of ten, the last of zeros, and its rounded rows.
struct Rows {
  Rows(const Target& target, int64_t row_length, int64_t rows, Random& random)
      : k(row_length), n(rows), pitch(k + pick(random, 0, 3)), floats((n - 1) * pitch + k), words(rounded_words(k, n)) {
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < floats.size(); ++i)
      floats[i] =
          i / pitch == n - 1 && n > 1 ? 0 : normal(random) * std::pow(10.0F, static_cast<float>(i / pitch % 7 - 3));
    round(target, random);
  }
  void round(const Target& target, Random& random) {
    const int64_t half = n / 2;
    for (const int64_t first : {int64_t{0}, half}) {
      PackSpec spec;
      spec.k = k, spec.n = first == half ? n - half : half, spec.src_k = 1, spec.src_n = pitch;
      spec.scales = (n - first) * rounded_row(k) + first;
      if (spec.n == 0) continue;
      Kernel kernel(target, spec, prior_at_load(spec, target, {}));
      for (auto* v : {&floats, &words}) kernel.allow(v->data(), v->bytes());
      const Status run = kernel.run({words.data() + first * rounded_row(k), floats.data() + first * pitch},
                                    static_cast<int>(pick(random, 1, 3)));
      ASSERT_TRUE(run.ok()) << run.error().message;
    }
    EXPECT_TRUE(words.intact());
  }
  double at(int64_t row, int64_t i) { return double{floats[row * pitch + i]}; }
  /// The farthest that an element of this row may lie from its float: half a unit, and float's own rounding.
  double error(int64_t row) {
    double most = 0;
    for (int64_t i = 0; i < k; ++i) most = std::max(most, std::abs(at(row, i)));
    return most * (0.5 / kMost + 4e-7);
  }
  int64_t k, n, pitch;
  Guarded<float> floats, words;
};

TEST(Rounded, ElementsLieHalfAUnitAway) {
  for (const Target& target : targets()) {
    Random random(5);
    for (const int64_t n : {1, 5, 17})
      for (const int64_t k : {1, 3, 4, 7, 8, 9, 16, 31, 32, 33, 63, 130}) {
        Rows rows(target, k, n, random);
        GatherSpec s;
        const int64_t count = 2 * n, pitch = k + 1;
        s.dims = {count}, s.out = {pitch}, s.table = {0}, s.index = {1};
        s.slice = k, s.rows = n, s.rounded = true;
        Guarded<int64_t> index(count);
        for (int64_t i = 0; i < count; ++i) index[i] = i - n;  // twice all, from the end first
        Guarded<float> out((count - 1) * pitch + k);
        Guarded<int32_t> status(1);
        status[0] = kStatusOk;
        Kernel kernel(target, s);
        for (auto* v : {&rows.words, &out}) kernel.allow(v->data(), v->bytes());
        kernel.allow(index.data(), index.bytes());
        kernel.allow(status.data(), status.bytes());
        ASSERT_TRUE(kernel.run({out.data(), rows.words.data(), index.data(), status.data()}).ok());
        EXPECT_EQ(status[0], kStatusOk);
        EXPECT_TRUE(out.intact());
        for (int64_t r = 0; r < count; ++r)
          for (int64_t i = 0; i < k; ++i)
            ASSERT_NEAR(out[r * pitch + i], rows.at(r % n, i), rows.error(r % n))
                << r << " " << i << " of " << k << " on " << to_string(target);
      }
  }
}

TEST(Rounded, ARowTimesRoundedRows) {
  for (const Target& target : targets()) {
    Random random(6);
    for (const int64_t n : {1, 3, 63, 64, 65, 150})
      for (const int64_t k : {1, 7, 16, 31, 33, 64, 100, 300}) {
        Rows rows(target, k, n, random);
        ContractionSpec s;
        s.k = k, s.n = n, s.b_row = rounded_row(k), s.rounded = true;
        Expr& e = s.epilogue.expr;
        e.binary(PointOp::max, e.binary(PointOp::add, e.input(0), e.input(1)), e.constant(0));
        s.epilogue.operands = {{DType::f32, {0, 0, 0, 0, 1}}};
        EXPECT_EQ(candidates(s, target).size(), 1u);
        Guarded<float> a(k), c(n), bias(n);
        std::normal_distribution<float> normal;
        for (auto* v : {&a, &bias})
          for (int64_t i = 0; i < v->size(); ++i) (*v)[i] = normal(random);
        Kernel kernel(target, s, prior(s, target, {}));
        for (auto* v : {&a, &rows.words, &c, &bias}) kernel.allow(v->data(), v->bytes());
        const Status run =
            kernel.run({c.data(), a.data(), rows.words.data(), bias.data()}, static_cast<int>(pick(random, 1, 3)));
        ASSERT_TRUE(run.ok()) << run.error().message;
        EXPECT_TRUE(c.intact());
        for (int64_t j = 0; j < n; ++j) {
          double sum = double{bias[j]}, size = 0, most = std::abs(sum);
          for (int64_t i = 0; i < k; ++i) {
            sum += double{a[i]} * rows.at(j, i);
            size += std::abs(double{a[i]});
            most += std::abs(double{a[i]} * rows.at(j, i));
          }
          ASSERT_NEAR(c[j], std::max(0.0, sum), size * rows.error(j) + most * 1e-6)
              << j << " of " << n << "x" << k << " on " << to_string(target);
        }
      }
  }
}

TEST(Rounded, WhatIsNotFiniteMakesItsRowNaN) {
  for (const Target& target : targets()) {
    Random random(7);
    const int64_t k = 37;
    Rows rows(target, k, 4, random);
    rows.floats[36] = std::numeric_limits<float>::quiet_NaN();
    rows.floats[2 * rows.pitch + 5] = -std::numeric_limits<float>::infinity();
    rows.round(target, random);
    for (int64_t r = 0; r < 4; ++r) EXPECT_EQ(std::isnan(rows.words[4 * rounded_row(k) + r]), r % 2 == 0);
  }
}

}  // namespace
}  // namespace kiln
