// Maps over random boxes, strides, types and thread splits, against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

/// out = a·b + c with random strides (0 where broadcast), each on its own memory.
void check_random_box(const Target& target, Random& random) {
  MapSpec s;
  const int64_t rank = pick(random, 0, 5);
  const bool large = pick(random, 0, 9) == 0;
  for (int64_t d = 0; d < rank; ++d) s.dims.push_back(pick(random, 1, rank == 1 ? 9000 : large && d < 2 ? 70 : 9));
  s.out.strides = random_strides(random, s.dims);
  for (int i = 0; i < 3; ++i) {
    StridedOperand o;
    o.strides = random_strides(random, s.dims);
    for (int64_t& st : o.strides)
      if (pick(random, 0, 4) == 0) st = 0;
    s.inputs.push_back(o);
  }
  const uint16_t product = s.expr.binary(PointOp::mul, s.expr.input(0), s.expr.input(1));
  s.expr.binary(PointOp::add, product, s.expr.input(2));

  Guarded<float> out(extent(s.dims, s.out.strides));
  std::vector<Guarded<float>> in;
  for (const StridedOperand& o : s.inputs) {
    in.emplace_back(extent(s.dims, o.strides));
    for (int64_t i = 0; i < in.back().size(); ++i)
      in.back()[i] = static_cast<float>(pick(random, -1000, 1000)) / 8;  // exact products
  }
  Schedule schedule;
  schedule.any_size = pick(random, 0, 1) == 1;
  if (!family_of(s).feasible(s, schedule, target)) schedule.any_size = false;
  Kernel kernel(target, s, schedule);
  kernel.allow(out.data(), out.bytes());
  for (auto& i : in) kernel.allow(i.data(), i.bytes());
  const Status status =
      kernel.run({out.data(), in[0].data(), in[1].data(), in[2].data()}, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  std::vector<bool> written(static_cast<size_t>(out.size()));
  int wrong = 0;
  each_index(s.dims, [&](const Sizes& index) {
    const int64_t at = dot(index, s.out.strides);
    written[static_cast<size_t>(at)] = true;
    const float expected = in[0][dot(index, s.inputs[0].strides)] * in[1][dot(index, s.inputs[1].strides)] +
                           in[2][dot(index, s.inputs[2].strides)];
    wrong += out[at] != expected;
  });
  EXPECT_EQ(wrong, 0) << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(out.intact());
  for (int64_t i = 0; i < out.size(); ++i)
    if (!written[static_cast<size_t>(i)]) {
      ASSERT_TRUE(out.untouched(i)) << to_string(KernelSpec(s));
    }
}

TEST(Map, RandomBoxes) {
  for (const Target& target : targets()) {
    Random random(11);
    for (int i = 0; i < (target.isa == Isa::reference ? 80 : 300); ++i) check_random_box(target, random);
  }
}

/// A copy between layouts: out in the order of `dims`, the input in a permutation of it.
void check_transpose(const Target& target, const Sizes& dims, const Sizes& in_strides) {
  MapSpec s;
  s.dims = dims;
  s.out.strides.assign(dims.size(), 1);
  for (size_t d = dims.size() - 1; d-- > 0;) s.out.strides[d] = s.out.strides[d + 1] * dims[d + 1];
  s.inputs.push_back({DType::f32, in_strides});
  s.expr = identity_expr();
  Guarded<float> out(extent(dims, s.out.strides)), in(extent(dims, in_strides));
  for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  Kernel kernel(target, s);
  kernel.allow(out.data(), out.bytes());
  kernel.allow(in.data(), in.bytes());
  ASSERT_TRUE(kernel.run({out.data(), in.data()}, 2).ok());
  each_index(dims, [&](const Sizes& index) {
    ASSERT_EQ(out[dot(index, s.out.strides)], static_cast<float>(dot(index, in_strides)));
  });
  EXPECT_TRUE(out.intact());
}

TEST(Map, Transposes) {
  for (const Target& target : targets()) {
    check_transpose(target, {33, 47, 3}, {47, 1, 33 * 47});          // planes to interleaved channels
    check_transpose(target, {3, 33, 47}, {1, 47 * 3, 3});            // and back
    check_transpose(target, {130, 96}, {1, 130});                    // blocked
    check_transpose(target, {75, 97}, {1, 75});                      // no divisor for a block
    check_transpose(target, {2, 5, 24, 9}, {5 * 24 * 9, 9, 45, 1});  // heads
  }
}

/// A flipped input: its operand is the address of the element that comes first.
TEST(Map, NegativeStrides) {
  for (const Target& target : targets()) {
    MapSpec s;
    s.dims = {5, 37};
    s.out.strides = {37, 1};
    s.inputs.push_back({DType::f32, {-37, -1}});
    s.inputs.push_back({DType::u8, {37, -1}});
    s.expr.input(0);
    s.expr.input(1, Lane::i32);
    const uint16_t wide = s.expr.unary(PointOp::to_f32, 1);
    s.expr.binary(PointOp::add, 0, wide);
    Guarded<float> out(185), in(185);
    Guarded<uint8_t> bytes(185);
    for (int64_t i = 0; i < 185; ++i) in[i] = static_cast<float>(1000 * i), bytes[i] = static_cast<uint8_t>(i);
    Kernel kernel(target, s);
    kernel.allow(out.data(), out.bytes());
    kernel.allow(in.data(), in.bytes());
    kernel.allow(bytes.data(), bytes.bytes());
    ASSERT_TRUE(kernel.run({out.data(), &in[184], &bytes[36]}).ok());
    for (int64_t r = 0; r < 5; ++r)
      for (int64_t c = 0; c < 37; ++c)
        ASSERT_EQ(out[r * 37 + c], in[184 - r * 37 - c] + static_cast<float>(bytes[r * 37 + 36 - c]))
            << to_string(target);
  }
}

/// Every pair of types in memory, read and written through the lanes of an expression.
template <class From, class To>
void check_cast(const Target& target, DType from, DType to, PointOp op, Lane lane, To (*expected)(From)) {
  MapSpec s;
  constexpr int64_t n = 37;
  for (const int64_t stride : {1, 3}) {
    s.dims = {n};
    s.out = {to, {stride}};
    s.inputs = {{from, {stride}}};
    s.expr = identity_expr(lane);
    if (op != PointOp::input) s.expr.unary(op, 0);
    Guarded<From> in(n * stride);
    Guarded<To> out(n * stride);
    for (int64_t i = 0; i < in.size(); ++i)
      in[i] = static_cast<From>(from == DType::boolean ? i % 3 == 0 : (i - 11) * 3);
    Kernel kernel(target, s);
    kernel.allow(out.data(), out.bytes());
    kernel.allow(in.data(), in.bytes());
    ASSERT_TRUE(kernel.run({out.data(), in.data()}).ok());
    for (int64_t i = 0; i < n; ++i)
      EXPECT_EQ(out[i * stride], expected(in[i * stride]))
          << name_of(from) << " to " << name_of(to) << " " << i << " on " << to_string(target);
    EXPECT_TRUE(out.intact());
  }
}

TEST(Map, Casts) {
  for (const Target& t : targets()) {
    check_cast<float, float>(t, DType::f32, DType::f32, PointOp::input, Lane::f32, [](float x) { return x; });
    check_cast<int64_t, float>(t, DType::i64, DType::f32, PointOp::to_f32, Lane::i64,
                               [](int64_t x) { return static_cast<float>(x); });
    check_cast<float, int64_t>(t, DType::f32, DType::i64, PointOp::to_i64, Lane::f32,
                               [](float x) { return static_cast<int64_t>(x); });
    check_cast<int32_t, int64_t>(t, DType::i32, DType::i64, PointOp::to_i64, Lane::i32,
                                 [](int32_t x) { return static_cast<int64_t>(x); });
    check_cast<uint8_t, float>(t, DType::u8, DType::f32, PointOp::to_f32, Lane::i32,
                               [](uint8_t x) { return static_cast<float>(x); });
    check_cast<int8_t, float>(t, DType::i8, DType::f32, PointOp::to_f32, Lane::i32,
                              [](int8_t x) { return static_cast<float>(x); });
    check_cast<int8_t, int8_t>(t, DType::i8, DType::i8, PointOp::abs, Lane::i32,
                               [](int8_t x) { return static_cast<int8_t>(std::abs(x)); });
    check_cast<bool, float>(t, DType::boolean, DType::f32, PointOp::to_f32, Lane::mask,
                            [](bool x) { return x ? 1.0f : 0.0f; });
    check_cast<float, bool>(t, DType::f32, DType::boolean, PointOp::to_mask, Lane::f32, [](float x) { return x != 0; });
    check_cast<bool, bool>(t, DType::boolean, DType::boolean, PointOp::logical_not, Lane::mask,
                           [](bool x) { return !x; });
    check_cast<int64_t, bool>(t, DType::i64, DType::boolean, PointOp::to_mask, Lane::i64,
                              [](int64_t x) { return x != 0; });
  }
}

/// One value in, one out, through an expression.
float evaluate(const Target& target, const Expr& expr, float a, float b) {
  MapSpec s;
  s.dims = {1};
  s.out.strides = {1};
  s.inputs = {{DType::f32, {1}}, {DType::f32, {1}}};
  s.expr = expr;
  float out = 0;
  Kernel kernel(target, s);
  EXPECT_TRUE(kernel.run({&out, &a, &b}).ok());
  return out;
}

TEST(Map, MinMaxClampPassNaN) {
  const float nan = NAN;
  for (const Target& target : targets()) {
    for (const PointOp op : {PointOp::min, PointOp::max}) {
      Expr two, left, right;
      two.binary(op, two.input(0), two.input(1));
      left.binary(op, left.constant(2), left.input(0));
      right.binary(op, right.input(0), right.constant(2));
      EXPECT_TRUE(std::isnan(evaluate(target, two, nan, 1)));
      EXPECT_TRUE(std::isnan(evaluate(target, two, 1, nan)));
      EXPECT_TRUE(std::isnan(evaluate(target, left, nan, 0)));
      EXPECT_TRUE(std::isnan(evaluate(target, right, nan, 0)));
      EXPECT_EQ(evaluate(target, two, 1, 3), op == PointOp::min ? 1 : 3);
      EXPECT_EQ(evaluate(target, left, 3, 0), op == PointOp::min ? 2 : 3);
    }
  }
}

/// The zero of either sign are different constants, and so are different specs.
TEST(Map, SignedZeroConstants) {
  Expr e;
  const uint16_t plus = e.constant(0.0f), minus = e.constant(-0.0f);
  EXPECT_NE(plus, minus);
  EXPECT_NE(to_string(e), "c0;c0");
  for (const Target& target : targets()) {
    Expr d;
    d.binary(PointOp::div, d.input(0), d.constant(-0.0f));
    EXPECT_EQ(evaluate(target, d, 1, 0), -INFINITY);
  }
}

TEST(Map, GeluAgreesWithDouble) {
  for (const Target& target : targets()) {
    MapSpec s;
    constexpr int64_t n = 5003;
    s.dims = {n};
    s.out.strides = {1};
    s.inputs = {{DType::f32, {1}}};
    Expr& e = s.expr;
    const uint16_t x = e.input(0);
    const uint16_t erf = e.unary(PointOp::erf, e.binary(PointOp::mul, x, e.constant(0.70710678f)));
    e.binary(PointOp::mul, e.binary(PointOp::mul, x, e.constant(0.5f)), e.binary(PointOp::add, erf, e.constant(1)));
    Guarded<float> in(n), out(n);
    for (int64_t i = 0; i < n; ++i) in[i] = (static_cast<float>(i) - 2000) / 400;
    Kernel kernel(target, s);
    ASSERT_TRUE(kernel.run({out.data(), in.data()}, 2).ok());
    for (int64_t i = 0; i < n; ++i) {
      const double v = static_cast<double>(in[i]);
      ASSERT_NEAR(out[i], 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))), 1e-6 * std::max(1.0, std::fabs(v)));
    }
  }
}

}  // namespace
}  // namespace kiln
