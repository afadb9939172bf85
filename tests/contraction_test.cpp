// Packed products and convolutions of odd sizes, on every machine, against plain loops in double precision.
#include "jit/kernels/contraction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "jit/backends/reference.h"
#include "tests/support/machine.h"
#include "tests/support/strided.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using namespace testing;

/// A convolution with everything that can be odd about it; a plain product is kh = kw = 1.
struct Problem {
  int64_t groups, oh, ow, kh, kw, k, n, stride, dilation;
  bool bias_and_residual;
  bool silu = false;  ///< with a bias only: a long epilogue
};

Problem random_problem(Random& random) {
  const auto one_of = [&](std::initializer_list<int64_t> list) {
    return list.begin()[pick(random, 0, static_cast<int64_t>(list.size()) - 1)];
  };
  Problem p;
  p.groups = one_of({1, 1, 1, 2, 3});
  p.oh = one_of({1, 1, 2, 5, 7});
  p.ow = one_of({1, 2, 3, 7, 13, 29});
  p.kh = one_of({1, 1, 3, 2});
  p.kw = one_of({1, 1, 3, 5});
  p.k = one_of({1, 2, 3, 5, 8, 17});
  p.n = one_of({1, 3, 4, 8, 13, 24, 37});
  p.stride = one_of({1, 1, 2});
  p.dilation = one_of({1, 1, 2});
  p.bias_and_residual = pick(random, 0, 1) == 1;
  p.silu = !p.bias_and_residual && pick(random, 0, 1) == 1;
  return p;
}

