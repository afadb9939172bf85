// Weighted sums of what a table names, over random shapes and strides, in double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

struct Box {
  Sizes others;
  int64_t step = 0, extent = 0;
};
/// Strides of `dims` with an axis of `count` somewhere among them.
Box box(Random& random, Sizes dims, int64_t count) {
  const auto at = static_cast<size_t>(pick(random, 0, static_cast<int64_t>(dims.size())));
  dims.insert(dims.begin() + static_cast<long>(at), count);
  Box b;
  b.others = random_strides(random, dims);
  b.extent = extent(dims, b.others);
  b.step = b.others[at];
  b.others.erase(b.others.begin() + static_cast<long>(at));
  return b;
}

template <class T>
void check(const Target& target, Random& random, DType type, bool weighted) {
  TapsSpec s;
  s.dtype = type;
  s.weighted = weighted;
  for (int64_t d = pick(random, 0, 3); d-- > 0;) s.dims.push_back(pick(random, 0, 2) ? pick(random, 1, 9) : 37);
  s.count = pick(random, 1, 25);
  s.taps = weighted ? pick(random, 2, 4) : 1;
  const int64_t inputs = pick(random, 1, 20);
  const Box from = box(random, s.dims, inputs), to = box(random, s.dims, s.count), added = box(random, s.dims, s.count);
  s.in = from.others, s.in_step = from.step;
  s.out = to.others, s.out_step = to.step;
  const bool fused = type == DType::f32 && pick(random, 0, 1);
  if (fused) {
    Expr& e = s.epilogue.expr;
    e.binary(PointOp::add, e.input(0), e.input(1));
    Sizes strides = added.others;
    strides.push_back(added.step);
    s.epilogue.operands.push_back({DType::f32, strides});
  }
  Guarded<T> in(from.extent), out(to.extent);
  Guarded<float> weights(s.taps * s.count), other(added.extent);
  Guarded<int32_t> index(s.taps * s.count);
  for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(pick(random, 0, 100));
  for (int64_t i = 0; i < other.size(); ++i) other[i] = static_cast<float>(pick(random, -100, 100));
  for (int64_t i = 0; i < index.size(); ++i) {
    index[i] = static_cast<int32_t>(pick(random, 0, inputs - 1));
    weights[i] = static_cast<float>(pick(random, -8, 8)) / 8;
  }
  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  kernel.allow(out.data(), out.bytes());
  kernel.allow(index.data(), index.bytes());
  kernel.allow(weights.data(), weights.bytes());
  kernel.allow(other.data(), other.bytes());
  std::vector<void*> operands{out.data(), in.data(), index.data()};
  if (weighted) operands.push_back(weights.data());
  if (fused) operands.push_back(other.data());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index(s.dims, [&](const Sizes& o) {
    for (int64_t i = 0; i < s.count; ++i) {
      double want = 0;  // eighths of small integers: exact
      for (int64_t t = 0; t < s.taps; ++t)
        want += static_cast<double>(in[dot(o, s.in) + index[t * s.count + i] * s.in_step]) *
                (weighted ? static_cast<double>(weights[t * s.count + i]) : 1);
      if (fused) want += static_cast<double>(other[dot(o, added.others) + i * added.step]);
      ASSERT_EQ(static_cast<double>(out[dot(o, s.out) + i * s.out_step]), want)
          << to_string(KernelSpec(s)) << " on " << to_string(target);
    }
  });
  EXPECT_TRUE(out.intact());
}

TEST(Taps, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(19);
    for (int i = 0; i < 40; ++i) {
      check<float>(target, random, DType::f32, true);
      check<float>(target, random, DType::f32, false);
      check<uint8_t>(target, random, DType::u8, false);
    }
  }
}

}  // namespace
}  // namespace kiln
