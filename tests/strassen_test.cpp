// Products by Strassen's algorithm, of odd sizes, on every machine, against plain loops in double precision.
#include "jit/kernels/strassen.h"

#include <gtest/gtest.h>

#include "tests/support/linear_product.h"
#include "tests/support/machine.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

ContractionSpec spec_of(const LinearProblem& p) {
  ContractionSpec s = linear_spec(p);
  s.strassen = true;
  return s;
}

void check(const Target& target, const LinearProblem& p, const Schedule& schedule, Random& random) {
  // Operands are below 1.6. Sums of quadrants have up to four terms, and a result is the sum of four products of them.
  const double tolerance = 1.2e-7 * 2.5 * 36 * static_cast<double>(p.k + 4);
  check_linear(
      target, p, spec_of(p), schedule, [&](const float*, const float*) { return tolerance; }, random);
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
      const LinearProblem p{pick(random, 2, 40),    2 * pick(random, 1, 20), 2 * pairs * target.width,
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
    const LinearProblem p{48, 768, 64, 0, 0, Fused::nothing};
    const ContractionSpec s = spec_of(p);
    Schedule schedule;
    schedule.algorithm = Algorithm::strassen, schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
    const double own = linear_error(target, p, s, schedule);
    Schedule direct = schedule;
    direct.algorithm = Algorithm::direct;
    EXPECT_LE(own, 3e-6) << to_string(target);
    EXPECT_LE(own, 2.5 * linear_error(target, p, s, direct)) << to_string(target);
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
