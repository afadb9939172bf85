// Reductions over random dims and strides against plain loops in double precision.
#include <gtest/gtest.h>

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
