// Winograd convolutions of odd sizes, on every machine, against plain loops in double precision.
#include "jit/kernels/winograd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "jit/kernels/contraction.h"
#include "tests/support/machine.h"
#include "tests/support/strided.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

struct Problem {
  int64_t images, oh, ow, k, n;
  bool fused;  ///< relu(acc + bias + residual) instead of the sum itself
  int64_t stride = 1;
};

Problem random_problem(Random& random) {
  const auto one_of = [&](std::initializer_list<int64_t> list) {
    return list.begin()[pick(random, 0, static_cast<int64_t>(list.size()) - 1)];
  };
  return {one_of({1, 1, 2}),
          one_of({1, 2, 3, 4, 7, 9}),
          one_of({1, 2, 4, 5, 7, 13}),
          one_of({1, 2, 3, 4, 5, 8, 17, 19}),
          one_of({1, 3, 4, 8, 13, 24, 37}),
          pick(random, 0, 1) == 1,
          pick(random, 1, 2)};
}

ContractionSpec spec_of(const Problem& p) {
  const int64_t channels = p.k + 1, outs = p.n + 2;  // parts of wider rows
  const int64_t ih = (p.oh - 1) * p.stride + 3, iw = (p.ow - 1) * p.stride + 3;
  ContractionSpec s;
  s.batch = {p.images, 1};
  s.a_batch = {ih * iw * channels, 0}, s.c_batch = {p.oh * p.ow * outs, 0};
  s.oh = p.oh, s.ow = p.ow, s.kh = s.kw = 3, s.k = p.k, s.n = p.n;
  s.a_tap_row = iw * channels, s.a_tap_col = channels;
  s.a_row = p.stride * s.a_tap_row, s.a_col = p.stride * s.a_tap_col;
  s.c_row = p.ow * outs, s.c_col = outs;
  s.winograd = 4;
  if (p.fused) {
    Expr& e = s.epilogue.expr;
    const uint16_t sum = e.binary(PointOp::add, e.binary(PointOp::add, e.input(0), e.input(1)), e.input(2));
    e.binary(PointOp::max, sum, e.constant(0));
    s.epilogue.operands = {{DType::f32, {0, 0, 0, 0, 1}}, {DType::f32, {s.c_batch[0], 0, s.c_row, s.c_col, 1}}};
  }
  return s;
}

PackSpec pack_of(const Problem& p) {  // from [n][k][3][3], as PyTorch keeps weights
  PackSpec pack;
  pack.taps = 9, pack.k = p.k, pack.n = p.n;
  pack.src_tap = 1, pack.src_k = 9, pack.src_n = 9 * p.k;
  pack.stride = p.stride;
  return pack;
}

void check(const Target& target, const Problem& p, const Schedule& schedule, Random& random) {
  const ContractionSpec s = spec_of(p);
  ASSERT_TRUE(family_of(s).feasible(s, schedule, target)) << to_string(schedule);
  const PackSpec pack = pack_of(p);
  Guarded<float> a(p.images * s.a_batch[0]), w(p.n * p.k * 9), b(packed_elements(pack, schedule)),
      c(p.images * s.c_batch[0]), bias(p.n), residual(c.size());
  for (auto* v : {&a, &w, &bias, &residual})
    for (int64_t i = 0; i < v->size(); ++i) (*v)[i] = static_cast<float>(pick(random, -100, 100)) / 64;
  Kernel packer(target, pack, schedule), kernel(target, s, schedule);
  for (Kernel* k : {&packer, &kernel})
    for (auto* v : {&a, &w, &b, &c, &bias, &residual}) k->allow(v->data(), v->bytes());
  const Status packed = packer.run({b.data(), w.data()}, 2);
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  std::vector<void*> operands{c.data(), a.data(), b.data()};
  if (p.fused) operands.insert(operands.end(), {bias.data(), residual.data()});
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  double worst = 0;
  const int64_t outs = s.c_col;
  each_index({p.images, p.oh, p.ow, p.n}, [&](const Sizes& at) {
    double sum = 0;
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j)
        for (int64_t k = 0; k < p.k; ++k)
          sum +=
              double{
                  a[at[0] * s.a_batch[0] + at[1] * s.a_row + i * s.a_tap_row + at[2] * s.a_col + j * s.a_tap_col + k]} *
              double{w[((at[3] * p.k + k) * 3 + i) * 3 + j]};
    const int64_t to = dot(at, {s.c_batch[0], s.c_row, s.c_col, 1});
    if (p.fused) sum = std::max(0.0, sum + double{bias[at[3]]} + double{residual[to]});
    worst = std::max(worst, std::abs(sum - double{c[to]}));
  });
  // Operands are below 1.6, a direct sum's terms below 2.5. A product of transforms is at most 9 (F(2,3)) or 90
  // (F(4,3)) times that, with strides less; its rounding and that of each sum over k come through the output transform.
  const double growth = schedule.algorithm == Algorithm::winograd2 ? 9 : 90;
  EXPECT_LE(worst, 1.2e-7 * 2.5 * growth * static_cast<double>(p.k + 4))
      << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(b.intact() && c.intact());
  for (int64_t i = 0; i < c.size(); ++i)
    if (i % outs >= p.n) {
      ASSERT_TRUE(c.untouched(i)) << "wrote beside its columns";
    }
}

