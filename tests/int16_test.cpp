// Products of 16-bit integers, of odd sizes, on every machine, against plain loops in double precision.
#include "jit/kernels/int16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "jit/kernels/contraction.h"
#include "tests/support/linear_product.h"
#include "tests/support/machine.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

ContractionSpec spec_of(const LinearProblem& p) {
  ContractionSpec s = linear_spec(p);
  s.int16 = true;
  return s;
}

Schedule schedule_of(int mr, int nv, int unroll = 4, int mc = 0) {
  Schedule t;
  t.algorithm = Algorithm::int16;
  t.mr = static_cast<uint8_t>(mr), t.nv = static_cast<uint8_t>(nv), t.unroll = static_cast<uint8_t>(unroll);
  t.mc = static_cast<uint16_t>(mc);
  return t;
}

/// What int16.h says of a row's scale.
double scale_of(const float* row, int64_t k) {
  double most = 0, norm = 0;
  for (int64_t i = 0; i < k; i += kInt16Sum) {
    double squares = 0;
    for (int64_t j = i; j < i + kInt16Sum; ++j) {
      most = std::max(most, std::abs(double{row[j]}));
      squares += double{row[j]} * double{row[j]};
    }
    norm = std::max(norm, std::sqrt(squares));
  }
  return std::max({most / 32766, norm / 46330, 3e-22});
}

void check(const Target& target, const LinearProblem& p, const Schedule& schedule, Random& random) {
  // Every element is off by half a unit of its row, and a little for how that unit was computed; what sums of floats
  // lose comes on top, and the slope of GELU is at most 1.13.
  const auto tolerance = [&](const float* a, const float* w) {
    const double da = 0.51 * scale_of(a, p.k), dw = 0.51 * scale_of(w, p.k);
    double off = 1e-6;
    for (int64_t i = 0; i < p.k; ++i) {
      const double x = std::abs(double{a[i]}), y = std::abs(double{w[i]});
      off += x * dw + y * da + da * dw + 3e-7 * x * y;
    }
    return 1.13 * off;
  };
  check_linear(target, p, spec_of(p), schedule, tolerance, random);
}

Schedule random_schedule(const ContractionSpec& s, const Target& target, Random& random) {
  for (;;) {
    const auto mr = static_cast<int>(pick(random, 1, 7));
    const Schedule t = schedule_of(mr, static_cast<int>(pick(random, 1, 3)), static_cast<int>(pick(random, 1, 5)),
                                   static_cast<int>(pick(random, 0, 3)) * mr);
    if (family_of(s).feasible(s, t, target)) return t;
  }
}

TEST(Int16, RandomProblemsAndSchedules) {
  for (const Target& target : targets()) {
    Random random(5);
    for (int i = 0; i < (target.isa == Isa::reference ? 12 : 80); ++i) {
      const LinearProblem p{pick(random, 1, 40),    kInt16Sum * pick(random, 1, 4),
                            pick(random, 1, 70),    pick(random, 0, 1) * 3,
                            pick(random, 0, 1) * 5, static_cast<Fused>(pick(random, 0, 2))};
      check(target, p, random_schedule(spec_of(p), target, random), random);
    }
  }
}

TEST(Int16, ReadsAheadInLargeProducts) {
  for (const Target& target : targets()) {
    Random random(6);
    check(target, {17, 512, 256, 0, 0, Fused::gelu}, schedule_of(4, 1), random);
  }
}

TEST(Int16, SumsOfTheLargestIntegersDoNotOverflow) {
  // All of a sum alike, or one element alone: the norm is the limit, or the largest integer.
  for (const Target& target : targets()) {
    const LinearProblem p{3, 2 * kInt16Sum, 16, 0, 0, Fused::nothing};
    const Schedule schedule = schedule_of(3, 1);
    const ContractionSpec s = spec_of(p);
    const PackSpec pack = linear_pack(p);
    std::vector<float> a(static_cast<size_t>(p.m * p.k)), w(static_cast<size_t>(p.n * p.k)),
        b(static_cast<size_t>(packed_elements(pack, schedule))), c(static_cast<size_t>(p.m * p.n));
    const auto fill = [&](std::vector<float>& v, float value) {
      for (size_t i = 0; i < v.size(); ++i) v[i] = value;
    };
    const auto run = [&] {
      ASSERT_TRUE(Kernel(target, pack, schedule).run({b.data(), w.data()}).ok());
      ASSERT_TRUE(Kernel(target, s, schedule).run({c.data(), a.data(), b.data()}).ok());
    };
    for (const float sign : {1.0F, -1.0F})
      for (const float size : {1e-6F, 1.0F, 3e5F}) {
        fill(a, size), fill(w, sign * size);
        run();
        const float whole = sign * size * size * static_cast<float>(p.k);
        for (const float v : c) ASSERT_NEAR(v / whole, 1, 1e-4) << to_string(target);
        fill(a, 0), fill(w, 0);
        for (int64_t y = 0; y < p.m; ++y) a[static_cast<size_t>(y * p.k + 40)] = size;
        for (int64_t x = 0; x < p.n; ++x) w[static_cast<size_t>(x * p.k + 40)] = sign * size;
        run();
        for (const float v : c) ASSERT_NEAR(v / (sign * size * size), 1, 1e-4) << to_string(target);
      }
  }
}