void fill(Guarded<float>& values, Random& random) {
  for (int64_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(pick(random, -100, 100)) / 64;
}

/// `neighbours`, if given, are in the same module; the problem's own spec joins them.
void check(const Target& target, const Problem& p, Schedule schedule, Random& random,
           std::vector<KernelSpec>* neighbours = nullptr) {
  const int64_t ih = (p.oh - 1) * p.stride + (p.kh - 1) * p.dilation + 1,
                iw = (p.ow - 1) * p.stride + (p.kw - 1) * p.dilation + 1;
  const int64_t channels = p.groups * p.k + 1, outs = p.groups * p.n + 2,
                depth = p.kh * p.kw * p.k;  // a part of wider rows
  ContractionSpec s;
  s.batch = {1, p.groups};
  s.a_batch = {0, p.k}, s.b_batch = {0, packed_size(depth, p.n)}, s.c_batch = {0, p.n};
  s.oh = p.oh, s.ow = p.ow, s.kh = p.kh, s.kw = p.kw, s.k = p.k, s.n = p.n;
  s.a_row = p.stride * iw * channels, s.a_col = p.stride * channels;
  s.a_tap_row = p.dilation * iw * channels, s.a_tap_col = p.dilation * channels;
  s.c_row = p.ow * outs, s.c_col = outs;
  if (p.bias_and_residual) {  // relu(acc + bias + residual)
    Expr& e = s.epilogue.expr;
    const uint16_t sum = e.binary(PointOp::add, e.binary(PointOp::add, e.input(0), e.input(1)), e.input(2));
    e.binary(PointOp::max, sum, e.constant(0));
    s.epilogue.operands = {{DType::f32, {0, p.n, 0, 0, 1}}, {DType::f32, {0, p.n, s.c_row, s.c_col, 1}}};
  }
  if (p.silu) {
    Expr& e = s.epilogue.expr;
    const uint16_t sum = e.binary(PointOp::add, e.input(0), e.input(1));
    e.binary(PointOp::mul, sum, e.unary(PointOp::sigmoid, sum));
    s.epilogue.operands = {{DType::f32, {0, p.n, 0, 0, 1}}};
  }
  PackSpec pack;  // from [groups·n][k][kh][kw], as PyTorch keeps weights
  pack.batch = {1, p.groups}, pack.src_batch = {0, p.n * depth};
  pack.taps = p.kh * p.kw, pack.k = p.k, pack.n = p.n;
  pack.src_tap = 1, pack.src_k = p.kh * p.kw, pack.src_n = depth;

  Guarded<float> a(ih * iw * channels), w(p.groups * p.n * depth), b(p.groups * packed_size(depth, p.n)),
      c(p.oh * p.ow * outs);
  Guarded<float> bias(p.groups * p.n), residual(p.oh * p.ow * outs);
  for (auto* v : {&a, &w, &bias, &residual}) fill(*v, random);
  Kernel packer(target, pack, schedule),
      kernel(target, s, schedule, neighbours ? *neighbours : std::vector<KernelSpec>{});
  if (neighbours) neighbours->emplace_back(s);
  for (Kernel* k : {&packer, &kernel})
    for (auto* v : {&a, &w, &b, &c, &bias, &residual}) k->allow(v->data(), v->bytes());
  const Status packed = packer.run({b.data(), w.data()}, 2);
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  std::vector<void*> operands{c.data(), a.data(), b.data()};
  if (p.bias_and_residual) operands.insert(operands.end(), {bias.data(), residual.data()});
  if (p.silu) operands.push_back(bias.data());
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  double worst = 0;
  for (int64_t g = 0; g < p.groups; ++g)
    for (int64_t y = 0; y < p.oh; ++y)
      for (int64_t x = 0; x < p.ow; ++x)
        for (int64_t n = 0; n < p.n; ++n) {
          double sum = 0;
          for (int64_t i = 0; i < p.kh; ++i)
            for (int64_t j = 0; j < p.kw; ++j)
              for (int64_t k = 0; k < p.k; ++k)
                sum += double{a[((y * p.stride + i * p.dilation) * iw + x * p.stride + j * p.dilation) * channels +
                                g * p.k + k]} *
                       double{w[(((g * p.n + n) * p.k + k) * p.kh + i) * p.kw + j]};
          const int64_t at = (y * p.ow + x) * outs + g * p.n + n;
          if (p.bias_and_residual) sum = std::max(0.0, sum + double{bias[g * p.n + n]} + double{residual[at]});
          if (p.silu) sum += double{bias[g * p.n + n]}, sum /= 1 + std::exp(-sum);
          worst = std::max(worst, std::abs(sum - double{c[at]}));
        }
  // Operands are below 1.6: each of the depth products rounds a sum of at most 2.5·depth. SiLU is no steeper than 1.1,
  // and its sigmoid off by 4e-7.
  const double products = 1.2e-7 * 2.5 * static_cast<double>(depth * depth + 4);
  EXPECT_LE(worst, p.silu ? 1.1 * products + 4e-7 * 2.5 * static_cast<double>(depth + 1) : products)
      << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(b.intact() && c.intact());
  for (int64_t i = 0; i < c.size(); ++i)
    if (i % outs >= p.groups * p.n) {
      ASSERT_TRUE(c.untouched(i)) << "wrote beside its columns";
    }
}

TEST(Contraction, RandomProblemsAndSchedules) {
  for (const Target& target : targets()) {
    Random random(5);
    for (int i = 0; i < (target.isa == Isa::reference ? 25 : 80); ++i) {
      const Problem p = random_problem(random);
      ContractionSpec s;
      s.oh = p.oh, s.ow = p.ow, s.kh = p.kh, s.kw = p.kw, s.k = p.k, s.n = p.n;
      s.a_col = 1, s.a_row = p.ow + 1;  // not to be flattened when candidates are counted
      const std::vector<Schedule> all = candidates(s, target);
      ASSERT_FALSE(all.empty());
      Schedule schedule = all[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(all.size()) - 1))];
      schedule.unroll = static_cast<uint8_t>(pick(random, 1, 5));
      schedule.order = pick(random, 0, 1) ? LoopOrder::rows_outer : LoopOrder::panels_outer;
      check(target, p, schedule, random);
    }
  }
}

TEST(Contraction, EveryTileOnOneShape) {
  for (const Target& target : targets()) {
    if (target.isa == Isa::reference && target.width != 4) continue;
    Random random(9);
    ContractionSpec s;
    s.oh = 3, s.ow = 11, s.n = 29, s.k = 5, s.a_col = 1, s.a_row = 12;
    for (const Schedule& schedule : candidates(s, target))
      for (const Problem& p :
           {Problem{1, 3, 11, 3, 3, 5, 29, 1, 1, true}, Problem{1, 3, 11, 3, 3, 5, 29, 1, 1, false, true}})
        check(target, p, schedule, random);
  }
}