std::vector<Schedule> winograd_schedules(const ContractionSpec& s, const Target& target) {
  std::vector<Schedule> out = candidates(s, target);
  out.erase(std::remove_if(out.begin(), out.end(), [](const Schedule& c) { return c.algorithm == Algorithm::direct; }),
            out.end());
  return out;
}

TEST(Winograd, RandomProblemsAndSchedules) {
  for (const Target& target : targets()) {
    Random random(7);
    for (int i = 0; i < (target.isa == Isa::reference ? 15 : 80); ++i) {
      const Problem p = random_problem(random);
      const std::vector<Schedule> all = winograd_schedules(spec_of(p), target);
      ASSERT_FALSE(all.empty());
      Schedule schedule = all[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(all.size()) - 1))];
      schedule.unroll = static_cast<uint8_t>(pick(random, 1, 5));
      const int64_t nr = int64_t{schedule.nv} * target.width;
      schedule.mc = static_cast<uint16_t>(schedule.mr * pick(random, 0, 3));
      schedule.nc = static_cast<uint16_t>(nr * pick(random, 0, 2));
      check(target, p, schedule, random);
    }
  }
}

/// The largest error of one layer as a share of its largest output, against double precision. Input has unit variance,
/// weights have 1/(9k), the scale of a trained layer; outputs have unit variance.
double error_of(const Problem& p, Algorithm algorithm, const Target& target) {
  const ContractionSpec s = spec_of(p);
  Random random(11);
  std::normal_distribution<float> normal;
  Schedule schedule = winograd_schedules(s, target).front();
  schedule.algorithm = algorithm;
  const PackSpec pack = pack_of(p);
  std::vector<float> a(static_cast<size_t>(s.a_batch[0])), w(static_cast<size_t>(p.n * p.k * 9)),
      b(static_cast<size_t>(packed_elements(pack, schedule))), c(static_cast<size_t>(s.c_batch[0]));
  for (float& v : a) v = normal(random);
  for (float& v : w) v = normal(random) / std::sqrt(9.0f * static_cast<float>(p.k));
  EXPECT_TRUE(Kernel(target, pack, schedule).run({b.data(), w.data()}).ok());
  EXPECT_TRUE(Kernel(target, s, schedule).run({c.data(), a.data(), b.data()}).ok());
  double worst = 0, scale = 0;
  each_index({p.oh, p.ow, p.n}, [&](const Sizes& at) {
    double sum = 0;
    for (int64_t i = 0; i < 9; ++i)
      for (int64_t k = 0; k < p.k; ++k)
        sum += double{a[static_cast<size_t>(at[0] * s.a_row + i / 3 * s.a_tap_row + at[1] * s.a_col +
                                            i % 3 * s.a_tap_col + k)]} *
               double{w[static_cast<size_t>((at[2] * p.k + k) * 9 + i)]};
    scale = std::max(scale, std::abs(sum));
    worst = std::max(worst, std::abs(sum - double{c[static_cast<size_t>(dot(at, {s.c_row, s.c_col, 1}))]}));
  });
  return worst / scale;
}

TEST(Winograd, ErrorOfEachTileIsWhatTheDocsSay) {
  for (const Target& target : targets()) {
    if (target.isa == Isa::reference) continue;
    for (const int64_t stride : {1, 2}) {
      const Problem p{1, 12, 12, 64, 16, false, stride};
      EXPECT_LE(error_of(p, Algorithm::winograd2, target), 1e-6) << to_string(target) << " stride " << stride;
      EXPECT_LE(error_of(p, Algorithm::winograd4, target), 4e-6) << to_string(target) << " stride " << stride;
    }
  }
}

TEST(Winograd, OnlyWhatTheSpecAllows) {
  const Target wasm = wasm_target(true, false);
  ContractionSpec s = spec_of({1, 8, 8, 16, 16, false});
  Schedule schedule = winograd_schedules(s, wasm).front();
  for (const int64_t most : {0, 2, 4}) {
    s.winograd = most;
    schedule.algorithm = Algorithm::winograd2;
    EXPECT_EQ(family_of(s).feasible(s, schedule, wasm), most >= 2);
    schedule.algorithm = Algorithm::winograd4;
    EXPECT_EQ(family_of(s).feasible(s, schedule, wasm), most >= 4);
  }
  schedule.nc = 5;  // cuts a tile
  EXPECT_FALSE(family_of(s).feasible(s, schedule, wasm));
}

TEST(Winograd, SchedulesHaveTexts) {
  for (const char* text : {"winograd4 rows mr6 nv2 unroll4 mc12 nc16", "strassen rows mr6 nv2 unroll4 mc250",
                           "winograd2 panels mr1 nv1 unroll1", "rows"}) {
    const auto parsed = parse_schedule(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(to_string(*parsed), text);
  }
  for (const char* text : {"winograd3 rows", "winograd4", "winograd4rows", " rows", ""})
    EXPECT_FALSE(parse_schedule(text));
}

}  // namespace
}  // namespace kiln
