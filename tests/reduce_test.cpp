// Reductions over random dims and strides against plain loops in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

struct Expected {
  double value = 0;
  double magnitude = 0;  ///< sum of |x|: what the error of a sum scales with
};

template <class T>
Expected reduce(ReduceKind kind, const std::vector<T>& x) {
  Expected r{kind == ReduceKind::prod || kind == ReduceKind::all ? 1.0 : 0.0, 0};
  if (kind == ReduceKind::max || kind == ReduceKind::min) r.value = static_cast<double>(x[0]);
  size_t best = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto v = static_cast<double>(x[i]);
    r.magnitude += std::fabs(v);
    switch (kind) {
      case ReduceKind::sum:
        r.value += v;
        break;
      case ReduceKind::mean:
        r.value += v / static_cast<double>(x.size());
        break;
      case ReduceKind::prod:
        r.value *= v;
        break;
      case ReduceKind::max:
        r.value = std::isnan(v) || std::isnan(r.value) ? NAN : std::max(r.value, v);
        break;
      case ReduceKind::min:
        r.value = std::isnan(v) || std::isnan(r.value) ? NAN : std::min(r.value, v);
        break;
      case ReduceKind::argmax:
        if (x[i] > x[best] || (std::isnan(v) && !std::isnan(static_cast<double>(x[best])))) best = i;
        break;
      case ReduceKind::argmin:
        if (x[i] < x[best] || (std::isnan(v) && !std::isnan(static_cast<double>(x[best])))) best = i;
        break;
      case ReduceKind::any:
        r.value = r.value != 0 || v != 0;
        break;
      case ReduceKind::all:
        r.value = r.value != 0 && v != 0;
        break;
    }
  }
  if (kind == ReduceKind::argmax || kind == ReduceKind::argmin) r.value = static_cast<double>(best);
  return r;
}

template <class In, class Out>
void check(const Target& target, Random& random, ReduceKind kind, DType in_type, DType out_type) {
  ReduceSpec s;
  s.kind = kind;
  s.dtype = in_type;
  s.out_dtype = out_type;
  Sizes dims;
  const int64_t rank = pick(random, 1, 4);
  for (int64_t d = 0; d < rank; ++d) dims.push_back(pick(random, 1, rank == 1 ? 300 : 40 / rank));
  if (pick(random, 0, 2) == 0) dims.back() = pick(random, 30, 90);
  const Sizes strides = random_strides(random, dims);
  for (int64_t d = 0; d < rank; ++d) {
    const bool kept = pick(random, 0, 1);
    (kept ? s.kept : s.reduced).push_back(dims[static_cast<size_t>(d)]);
    (kept ? s.in_kept : s.in_reduced).push_back(strides[static_cast<size_t>(d)]);
  }
  s.out_kept = random_strides(random, s.kept);
  const bool fused = out_type == DType::f32 && pick(random, 0, 1);
  const Sizes bias_strides = random_strides(random, s.kept);
  if (fused) {
    Expr& e = s.epilogue.expr;
    e.binary(PointOp::add, e.input(0), e.input(1));
    s.epilogue.operands.push_back({DType::f32, bias_strides});
  }
  Guarded<In> in(extent(dims, strides));
  Guarded<Out> out(extent(s.kept, s.out_kept));
  Guarded<float> bias(extent(s.kept, bias_strides));
  // few distinct values, so that there are ties; now and then a NaN, which must reach the result
  for (int64_t i = 0; i < in.size(); ++i)
    in[i] = static_cast<In>(in_type == DType::boolean ? pick(random, 0, 20) > (kind == ReduceKind::all ? 0 : 19)
                                                      : pick(random, -9, 9));
  if (kind == ReduceKind::prod)  // stays finite over many factors
    for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<In>(1 + static_cast<double>(in[i]) / 64);
  if (in_type == DType::f32 && pick(random, 0, 2) == 0) in[pick(random, 0, in.size() - 1)] = static_cast<In>(NAN);
  for (int64_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i % 7);

  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  kernel.allow(out.data(), out.bytes());
  kernel.allow(bias.data(), bias.bytes());
  kernel.allow(kernel.scratch(), 4 * target.width);
  std::vector<void*> operands{out.data(), in.data()};
  if (fused) operands.push_back(bias.data());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index(s.kept, [&](const Sizes& kept) {
    std::vector<In> x;
    each_index(s.reduced, [&](const Sizes& r) { x.push_back(in[dot(kept, s.in_kept) + dot(r, s.in_reduced)]); });
    Expected want = reduce(kind, x);
    if (fused) want.value += static_cast<double>(bias[dot(kept, bias_strides)]);
    const auto got = static_cast<double>(out[dot(kept, s.out_kept)]);
    const std::string where = to_string(KernelSpec(s)) + " on " + to_string(target);
    if (std::isnan(want.value)) {
      ASSERT_TRUE(std::isnan(got)) << where;
    } else {
      // n additions or products of n terms err by at most n·eps relative to the sum of magnitudes or the
      // product
      const double n = static_cast<double>(x.size()),
                   scale = kind == ReduceKind::prod ? std::fabs(want.value) : want.magnitude + 7;
      const bool exact = out_type != DType::f32;
      ASSERT_NEAR(got, want.value, exact ? 0 : n * 1.2e-7 * scale) << where;
    }
  });
  EXPECT_TRUE(out.intact());
}

