// The search: what it measures first, what it believes, and that a benchmark of a part stands for the whole.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "jit/kernels/contraction.h"
#include "tests/support/machine.h"
#include "tuner/cost.h"

namespace kiln {
namespace {

ContractionSpec product(int64_t m, int64_t n, int64_t k) {
  ContractionSpec s;
  s.ow = m, s.n = n, s.k = k;
  s.a_col = s.a_tap_col = k, s.c_col = n;
  return s;
}

const Target kTarget = wasm_target(true, false);

TEST(Search, BeginsWithThePriorsPickOfEverySpecInTheOrderOfTheirWork) {
  Search search({product(64, 64, 64), product(512, 512, 512), MapSpec{}}, kTarget, {});
  const auto first = search.next_batch(4);
  ASSERT_EQ(first.size(), 4u);
  for (const auto& c : first) EXPECT_EQ(c.spec, 1);
  EXPECT_EQ(first[0].schedule, prior(product(512, 512, 512), kTarget, {}));
  const auto second = search.next_batch(4);
  ASSERT_FALSE(second.empty());
  EXPECT_EQ(second[0].spec, 0);
  EXPECT_EQ(second[0].schedule, prior(product(64, 64, 64), kTarget, {}));
  std::set<std::string> seen;
  for (auto batch = search.next_batch(3); !batch.empty(); batch = search.next_batch(3))
    for (const auto& c : batch) EXPECT_TRUE(seen.insert(std::to_string(c.spec) + to_string(c.schedule)).second);
}

TEST(Search, KeepsThePriorsPickUnlessAnotherIsClearlyFasterTwice) {
  Search search({product(256, 256, 256)}, kTarget, {});
  const auto batch = search.next_batch(4);
  ASSERT_GE(batch.size(), 4u);
  EXPECT_EQ(search.best(0).origin, Origin::prior);
  const double times[] = {100, 99, 90, -1};  // the last one failed
  for (size_t i = 0; i < 4; ++i) search.report(i, times[i]);
  EXPECT_EQ(search.best(0).schedule, batch[0].schedule);
  EXPECT_EQ(search.best(0).origin, Origin::measured);
  const auto confirm = [&](double best, double challenger) {
    const auto pair = search.next_batch(4);
    ASSERT_EQ(pair.size(), 2u);
    EXPECT_EQ(pair[0].schedule, search.best(0).schedule);
    EXPECT_EQ(pair[1].schedule, batch[2].schedule);
    search.report(0, best);
    search.report(1, challenger);
  };
  confirm(92, 90);  // chance, the first time
  EXPECT_EQ(search.best(0).schedule, batch[0].schedule);
  EXPECT_EQ(search.best(0).nanoseconds, 92);

  Search again({product(256, 256, 256)}, kTarget, {});
  std::swap(search, again);
  ASSERT_EQ(search.next_batch(4).size(), 4u);
  for (size_t i = 0; i < 4; ++i) search.report(i, times[i]);
  confirm(101, 91);
  EXPECT_EQ(search.best(0).schedule, batch[2].schedule);
  EXPECT_EQ(search.best(0).nanoseconds, 91);
  EXPECT_NE(search.next_batch(4)[0].schedule, batch[2].schedule) << "the rest goes on";
}

TEST(Search, LeavesOutWhatTheModelThinksMuchSlower) {
  const KernelSpec spec = product(128, 768, 768);
  Search search({spec}, kTarget, {});
  const double limit = 1.2 * predicted_cost(spec, prior(spec, kTarget, {}), kTarget, {});
  size_t count = 0;
  for (auto batch = search.next_batch(8); !batch.empty(); batch = search.next_batch(8))
    for (const auto& c : batch) {
      ++count;
      EXPECT_LE(predicted_cost(spec, c.schedule, kTarget, {}), limit);
    }
  EXPECT_GT(count, 4u);
  EXPECT_LT(count, candidates(spec, kTarget).size());
}

/// 3x3.
ContractionSpec convolution(int64_t side, int64_t channels, int64_t filters, int64_t stride) {
  ContractionSpec s;
  s.oh = s.ow = side, s.kh = s.kw = 3, s.k = channels, s.n = filters;
  s.a_tap_col = channels, s.a_tap_row = ((side - 1) * stride + 3) * channels;
  s.a_col = stride * s.a_tap_col, s.a_row = stride * s.a_tap_row;
  s.c_col = filters, s.c_row = side * filters;
  s.winograd = 4;
  return s;
}
ContractionSpec convolution(int64_t side, int64_t channels) { return convolution(side, channels, channels, 1); }

Device with_l2(int64_t bytes) {
  Device device;
  device.l2_bytes = bytes;
  return device;
}

TEST(Prior, WinogradMustBeWorthItsWeights) {
  const auto algorithm = [&](int64_t side, int64_t channels) {
    return prior(convolution(side, channels), kTarget, {}).algorithm;
  };
  EXPECT_EQ(algorithm(56, 64), Algorithm::winograd4);
  EXPECT_NE(algorithm(14, 256), Algorithm::winograd4);
  EXPECT_EQ(algorithm(7, 512), Algorithm::direct);
}

TEST(Prior, StridedWinogradIsForLargeImagesInPages) {
  const auto algorithm = [](int64_t side, int64_t channels, int64_t filters, const Target& target) {
    return prior(convolution(side, channels, filters, 2), target, {}).algorithm;
  };
  EXPECT_EQ(algorithm(160, 16, 32, kTarget), Algorithm::winograd4);
  EXPECT_EQ(algorithm(80, 32, 64, kTarget), Algorithm::winograd4);
  EXPECT_EQ(algorithm(40, 64, 128, kTarget), Algorithm::winograd2);
  EXPECT_EQ(algorithm(28, 128, 128, kTarget), Algorithm::direct);
  EXPECT_EQ(algorithm(7, 512, 512, kTarget), Algorithm::direct);
  Target native;
  native.isa = Isa::avx2;
  EXPECT_EQ(algorithm(160, 16, 32, native), Algorithm::direct);
}

TEST(Prior, WinogradBlocksFillHalfOfTheSecondCacheAndNoRangeIsSplitThatNeedNotBe) {
  for (const int64_t l2 : {512 << 10, 1 << 20, 4 << 20}) {
    const Schedule pick = prior(convolution(56, 64), kTarget, with_l2(l2));
    ASSERT_EQ(pick.algorithm, Algorithm::winograd4);
    EXPECT_GT(pick.mc, 0) << "all 196 tiles at once take 3.6 MB";
    EXPECT_LE(36 * pick.mc * (64 + 64) * 4, l2 / 2);
    EXPECT_EQ(pick.nc, 0);
  }
}

TEST(Prior, BlocksOfAProductFollowTheSecondCache) {
  const ContractionSpec s = product(4096, 1024, 256);
  int64_t last = 0;
  for (const int64_t l2 : {256 << 10, 512 << 10, 1 << 20, 2 << 20}) {
    const int64_t rows = prior(s, kTarget, with_l2(l2)).mc;
    EXPECT_LE(rows * 256 * 4, l2 * 3 / 4);
    EXPECT_GT(rows, last);
    last = rows;
  }
  EXPECT_EQ(prior(s, kTarget, with_l2(64 << 20)).mc, 0) << "all of it fits";
}

/// The share of the elements of C that two repeats of the kernel write.
double written(const BenchProgram& bench, const Target& target, size_t index, int64_t rows, int64_t row, int64_t n) {
  std::vector<float> memory(static_cast<size_t>(bench.bytes / 4 + 16), 1.0f);
  const int64_t base = round_up(testing::address(memory.data()), 64);
  Status emitted = ok();
  const auto machine = testing::load(target, [&](Emitter& e) { emitted = emit_bench(e, bench); });
  EXPECT_TRUE(emitted.ok() && machine.ok());
  if (!machine) return -1;
  (*machine)->allow(memory.data(), static_cast<int64_t>(memory.size()) * 4);
  EXPECT_TRUE((*machine)->call("bench", {base, static_cast<int64_t>(index), 2}).ok());
  const auto* c = reinterpret_cast<const float*>(base + bench.program.steps[index].operands[0]);
  int64_t changed = 0;  // sums of many ones are not one
  for (int64_t i = 0; i < rows * n; ++i) changed += c[i / n * row + i % n] != 1.0f;
  return static_cast<double>(changed) / static_cast<double>(rows * n);
}

TEST(Prior, RowsOfABlockLieAsFarApartAsTheStrideSays) {
  // A layer of wav2vec 2.0: 3 taps of 512 channels, every other sample.
  ContractionSpec s;
  s.ow = 3199, s.kw = 3, s.k = 512, s.n = 512;
  s.a_col = 1024, s.a_tap_col = 512, s.c_col = 512;
  for (const int64_t l2 : {int64_t{512} << 10, int64_t{1} << 20}) {
    const int64_t rows = prior(s, kTarget, with_l2(l2)).mc;
    EXPECT_GT(rows, 0);
    EXPECT_LE(rows * s.a_col * 4, l2 * 4 / 5) << "three quarters, and less than a tile";
  }
}

TEST(Bench, GoesThroughALargeKernelInPartsAndRunsAllOfASmallOne) {
  const std::vector<KernelSpec> specs{product(12, 20000, 200), product(5, 7, 9)};
  for (const Target& target : testing::targets()) {
    const std::vector<Search::Candidate> batch{{0, prior(specs[0], target, {})}, {1, prior(specs[1], target, {})}};
    const BenchProgram bench = make_bench_program(specs, batch, target);
    ASSERT_EQ(bench.portions.size(), 2u);
    EXPECT_LT(bench.portions[0].share, 1);
    EXPECT_EQ(bench.portions[1].share, 1);
    EXPECT_NEAR(written(bench, target, 0, 12, 20000, 20000), 2 * bench.portions[0].share, 0.03) << to_string(target);
    EXPECT_EQ(written(bench, target, 1, 5, 7, 7), 1) << to_string(target);
  }
}

/// Panels of some blocks, or whole blocks; all that there is where the last of few blocks is smaller.
TEST(Bench, TakesPartsOfBlocks) {
  const ContractionSpec plain = product(2000, 128, 512), image = convolution(80, 64), small = convolution(20, 128);
  for (const Target& target : testing::targets()) {
    Schedule blocks, tiles;
    blocks.mr = 2, blocks.nv = 2, blocks.unroll = 4;
    tiles = blocks;
    blocks.mc = 90, tiles.mc = 12;
    tiles.algorithm = Algorithm::winograd4;
    const BenchProgram bench = make_bench_program({plain, image, small}, {{0, blocks}, {1, tiles}, {2, tiles}}, target);
    EXPECT_LT(bench.portions[0].share, 0.15);
    EXPECT_NEAR(written(bench, target, 0, 2000, 128, 128), 2 * bench.portions[0].share, 0.01) << to_string(target);
    EXPECT_LT(bench.portions[1].share, 0.15);
    EXPECT_NEAR(written(bench, target, 1, 80 * 80, 64, 64), 2 * bench.portions[1].share, 0.01) << to_string(target);
    EXPECT_EQ(bench.portions[2].share, 1);
  }
}

}  // namespace
}  // namespace kiln