/// B by columns (for a row) or by k, in batches; nothing beside it may be read.
TEST(Contraction, MatricesAsTheyLie) {
  for (const Target& target : targets()) {
    Random random(17);
    for (const int64_t n : {1, 3, 8, 31, 63, 64, 65, 150})
      for (const int64_t k : {1, 2, 7, 16, 45})
        for (const bool by_column : {true, false}) {
          ContractionSpec s;
          s.batch = {pick(random, 1, 2), pick(random, 1, 3)};
          s.ow = by_column ? 1 : pick(random, 1, 9);
          s.k = k, s.n = n;
          s.a_col = k + pick(random, 0, 2), s.c_col = n + pick(random, 0, 2);
          (by_column ? s.b_row : s.b_k) = (by_column ? k : n) + pick(random, 0, 3);
          const int64_t b_elements = by_column ? (n - 1) * s.b_row + k : (k - 1) * s.b_k + n;
          s.a_batch = {s.batch[1] * s.ow * s.a_col, s.ow * s.a_col};
          s.b_batch = {pick(random, 0, 1) * s.batch[1] * b_elements, b_elements};
          s.c_batch = {s.batch[1] * s.ow * s.c_col, s.ow * s.c_col};
          Expr& e = s.epilogue.expr;
          e.binary(PointOp::max, e.binary(PointOp::add, e.input(0), e.input(1)), e.constant(0));
          s.epilogue.operands = {{DType::f32, {0, n, 0, 0, 1}}};
          const std::vector<Schedule> all = candidates(s, target);
          ASSERT_TRUE(family_of(s).feasible(s, prior(s, target, {}), target));
          if (by_column) {
            EXPECT_EQ(all.size(), 1u);
          }
          const Schedule schedule = all[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(all.size()) - 1))];
          const int64_t batches = s.batch[0] * s.batch[1];
          Guarded<float> a((batches * s.ow - 1) * s.a_col + k), b((s.b_batch[0] ? batches : s.batch[1]) * b_elements),
              c((batches * s.ow - 1) * s.c_col + n), bias(s.batch[1] * n);
          for (auto* v : {&a, &b, &bias}) fill(*v, random);
          Kernel kernel(target, s, schedule);
          for (auto* v : {&a, &b, &c, &bias}) kernel.allow(v->data(), v->bytes());
          const Status run =
              kernel.run({c.data(), a.data(), b.data(), bias.data()}, static_cast<int>(pick(random, 1, 3)));
          ASSERT_TRUE(run.ok()) << run.error().message;
          for (int64_t batch = 0; batch < batches; ++batch)
            for (int64_t row = 0; row < s.ow; ++row)
              for (int64_t j = 0; j < n; ++j) {
                const int64_t b0 = batch / s.batch[1], b1 = batch % s.batch[1];
                const int64_t from = b0 * s.b_batch[0] + b1 * s.b_batch[1], at = batch * s.ow + row;
                double sum = double{bias[b1 * n + j]};
                for (int64_t i = 0; i < k; ++i)
                  sum += double{a[at * s.a_col + i]} * double{b[from + (by_column ? j * s.b_row + i : i * s.b_k + j)]};
                ASSERT_NEAR(c[at * s.c_col + j], std::max(0.0, sum), 1.2e-7 * 2.5 * static_cast<double>(k * k + 4))
                    << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
              }
          EXPECT_TRUE(c.intact());
        }
  }
}

/// Products of a million elements, as a whole recording has: in tiles, against a row as it lies, in taps of an image.
TEST(Contraction, LongSumsAreSumsOfParts) {
  for (const Target& target : real_targets()) {
    for (const Sizes& taps : {Sizes{1, 1, 1000003}, Sizes{101, 101, 103}, Sizes{0, 1, 1000003}}) {
      const bool as_it_lies = taps[0] == 0;
      ContractionSpec s;
      s.kh = std::max<int64_t>(1, taps[0]), s.kw = taps[1], s.k = taps[2], s.n = 5;
      s.ow = as_it_lies ? 1 : 3;
      s.a_row = s.a_tap_row = s.kw * s.k, s.a_tap_col = s.k;
      s.c_col = s.c_row = s.n;
      const int64_t depth = s.kh * s.kw * s.k;
      if (as_it_lies) s.b_row = depth;
      Schedule schedule;
      schedule.mr = 3, schedule.nv = 2, schedule.unroll = 4;
      std::vector<float> a(static_cast<size_t>(depth), 0.1f), b(static_cast<size_t>(packed_size(depth, s.n)), 1),
          c(static_cast<size_t>(s.ow * s.n));
      Kernel kernel(target, s, schedule);
      ASSERT_TRUE(kernel.run({c.data(), a.data(), b.data()}).ok());
      for (const float v : c)  // one after the other: 0.5 to 3 percent beside it
        EXPECT_NEAR(v, 0.1f * static_cast<float>(depth), 2e-5 * static_cast<double>(depth) * 0.1)
            << to_string(KernelSpec(s)) << " on " << to_string(target);
    }
  }
}

