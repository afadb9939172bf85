// Attention of odd sizes and layouts, on every machine, against plain loops in double precision.
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
  int64_t images, heads, rows, keys, depth, columns;
  bool masked;       ///< scores + a mask of [images, 1, 1, keys]
  bool packed;       ///< keys and V
  int64_t late = 0;  ///< of the keys, in a place of their own: a matrix for each head
};

Problem random_problem(Random& random) {
  const auto one_of = [&](std::initializer_list<int64_t> list) {
    return list.begin()[pick(random, 0, static_cast<int64_t>(list.size()) - 1)];
  };
  Problem p{one_of({1, 2}),
            one_of({1, 3}),
            one_of({1, 2, 7, 13, 25}),
            one_of({1, 3, 4, 17, 40}),
            one_of({1, 3, 8, 17}),
            one_of({1, 4, 5, 24, 70}),
            pick(random, 0, 1) == 1,
            pick(random, 0, 1) == 1};
  if (!p.packed && pick(random, 0, 1)) p.late = std::min<int64_t>(p.keys - 1, pick(random, 1, 3));
  return p;
}

/// Heads stand side by side in a row, as projections leave them.
AttentionSpec spec_of(const Problem& p) {
  AttentionSpec s;
  ContractionSpec& q = s.scores;
  ContractionSpec& v = s.values;
  q.batch = v.batch = {p.images, p.heads};
  q.ow = v.ow = p.rows, q.k = p.depth, q.n = p.keys, v.k = p.keys, v.n = p.columns;
  q.a_col = p.heads * p.depth, q.a_batch = {p.rows * q.a_col, p.depth};
  const int64_t k_matrix = packed_size(p.depth, p.keys), v_matrix = packed_size(p.keys, p.columns);
  q.b_batch = {p.heads * k_matrix, k_matrix}, v.b_batch = {p.heads * v_matrix, v_matrix};
  if (!p.packed) {
    s.k_row = p.heads * p.depth, s.v_row = p.heads * p.columns;
    q.b_batch = {p.keys * s.k_row, p.depth}, v.b_batch = {p.keys * s.v_row, p.columns};
  }
  if (p.late) {
    s.late = p.late, s.late_k_row = p.depth, s.late_v_row = p.columns;
    s.late_k_batch = {p.heads * p.late * p.depth, p.late * p.depth};
    s.late_v_batch = {p.heads * p.late * p.columns, p.late * p.columns};
  }
  v.c_col = p.heads * p.columns + 1, v.c_batch = {p.rows * v.c_col, p.columns};
  Expr& e = q.epilogue.expr;
  const uint16_t scaled = e.binary(PointOp::mul, e.input(0), e.constant(0.37f));
  if (p.masked) {
    e.binary(PointOp::add, scaled, e.input(1));
    q.epilogue.operands = {{DType::f32, {p.keys, 0, 0, 0, 1}}};
  }
  return s;
}

PackSpec pack_of(const Problem& p, int64_t k, int64_t n, int64_t src_k, int64_t src_n, int64_t src_image,
                 int64_t src_head) {
  PackSpec s;
  s.batch = {p.images, p.heads}, s.src_batch = {src_image, src_head};
  s.k = k, s.n = n, s.src_k = src_k, s.src_n = src_n;
  return s;
}