TEST(Int16, RowsThatAreNotFiniteAnswerNaNAndRowsOfZerosZero) {
  for (const Target& target : targets()) {
    const LinearProblem p{4, kInt16Sum, 16, 0, 0, Fused::nothing};
    const Schedule schedule = schedule_of(3, 1);
    const PackSpec pack = linear_pack(p);
    std::vector<float> a(static_cast<size_t>(p.m * p.k), 1.0F), w(static_cast<size_t>(p.n * p.k), 1.0F),
        b(static_cast<size_t>(packed_elements(pack, schedule))), c(static_cast<size_t>(p.m * p.n));
    a[5] = std::numeric_limits<float>::infinity();
    a[static_cast<size_t>(p.k) + 6] = std::numeric_limits<float>::quiet_NaN();
    for (int64_t i = 0; i < p.k; ++i) a[static_cast<size_t>(2 * p.k + i)] = 0;
    w[static_cast<size_t>(3 * p.k)] = -std::numeric_limits<float>::infinity();
    ASSERT_TRUE(Kernel(target, pack, schedule).run({b.data(), w.data()}).ok());
    ASSERT_TRUE(Kernel(target, spec_of(p), schedule).run({c.data(), a.data(), b.data()}).ok());
    for (int64_t y = 0; y < p.m; ++y)
      for (int64_t x = 0; x < p.n; ++x) {
        const float v = c[static_cast<size_t>(y * p.n + x)];
        if (y < 2 || x == 3)
          EXPECT_TRUE(std::isnan(v)) << to_string(target);
        else
          EXPECT_NEAR(v, y == 2 ? 0 : kInt16Sum, 1e-4 * kInt16Sum) << to_string(target);
      }
  }
}

TEST(Int16, ErrorIsWhatTheDocsSay) {
  for (const Target& target : real_targets()) {
    const LinearProblem p{48, 768, 64, 0, 0, Fused::nothing};
    EXPECT_LE(linear_error(target, p, spec_of(p), schedule_of(4, 1)), 9e-5) << to_string(target);
  }
}

TEST(Int16, OnlyWhatTheSpecAllows) {
  const Target wasm = wasm_target(true, false);
  const ContractionSpec s = spec_of({64, 128, 50, 0, 0, Fused::nothing});
  const auto feasible = [&](auto change, const Schedule& how = schedule_of(5, 2)) {
    ContractionSpec other = s;
    change(other);
    return family_of(other).feasible(other, how, wasm);
  };
  const auto same = [](ContractionSpec&) {};
  EXPECT_TRUE(feasible(same));
  EXPECT_TRUE(feasible(same, schedule_of(5, 2, 4, 15)));
  EXPECT_FALSE(feasible(same, schedule_of(5, 2, 4, 16)));
  EXPECT_FALSE(feasible(same, schedule_of(6, 2)));  // the products need a register
  EXPECT_FALSE(feasible([](ContractionSpec& o) { o.int16 = false; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o) { o.k = 80; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o) { o.batch = {2, 1}; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o) { o.epilogue = linear_spec({1, 64, 1, 0, 0, Fused::mask}).epilogue; }));
}

TEST(Int16, PriorTakesItWhereItPays) {
  const Target wasm = wasm_target(true, true);
  Device device;
  const auto algorithm = [&](int64_t m, int64_t k, int64_t n) {
    return prior(spec_of({m, k, n, 0, 0, Fused::nothing}), wasm, device).algorithm;
  };
  for (device.threads = 1; device.threads <= 2; ++device.threads) {
    EXPECT_EQ(algorithm(128, 768, 3072), Algorithm::int16);
    EXPECT_EQ(algorithm(64, 384, 384), Algorithm::int16);
    EXPECT_EQ(algorithm(1500, 384, 1536), Algorithm::int16);
  }
  EXPECT_EQ(algorithm(128, 100, 768), Algorithm::direct);
  EXPECT_EQ(algorithm(128, 64, 4), Algorithm::direct);  // making integers costs more than it saves
  device.fast_dots = false;
  EXPECT_EQ(algorithm(128, 768, 3072), Algorithm::direct);
}

}  // namespace
}  // namespace kiln
