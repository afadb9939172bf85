// Products by Strassen's algorithm, of odd sizes, on every machine, against plain loops in double precision.
#include "jit/kernels/strassen.h"

#include <gtest/gtest.h>

#include <cmath>

#include "jit/kernels/contraction.h"
#include "tests/support/machine.h"
#include "tests/support/strided.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

enum class Fused { nothing, residual, gelu, mask };

struct Problem {
  int64_t m, k, n;
  int64_t a_beside, c_beside;  ///< elements of A's and C's rows that are not the product's
  Fused fused;
};

ContractionSpec spec_of(const Problem& p) {
  ContractionSpec s;
  s.ow = p.m, s.k = p.k, s.n = p.n;
  s.a_col = p.k + p.a_beside, s.a_tap_col = p.k, s.c_col = p.n + p.c_beside;
  s.strassen = true;
  if (p.fused == Fused::nothing) return s;
  Expr& e = s.epilogue.expr;
  const uint16_t sum = e.binary(PointOp::add, e.input(0), e.input(1));
  s.epilogue.operands = {{DType::f32, {0, 0, 0, 0, 1}}};
  if (p.fused == Fused::residual) {
    e.binary(PointOp::max, e.binary(PointOp::add, sum, e.input(2)), e.constant(0));
    s.epilogue.operands.push_back({DType::f32, {0, 0, 0, s.c_col, 1}});
  } else if (p.fused == Fused::gelu) {
    const uint16_t erf = e.unary(PointOp::erf, e.binary(PointOp::mul, sum, e.constant(0.70710678f)));
    e.binary(PointOp::mul, e.binary(PointOp::mul, sum, e.constant(0.5f)), e.binary(PointOp::add, erf, e.constant(1)));
  } else {
    e.binary(PointOp::gt, sum, e.constant(0.5f));
  }
  return s;
}

double expected(Fused fused, double sum, double bias, double residual) {
  if (fused == Fused::nothing) return sum;
  sum += bias;
  if (fused == Fused::residual) return std::max(0.0, sum + residual);
  return 0.5 * sum * (1 + std::erf(sum * std::sqrt(0.5)));
}

void check(const Target& target, const Problem& p, const Schedule& schedule, Random& random) {
  const ContractionSpec s = spec_of(p);
  PackSpec pack;  // from [n][k]
  pack.k = p.k, pack.n = p.n, pack.src_k = 1, pack.src_n = p.k;
  Guarded<float> a(p.m * s.a_col), w(p.n * p.k), b(packed_elements(pack, schedule)), c(p.m * s.c_col), bias(p.n),
      residual(c.size());
  Guarded<uint8_t> mask(c.size());
  for (auto* v : {&a, &w, &bias, &residual})
    for (int64_t i = 0; i < v->size(); ++i) (*v)[i] = static_cast<float>(pick(random, -100, 100)) / 64;
  Kernel packer(target, pack, schedule), kernel(target, s, schedule);
  for (Kernel* k : {&packer, &kernel}) {
    for (auto* v : {&a, &w, &b, &c, &bias, &residual}) k->allow(v->data(), v->bytes());
    k->allow(mask.data(), mask.bytes());
  }
  ASSERT_TRUE(packer.run({b.data(), w.data()}, 2).ok());
  const bool masks = p.fused == Fused::mask;
  std::vector<void*> operands{masks ? static_cast<void*>(mask.data()) : c.data(), a.data(), b.data()};
  if (p.fused != Fused::nothing) operands.push_back(bias.data());
  if (p.fused == Fused::residual) operands.push_back(residual.data());
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  // Operands are below 1.6. Sums of quadrants have up to four terms, and a result is the sum of four products of them.
  const double tolerance = 1.2e-7 * 2.5 * 36 * static_cast<double>(p.k + 4);
  const std::string what = to_string(KernelSpec(s)) + " | " + to_string(schedule) + " on " + to_string(target);
  for (int64_t y = 0; y < p.m; ++y)
    for (int64_t x = 0; x < s.c_col; ++x) {
      const int64_t at = y * s.c_col + x;
      if (x >= p.n) {
        ASSERT_TRUE(masks ? mask.untouched(at) : c.untouched(at)) << "wrote beside its columns: " << what;
        continue;
      }
      double sum = 0;
      for (int64_t k = 0; k < p.k; ++k) sum += double{a[y * s.a_col + k]} * double{w[x * p.k + k]};
      if (masks) {
        const double distance = sum + double{bias[x]} - 0.5;
        if (std::abs(distance) > tolerance) {
          ASSERT_EQ(mask[at] != 0, distance > 0) << what;
        }
      } else {
        ASSERT_NEAR(double{c[at]}, expected(p.fused, sum, double{bias[x]}, double{residual[at]}), tolerance) << what;
      }
    }
  EXPECT_TRUE(b.intact() && c.intact() && mask.intact());
}

Schedule random_schedule(const ContractionSpec& s, const Target& target, Random& random) {
  for (;;) {
    Schedule t;
    t.algorithm = Algorithm::strassen;
    t.mr = static_cast<uint8_t>(pick(random, 1, 7)), t.nv = static_cast<uint8_t>(pick(random, 1, 3));
    t.unroll = static_cast<uint8_t>(pick(random, 1, 5));
    const int64_t blocks = pick(random, 1, 4);
    if (s.ow % blocks) continue;
    t.mc = static_cast<uint16_t>(blocks > 1 ? s.ow / blocks : 0);
    if (family_of(s).feasible(s, t, target)) return t;
  }
}