void check(const Target& target, const Problem& p, const Schedule& schedule, Random& random) {
  AttentionSpec s = spec_of(p);
  s.scores.int16 = schedule.algorithm == Algorithm::int16;
  ASSERT_TRUE(family_of(s).feasible(s, schedule, target));
  const int64_t qk = p.heads * p.depth, vc = p.heads * p.columns;
  Guarded<float> q(p.images * p.rows * qk), k(p.images * p.keys * qk), v(p.images * p.keys * vc),
      mask(p.images * p.keys), packed_k(p.images * p.heads * packed_size(p.depth, p.keys)),
      packed_v(p.images * p.heads * packed_size(p.keys, p.columns)), c(p.images * s.values.c_batch[0]);
  for (auto* t : {&q, &k, &v, &mask})
    for (int64_t i = 0; i < t->size(); ++i) (*t)[i] = static_cast<float>(pick(random, -100, 100)) / 64;
  if (pick(random, 0, 2) == 0)  // the last image sees nothing
    for (int64_t j = 0; j < p.keys; ++j) mask[(p.images - 1) * p.keys + j] = -INFINITY;
  const auto allow = [&](Kernel& kernel) {
    for (auto* t : {&q, &k, &v, &mask, &packed_k, &packed_v, &c}) kernel.allow(t->data(), t->bytes());
  };
  if (p.packed) {
    Kernel pack_k(target, pack_of(p, p.depth, p.keys, 1, qk, p.keys * qk, p.depth), schedule);
    Kernel pack_v(target, pack_of(p, p.keys, p.columns, vc, 1, p.keys * vc, p.columns), schedule);
    allow(pack_k), allow(pack_v);
    ASSERT_TRUE(pack_k.run({packed_k.data(), k.data()}).ok());
    ASSERT_TRUE(pack_v.run({packed_v.data(), v.data()}).ok());
  }
  Kernel kernel(target, s, schedule);
  allow(kernel);
  std::vector<void*> operands{c.data(), q.data(), (p.packed ? packed_k : k).data(), (p.packed ? packed_v : v).data()};
  Guarded<float> early_k(k.size()), early_v(v.size()), late_k(p.images * p.heads * p.late * p.depth),
      late_v(p.images * p.heads * p.late * p.columns);
  if (p.late) {  // NaN where nobody may look
    const auto cut = [&](Guarded<float>& all, Guarded<float>& early, Guarded<float>& late, int64_t width) {
      each_index({p.images, p.keys, p.heads, width}, [&](const Sizes& at) {
        const int64_t from = ((at[0] * p.keys + at[1]) * p.heads + at[2]) * width + at[3],
                      j = at[1] - (p.keys - p.late);
        early[from] = j < 0 ? all[from] : NAN;
        if (j >= 0) late[((at[0] * p.heads + at[2]) * p.late + j) * width + at[3]] = all[from];
      });
    };
    cut(k, early_k, late_k, p.depth);
    cut(v, early_v, late_v, p.columns);
    for (auto* t : {&early_k, &early_v, &late_k, &late_v}) kernel.allow(t->data(), t->bytes());
    operands = {c.data(), q.data(), early_k.data(), early_v.data(), late_k.data(), late_v.data()};
  }
  if (p.masked) operands.push_back(mask.data());
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  double worst = 0;
  each_index({p.images, p.heads, p.rows}, [&](const Sizes& at) {
    std::vector<double> weight(static_cast<size_t>(p.keys));
    double max = -1e300, sum = 0;
    for (int64_t j = 0; j < p.keys; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < p.depth; ++d)
        dot += double{q[(at[0] * p.rows + at[2]) * qk + at[1] * p.depth + d]} *
               double{k[(at[0] * p.keys + j) * qk + at[1] * p.depth + d]};
      weight[static_cast<size_t>(j)] = dot * double{0.37f} + (p.masked ? double{mask[at[0] * p.keys + j]} : 0);
      max = std::max(max, weight[static_cast<size_t>(j)]);
    }
    for (double& w : weight) sum += w = std::exp(w - max);
    for (int64_t n = 0; n < p.columns; ++n) {
      double expected = 0;
      for (int64_t j = 0; j < p.keys; ++j)
        expected += weight[static_cast<size_t>(j)] / (sum > 0 ? sum : 1) *
                    double{v[(at[0] * p.keys + j) * vc + at[1] * p.columns + n]};
      const int64_t to = at[0] * s.values.c_batch[0] + at[1] * p.columns + at[2] * s.values.c_col + n;
      worst = std::max(worst, std::abs(expected - double{c[to]}));
    }
  });
  // Scores of up to 16 are rounded some twenty times before the exponential, whose relative error theirs becomes; the
  // values are below 1.6. Of integers, 32 elements of a row whose norm is 5.1 are each off by 0.55e-4 at most, which
  // adds up to 0.37 · 2 · 0.55e-4 · 0.9 · 8 in a score of 64 products if not all signs agree.
  EXPECT_LE(worst, s.scores.int16 ? 2 * 3e-4 * 1.6 : 1.2e-7 * 16 * 20 * 1.6)
      << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(c.intact());
  for (int64_t i = s.values.c_col - 1; i < c.size(); i += s.values.c_col)
    ASSERT_TRUE(c.untouched(i)) << "wrote beside its columns";
}

TEST(Attention, RandomProblemsAndTiles) {
  for (const Target& target : targets()) {
    Random random(13);
    for (int i = 0; i < (target.isa == Isa::reference ? 20 : 80); ++i) {
      const Problem p = random_problem(random);
      ContractionSpec scores = spec_of(p).scores;
      scores.epilogue = {};
      const std::vector<Schedule> tiles = candidates(scores, target);
      Schedule schedule = tiles[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(tiles.size()) - 1))];
      schedule.mc = static_cast<uint16_t>(schedule.mr * pick(random, 0, 3));
      check(target, p, p.packed ? schedule : prior(spec_of(p), target, {}), random);
    }
  }
}

TEST(Attention, InIntegers) {
  for (const Target& target : targets()) {
    Random random(14);
    const auto one_of = [&](const std::vector<int64_t>& values) {
      return values[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(values.size()) - 1))];
    };
    for (int i = 0; i < (target.isa == Isa::reference ? 6 : 30); ++i) {
      Problem p = random_problem(random);
      p.depth = 32 * pick(random, 1, 2), p.keys = one_of({32, 33, 64, 65, 70, 127, 150}), p.packed = true, p.late = 0;
      p.rows = std::max<int64_t>(p.rows, 4);
      AttentionSpec s = spec_of(p);
      s.scores.int16 = true;
      Schedule schedule;
      schedule.algorithm = Algorithm::int16, schedule.unroll = 4;
      schedule.mr = static_cast<uint8_t>(pick(random, 1, 5)), schedule.nv = static_cast<uint8_t>(pick(random, 1, 2));
      schedule.mc = static_cast<uint16_t>(schedule.mr * pick(random, 0, 3));
      check(target, p, schedule, random);
    }
  }
}

TEST(Attention, ThePriorsBlocksFitTheScratchOfACache) {
  for (const Target& target : {wasm_target(true, true), wasm_target(false, false), avx512_target()})
    for (const int64_t length : {1, 128, 1500, 100000}) {
      const AttentionSpec s = spec_of({1, 6, length, length, 64, 64, false, true});
      const Schedule schedule = prior(s, target, {});
      EXPECT_TRUE(family_of(s).feasible(s, schedule, target)) << length;
      EXPECT_LE(family_of(s).scratch_bytes(s, schedule, target), std::max<int64_t>(256 << 10, 12 * (length + 32) * 4));
    }
}

}  // namespace
}  // namespace kiln