TEST(Contraction, ShapesThatShareTilesDoNotDisturbOneAnother) {
  for (const Target& target : targets()) {
    Random random(13);
    std::vector<KernelSpec> neighbours;
    Schedule schedule;
    schedule.mr = 3, schedule.nv = 1, schedule.unroll = 2;
    for (int i = 0; i < 40; ++i) {
      Problem p = random_problem(random);
      p.n = 4 * pick(random, 1, 3);
      check(target, p, schedule, random, &neighbours);
    }
  }
}

TEST(Contraction, RowsThatAreOneRowShareTilesWithOthers) {
  for (const Target& target : targets()) {
    ContractionSpec s;
    s.ow = 4, s.k = 8, s.n = 4, s.a_col = 8, s.c_col = 4;
    Schedule schedule;
    schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
    const std::vector<KernelSpec> neighbours{s};
    s.a_col = 0;  // an expanded operand
    Guarded<float> a(8), b(packed_size(8, 4)), c(16);
    for (int64_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i + 1);
    for (int64_t i = 0; i < b.size(); ++i) b[i] = 1;
    Kernel kernel(target, s, schedule, neighbours);
    for (auto* v : {&a, &b, &c}) kernel.allow(v->data(), v->bytes());
    ASSERT_TRUE(kernel.run({c.data(), a.data(), b.data()}).ok());
    for (int64_t i = 0; i < c.size(); ++i) EXPECT_EQ(c[i], 36) << to_string(target);
  }
}

TEST(Contraction, ShapesShareTilesWhereTheTargetSaysSo) {
  const auto functions = [](const Target& target, std::initializer_list<int64_t> depths) {
    const auto emitter = make_reference_emitter(target);
    for (const int64_t k : depths) {
      ContractionSpec s;
      s.ow = 8 * k, s.k = k, s.n = 32, s.a_col = k, s.c_col = 32 * k;
      Schedule tile;
      tile.mr = 4, tile.nv = 2, tile.unroll = 4;
      family_of(s).emit(*emitter, s, tile, "k" + std::to_string(k));
    }
    return emitter->finish()->symbols.size();
  };
  Target target = reference_target(4);
  const size_t one = functions(target, {8}), two = functions(target, {8, 12});
  EXPECT_EQ(two, 2 * one);
  target.shared_tiles = true;
  EXPECT_EQ(functions(target, {8}), one);
  EXPECT_EQ(functions(target, {8, 12}), two - 1);
  EXPECT_EQ(functions(target, {8, 9}), two) << "k that the unrolling does not divide needs code of its own";
}

TEST(Contraction, LargeWeightsAreReadAhead) {
  Random random(7);
  for (const Target& target : targets()) {
    Schedule s;
    s.mr = 3, s.nv = 2, s.unroll = 4;
    for (const int64_t taps : {1, 3}) {
      check(target, {1, 2, 7, taps, taps, 259 / taps, 131, 1, 1, true}, s, random);
      s.mc = 9;
      check(target, {1, 2, 7, taps, taps, 259 / taps, 131, 1, 2, false}, s, random);
    }
  }
}

TEST(Contraction, RemaindersOfOneOrTwoRowsShareATile) {
  Random random(11);
  for (const Target& target : targets())
    for (const auto& [oh, ow] :
         {std::pair(7, 7), std::pair(1, 13), std::pair(5, 5), std::pair(10, 2), std::pair(26, 1)})
      for (const int mr : {4, 5, 6, 12}) {
        Schedule s;
        s.mr = static_cast<uint8_t>(mr), s.nv = 1, s.unroll = 2;
        check(target, {1, oh, ow, 1, 1, 5, 9, 1, 1, true}, s, random);
        s.mc = static_cast<uint16_t>(2 * mr);
        check(target, {1, oh, ow, 3, 1, 5, 9, 1, 1, true}, s, random);
      }
}