TEST(Strassen, RandomProblemsAndSchedules) {
  for (const Target& target : targets()) {
    Random random(5);
    for (int i = 0; i < (target.isa == Isa::reference ? 12 : 80); ++i) {
      const int64_t pairs = pick(random, 1, 4);
      const Problem p{pick(random, 2, 40),    2 * pick(random, 1, 20), 2 * pairs * target.width,
                      pick(random, 0, 1) * 3, pick(random, 0, 1) * 5,  static_cast<Fused>(pick(random, 0, 3))};
      check(target, p, random_schedule(spec_of(p), target, random), random);
    }
  }
}

TEST(Strassen, ReadsAheadInLargeProducts) {
  for (const Target& target : targets()) {
    Random random(6);
    Schedule schedule;
    schedule.algorithm = Algorithm::strassen, schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
    check(target, {17, 256, 128, 0, 0, Fused::gelu}, schedule, random);
  }
}

TEST(Strassen, ErrorIsWhatTheDocsSay) {
  // Unit-variance input and weights of variance 1/k, the scale of a trained layer; outputs have unit variance.
  for (const Target& target : real_targets()) {
    const Problem p{48, 768, 64, 0, 0, Fused::nothing};
    const ContractionSpec s = spec_of(p);
    Schedule schedule;
    schedule.algorithm = Algorithm::strassen, schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
    PackSpec pack;
    pack.k = p.k, pack.n = p.n, pack.src_k = 1, pack.src_n = p.k;
    Random random(11);
    std::normal_distribution<float> normal;
    std::vector<float> a(static_cast<size_t>(p.m * p.k)), w(static_cast<size_t>(p.n * p.k)),
        b(static_cast<size_t>(packed_elements(pack, schedule))), c(static_cast<size_t>(p.m * p.n));
    for (float& v : a) v = normal(random);
    for (float& v : w) v = normal(random) / std::sqrt(static_cast<float>(p.k));
    ASSERT_TRUE(Kernel(target, pack, schedule).run({b.data(), w.data()}).ok());
    const auto error = [&](const Schedule& how) {
      EXPECT_TRUE(Kernel(target, s, how).run({c.data(), a.data(), b.data()}).ok());
      double worst = 0, scale = 0;
      each_index({p.m, p.n}, [&](const Sizes& at) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += double{a[static_cast<size_t>(at[0] * p.k + k)]} * double{w[static_cast<size_t>(at[1] * p.k + k)]};
        scale = std::max(scale, std::abs(sum));
        worst = std::max(worst, std::abs(sum - double{c[static_cast<size_t>(dot(at, {p.n, 1}))]}));
      });
      return worst / scale;
    };
    const double own = error(schedule);
    Schedule direct = schedule;
    direct.algorithm = Algorithm::direct;
    EXPECT_LE(own, 3e-6) << to_string(target);
    EXPECT_LE(own, 2.5 * error(direct)) << to_string(target);
  }
}

TEST(Strassen, OnlyWhatTheSpecAllowsAndDividesEvenly) {
  const Target wasm = wasm_target(true, false);
  const ContractionSpec s = spec_of({64, 64, 64, 0, 0, Fused::nothing});
  Schedule schedule;
  schedule.algorithm = Algorithm::strassen, schedule.mr = 6, schedule.nv = 2, schedule.unroll = 4;
  const auto feasible = [&](auto change) {
    ContractionSpec other = s;
    Schedule how = schedule;
    change(other, how);
    return family_of(other).feasible(other, how, wasm);
  };
  EXPECT_TRUE(feasible([](ContractionSpec&, Schedule&) {}));
  EXPECT_TRUE(feasible([](ContractionSpec&, Schedule& how) { how.mc = 16; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o, Schedule&) { o.strassen = false; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o, Schedule&) { o.k = 63; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o, Schedule&) { o.n = 72; }));
  EXPECT_FALSE(feasible([](ContractionSpec& o, Schedule&) { o.batch = {2, 1}; }));
  EXPECT_FALSE(feasible([](ContractionSpec&, Schedule& how) { how.mc = 24; }));
  EXPECT_FALSE(feasible([](ContractionSpec&, Schedule& how) { how.mr = 7; }));
}

TEST(Strassen, PriorTakesItWhereItPays) {
  const Target wasm = wasm_target(true, true);
  const auto algorithm = [&](int64_t m, int64_t k, int64_t n, int threads) {
    Device device;
    device.threads = threads;
    return prior(spec_of({m, k, n, 0, 0, Fused::nothing}), wasm, device).algorithm;
  };
  for (const int threads : {1, 2}) {
    EXPECT_EQ(algorithm(128, 768, 3072, threads), Algorithm::strassen);
    EXPECT_EQ(algorithm(128, 3072, 768, threads), Algorithm::strassen);
    EXPECT_EQ(algorithm(1500, 384, 1536, threads), Algorithm::strassen);
  }
  EXPECT_EQ(algorithm(16, 64, 64, 1), Algorithm::direct);
  EXPECT_EQ(algorithm(3, 768, 768, 1), Algorithm::direct);
  ContractionSpec exact = spec_of({128, 768, 768, 0, 0, Fused::nothing});
  exact.strassen = false;
  EXPECT_EQ(prior(exact, wasm, {}).algorithm, Algorithm::direct);
}

}  // namespace
}  // namespace kiln