TEST(Reduce, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(31);
    for (int i = 0; i < 15; ++i) {
      for (const ReduceKind k : {ReduceKind::sum, ReduceKind::mean, ReduceKind::prod, ReduceKind::max, ReduceKind::min})
        check<float, float>(target, random, k, DType::f32, DType::f32);
      check<float, int64_t>(target, random, ReduceKind::argmax, DType::f32, DType::i64);
      check<float, int64_t>(target, random, ReduceKind::argmin, DType::f32, DType::i64);
      check<int32_t, int64_t>(target, random, ReduceKind::argmax, DType::i32, DType::i64);
      check<bool, bool>(target, random, ReduceKind::any, DType::boolean, DType::boolean);
      check<bool, bool>(target, random, ReduceKind::all, DType::boolean, DType::boolean);
      for (const ReduceKind k : {ReduceKind::max, ReduceKind::min}) {
        check<int32_t, int32_t>(target, random, k, DType::i32, DType::i32);
        check<int8_t, int8_t>(target, random, k, DType::i8, DType::i8);
        check<uint8_t, uint8_t>(target, random, k, DType::u8, DType::u8);
      }
    }
  }
}

Sizes compact(const Sizes& dims) {
  Sizes strides(dims.size(), 1);
  for (size_t d = dims.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * dims[d + 1];
  return strides;
}
struct LongSum {
  Sizes kept, in_kept, reduced, in_reduced;
};

void check_long(const Target& target, ReduceKind kind, const LongSum& sum, float start, float step) {
  ReduceSpec s;
  s.kind = kind;
  s.kept = sum.kept, s.in_kept = sum.in_kept, s.reduced = sum.reduced, s.in_reduced = sum.in_reduced;
  s.out_kept = compact(s.kept);
  Sizes dims = s.kept, strides = s.in_kept;
  dims.insert(dims.end(), s.reduced.begin(), s.reduced.end());
  strides.insert(strides.end(), s.in_reduced.begin(), s.in_reduced.end());
  std::vector<float> in(static_cast<size_t>(extent(dims, strides)));
  for (size_t i = 0; i < in.size(); ++i) in[i] = start + step * static_cast<float>(i % 1000);
  std::vector<float> out(static_cast<size_t>(extent(s.kept, s.out_kept)));
  Kernel kernel(target, s);
  ASSERT_TRUE(kernel.run({out.data(), in.data()}).ok());
  each_index(s.kept, [&](const Sizes& kept) {
    double want = 0, count = 0;
    each_index(s.reduced, [&](const Sizes& r) {
      want += static_cast<double>(in[static_cast<size_t>(dot(kept, s.in_kept) + dot(r, s.in_reduced))]), ++count;
    });
    if (kind == ReduceKind::mean) want /= count;
    // On each of up to five levels sums of 64 terms, whose roundings mostly cancel; one after the other would be off by
    // 1e-3 to 0.3.
    const auto got = static_cast<double>(out[static_cast<size_t>(dot(kept, s.out_kept))]);
    EXPECT_NEAR(got, want, 2e-6 * want) << to_string(KernelSpec(s)) << " on " << to_string(target);
  });
}

/// Of as many terms as images and recordings have; on interpreters of fewer.
TEST(Reduce, SumsOfManyTermsAreAsGoodAsPairwise) {
  for (const Target& target : targets()) {
    const std::vector<Target> real = real_targets();
    const bool fast = std::any_of(real.begin(), real.end(), [&](const Target& t) { return t.isa == target.isa; });
    const int64_t many = fast ? 5000000 : 70001, rows = fast ? 1080 : 33, columns = fast ? 1920 : 211;
    for (const ReduceKind kind : {ReduceKind::sum, ReduceKind::mean}) {
      check_long(target, kind, {{1}, {0}, {many}, {1}}, 0.1f, 0);                             // lanes along the sum
      check_long(target, kind, {{3}, {1}, {rows, columns}, {3 * columns, 3}}, 0.1f, 0);       // a mean of pixels
      check_long(target, kind, {{2}, {1}, {many / 10}, {2}}, 1000, 0.001f);                   // of rows
      check_long(target, kind, {{2}, {3}, {many / 10, 3}, {6, 1}}, 0.1f, 0.001f);             // of short runs
      check_long(target, kind, {{2}, {2 * rows * columns}, {rows * columns}, {2}}, 0.3f, 0);  // one by one
    }
  }
}

TEST(Reduce, AMeanOfEqualNumbersIsThatNumber) {
  for (const Target& target : targets()) {
    for (const int64_t n : {3, 41, 49, 196}) {
      ReduceSpec s;
      s.kind = ReduceKind::mean;
      s.kept = {1}, s.in_kept = s.out_kept = {0};
      s.reduced = {n}, s.in_reduced = {1};
      std::vector<float> in(static_cast<size_t>(n), 1), out(1);
      ASSERT_TRUE(Kernel(target, s).run({out.data(), in.data()}).ok());
      EXPECT_EQ(out[0], 1) << n << " on " << to_string(target);
    }
  }
}

TEST(Reduce, ChannelsSplitOverUnits) {
  ReduceSpec s;
  s.kind = ReduceKind::mean;
  s.kept = {2048};
  s.in_kept = s.out_kept = {1};
  s.reduced = {7, 7};
  s.in_reduced = {7 * 2048, 2048};
  for (const Target& target : targets()) EXPECT_GE(Kernel(target, s).units(), 32) << to_string(target);
}

}  // namespace
}  // namespace kiln