TEST(Contraction, SchedulesThatSpillAreRefused) {
  const Target wasm = wasm_target(true, false), plain = wasm_target(false, false);
  ContractionSpec s;
  s.ow = s.n = s.k = 64;
  Schedule tile;
  tile.unroll = 1;
  tile.mr = 6, tile.nv = 2;  // 12 accumulators, 2 of B, 1 of A
  EXPECT_TRUE(family_of(s).feasible(s, tile, wasm));
  EXPECT_FALSE(family_of(s).feasible(s, tile, plain));
  tile.mr = 4, tile.nv = 3;
  EXPECT_FALSE(family_of(s).feasible(s, tile, wasm));
}

TEST(Contraction, ThePriorIsFeasible) {
  for (const Target& target : {wasm_target(true, true), wasm_target(false, false), avx2_target(), avx512_target()})
    for (const int64_t m : {1, 2, 7, 49, 1000})
      for (const int64_t n : {1, 5, 64, 1000}) {
        ContractionSpec s;
        s.ow = m, s.n = n, s.k = 33;
        EXPECT_TRUE(family_of(s).feasible(s, prior(s, target, {}), target)) << m << "x" << n;
      }
}

void check_depthwise(const Target& target, Random& random, const Schedule& schedule) {
  DepthwiseSpec s;
  const int64_t stride = pick(random, 1, 2), dilation = pick(random, 1, 2);
  s.batch = pick(random, 1, 2), s.oh = pick(random, 1, 6), s.ow = pick(random, 1, 9), s.c = pick(random, 1, 21);
  s.kh = pick(random, 1, 3),
  s.kw = schedule.tile_h == 1 && pick(random, 0, 2) == 0 ? pick(random, 5, 40) : pick(random, 1, 4);
  const int64_t ih = (s.oh - 1) * stride + (s.kh - 1) * dilation + 1,
                iw = (s.ow - 1) * stride + (s.kw - 1) * dilation + 1;
  s.in_batch = ih * iw * s.c, s.in_row = stride * iw * s.c, s.in_col = stride * s.c, s.in_tap_row = dilation * iw * s.c,
  s.in_tap_col = dilation * s.c;
  s.out_col = s.c, s.out_row = s.ow * s.c, s.out_batch = s.oh * s.ow * s.c;
  Expr& e = s.epilogue.expr;
  e.binary(PointOp::add, e.input(0), e.input(1));
  s.epilogue.operands = {{DType::f32, {0, 0, 0, 1}}};
  Guarded<float> in(s.batch * s.in_batch), w(s.kh * s.kw * s.c), bias(s.c), out(s.batch * s.out_batch);
  for (auto* v : {&in, &w, &bias}) fill(*v, random);
  Kernel kernel(target, s, schedule);
  for (auto* v : {&in, &w, &bias, &out}) kernel.allow(v->data(), v->bytes());
  const Status run = kernel.run({out.data(), in.data(), w.data(), bias.data()}, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;
  double worst = 0;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t y = 0; y < s.oh; ++y)
      for (int64_t x = 0; x < s.ow; ++x)
        for (int64_t c = 0; c < s.c; ++c) {
          double sum = double{bias[c]};
          for (int64_t i = 0; i < s.kh; ++i)
            for (int64_t j = 0; j < s.kw; ++j)
              sum +=
                  double{
                      in[b * s.in_batch + ((y * stride + i * dilation) * iw + x * stride + j * dilation) * s.c + c]} *
                  double{w[(i * s.kw + j) * s.c + c]};
          worst = std::max(worst, std::abs(sum - double{out[((b * s.oh + y) * s.ow + x) * s.c + c]}));
        }
  const int64_t products = s.kh * s.kw;  // below 2.5 each
  EXPECT_LE(worst, 1.2e-7 * 2.5 * static_cast<double>(products * products + 12))
      << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(out.intact());
}

TEST(Depthwise, RandomShapesAndTiles) {
  for (const Target& target : targets()) {
    Random random(3);
    for (int i = 0; i < (target.isa == Isa::reference ? 20 : 60); ++i) {
      Schedule schedule;
      schedule.tile_h = static_cast<uint8_t>(pick(random, 1, 3));
      schedule.tile_w = static_cast<uint8_t>(pick(random, 1, 4));
      check_depthwise(target, random, schedule);
    }
  }
}

}  // namespace
}  // namespace kiln
