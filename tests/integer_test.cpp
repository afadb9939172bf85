// Integer arithmetic of expressions, 32 and 64 bits wide, through maps on every backend: against C++'s own operators,
// at the edges of 24, 31, 32, 53 and 63 bits.
#include "jit/integer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

std::vector<int64_t> edges(Lane lane) {
  std::vector<int64_t> out{0, 1, 2, 3, 5, 7, 10, 31, 32, 63, 64, 86400};
  for (const int bits : {8, 16, 24, 31, 32, 33, 40, 48, 53, 62})
    for (const int64_t by : {-1, 0, 1}) out.push_back((int64_t{1} << bits) + by);
  out.push_back(std::numeric_limits<int64_t>::max());
  for (size_t i = 0, n = out.size(); i < n; ++i) out.push_back(-out[i]);
  out.push_back(std::numeric_limits<int64_t>::min());
  for (int64_t& v : out) v = wrapped(v, lane);
  return out;
}

/// Pairs of edges, then of random numbers of all sizes.
template <class T>
void operands(Lane lane, std::vector<T>& a, std::vector<T>& b, Random& random) {
  for (const int64_t x : edges(lane))
    for (const int64_t y : edges(lane)) a.push_back(static_cast<T>(x)), b.push_back(static_cast<T>(y));
  const auto any = [&] {
    const uint64_t bits = (static_cast<uint64_t>(random()) << 32) ^ static_cast<uint64_t>(random());
    return static_cast<T>(wrapped(static_cast<int64_t>(bits) >> (random() % 63), lane));
  };
  for (int i = 0; i < 3000; ++i) a.push_back(any()), b.push_back(any());
}

/// out = expr(a, b), elements `stride` apart.
template <class Out, class In>
std::vector<Out> run(const Target& target, const Expr& expr, DType out_type, DType in_type, const std::vector<In>& a,
                     const std::vector<In>& b, int64_t stride = 1) {
  const auto n = static_cast<int64_t>(a.size());
  MapSpec s;
  s.dims = {n};
  s.out = {out_type, {stride}};
  s.inputs = {{in_type, {stride}}, {in_type, {stride}}};
  s.expr = expr;
  Guarded<In> x(n * stride), y(n * stride);
  Guarded<Out> out(n * stride);
  for (int64_t i = 0; i < n; ++i) x[i * stride] = a[static_cast<size_t>(i)], y[i * stride] = b[static_cast<size_t>(i)];
  Kernel kernel(target, s);
  kernel.allow(out.data(), out.bytes());
  kernel.allow(x.data(), x.bytes());
  kernel.allow(y.data(), y.bytes());
  EXPECT_TRUE(kernel.run({out.data(), x.data(), y.data()}, 2).ok());
  EXPECT_TRUE(out.intact());
  std::vector<Out> result;
  for (int64_t i = 0; i < n; ++i) result.push_back(out[i * stride]);
  return result;
}

constexpr PointOp kBinary[] = {PointOp::add,         PointOp::sub,        PointOp::mul,         PointOp::min,
                               PointOp::max,         PointOp::div,        PointOp::fmod,        PointOp::pow,
                               PointOp::logical_and, PointOp::logical_or, PointOp::logical_xor, PointOp::shl,
                               PointOp::shr};

template <class T>
T result(PointOp op, Lane lane, T a, T b) {
  return static_cast<T>(apply_integer(op, lane, static_cast<int64_t>(a), static_cast<int64_t>(b)));
}

template <class T>
void check_arithmetic(const Target& target, Lane lane, DType type) {
  Random random(3);
  std::vector<T> a, b;
  operands(lane, a, b, random);
  for (const PointOp op : kBinary) {
    Expr expr;
    expr.binary(op, expr.input(0, lane), expr.input(1, lane));
    const std::vector<T> got = run<T>(target, expr, type, type, a, b, op == PointOp::add ? 3 : 1);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(got[i], result<T>(op, lane, a[i], b[i]))
          << name_of(op) << "(" << a[i] << ", " << b[i] << ") on " << to_string(target);
  }
  for (const PointOp op : {PointOp::neg, PointOp::abs}) {
    Expr expr;
    expr.unary(op, expr.input(0, lane));
    expr.select(expr.binary(PointOp::lt, 0, expr.input(1, lane)), 1, 1);  // reads both operands
    const std::vector<T> got = run<T>(target, expr, type, type, a, b);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(got[i], result<T>(op, lane, a[i], 0)) << a[i];
  }
  for (int c = 0; c < 6; ++c) {
    Expr expr;
    expr.binary(static_cast<PointOp>(static_cast<int>(PointOp::eq) + c), expr.input(0, lane), expr.input(1, lane));
    const std::vector<uint8_t> got = run<uint8_t>(target, expr, DType::boolean, type, a, b);
    for (size_t i = 0; i < a.size(); ++i) {
      const bool yes[] = {a[i] == b[i], a[i] != b[i], a[i]<b[i], a[i] <= b[i], a[i]> b[i], a[i] >= b[i]};
      ASSERT_EQ(got[i], yes[c]) << a[i] << ", " << b[i] << " comparison " << c << " on " << to_string(target);
    }
  }
  for (const int64_t by : {-1, 0, 1, 5, 31, 32, 33, 63, 64, 1000})
    for (const PointOp op : {PointOp::shl, PointOp::shr}) {
      Expr expr;
      const uint16_t moved = expr.binary(op, expr.input(0, lane), expr.integer(by, lane));
      expr.binary(PointOp::logical_xor, moved, expr.input(1, lane));
      const std::vector<T> got = run<T>(target, expr, type, type, a, b);
      for (size_t i = 0; i < a.size(); ++i)
        ASSERT_EQ(got[i] ^ b[i], result<T>(op, lane, a[i], static_cast<T>(by))) << name_of(op) << a[i] << " by " << by;
    }
}

TEST(Integer, Arithmetic) {
  for (const Target& target : targets()) {
    check_arithmetic<int32_t>(target, Lane::i32, DType::i32);
    check_arithmetic<int64_t>(target, Lane::i64, DType::i64);
    check_arithmetic<uint64_t>(target, Lane::u64, DType::u64);
  }
}

/// Of unsigned numbers, as C++ has them.
TEST(Integer, OfSingleUnsignedNumbers) {
  Random random(5);
  std::vector<uint64_t> a, b;
  operands(Lane::u64, a, b, random);
  const auto u64 = [](PointOp op, uint64_t x, uint64_t y) { return result<uint64_t>(op, Lane::u64, x, y); };
  for (size_t i = 0; i < a.size(); ++i) {
    const uint64_t x = a[i], y = b[i];
    ASSERT_EQ(u64(PointOp::add, x, y), x + y);
    ASSERT_EQ(u64(PointOp::sub, x, y), x - y);
    ASSERT_EQ(u64(PointOp::mul, x, y), x * y);
    ASSERT_EQ(u64(PointOp::min, x, y), std::min(x, y));
    ASSERT_EQ(u64(PointOp::max, x, y), std::max(x, y));
    ASSERT_EQ(u64(PointOp::div, x, y), y ? x / y : 0);
    ASSERT_EQ(u64(PointOp::fmod, x, y), y ? x % y : x);
    ASSERT_EQ(u64(PointOp::shl, x, y), y < 64 ? x << y : 0);
    ASSERT_EQ(u64(PointOp::shr, x, y), y < 64 ? x >> y : 0);
  }
  EXPECT_EQ(u64(PointOp::pow, 3, 40), 12157665459056928801u);
  EXPECT_EQ(u64(PointOp::pow, 2, UINT64_MAX), 0u);
  EXPECT_EQ(u64(PointOp::pow, 1, UINT64_MAX), 1u);
}

TEST(Integer, UnsignedFloatsAndBack) {
  for (const Target& target : targets()) {
    Random random(4);
    std::vector<uint64_t> a, b;
    operands(Lane::u64, a, b, random);
    for (int bit = 24; bit < 64; ++bit)  // halves between two floats, and what is next to them
      for (const uint64_t by : {-1, 0, 1}) a.push_back((uint64_t{1} << bit) + (uint64_t{1} << (bit - 24)) + by);
    b.resize(a.size(), 1);
    Expr to;
    to.unary(PointOp::to_f32, to.input(0, Lane::u64));
    to.select(to.binary(PointOp::lt, 0, to.input(1, Lane::u64)), 1, 1);
    const std::vector<float> floats = run<float>(target, to, DType::f32, DType::u64, a, b);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(floats[i], static_cast<float>(a[i])) << a[i] << " on " << to_string(target);

    std::vector<float> x = floats;
    for (const float v : floats) x.push_back(v / 3), x.push_back(std::nextafter(v, 0.0f));
    x.insert(x.end(), {NAN, INFINITY, 1.9e19f, -1, -0.0f, 1e-40f, 0.999f, -0.999f});
    Expr from;
    from.unary(PointOp::to_u64, from.input(0));
    from.select(from.binary(PointOp::lt, 0, from.input(1)), 1, 1);
    const std::vector<uint64_t> whole = run<uint64_t>(target, from, DType::u64, DType::f32, x, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const uint64_t expected = std::isnan(x[i])  ? 0
                                : x[i] >= 0x1p64f ? UINT64_MAX
                                : x[i] < 0        ? static_cast<uint64_t>(static_cast<int64_t>(x[i]))
                                                  : static_cast<uint64_t>(x[i]);
      ASSERT_EQ(whole[i], expected) << x[i] << " on " << to_string(target);
    }
  }
}

/// What C++ leaves open, and a few numbers that PyTorch gave.
TEST(Integer, OfSingleNumbers) {
  const int64_t least = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(apply_integer(PointOp::div, Lane::i64, least, -1), least);
  EXPECT_EQ(apply_integer(PointOp::fmod, Lane::i64, least, -1), 0);
  EXPECT_EQ(apply_integer(PointOp::div, Lane::i64, 7, 0), 0);
  EXPECT_EQ(apply_integer(PointOp::fmod, Lane::i64, -7, 0), -7);
  EXPECT_EQ(apply_integer(PointOp::div, Lane::i32, INT32_MIN, -1), INT32_MIN);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, 13, 2), 169);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, 7, 3), 343);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, 2, 63), least);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, 3, 41), -420491770248316829);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, -1, -3), -1);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i64, 2, -1), 0);
  EXPECT_EQ(apply_integer(PointOp::pow, Lane::i32, 46341, 2), -2147479015);
  EXPECT_EQ(apply_integer(PointOp::shl, Lane::i64, 1, 64), 0);
  EXPECT_EQ(apply_integer(PointOp::shr, Lane::i64, -1, 64), -1);
  EXPECT_EQ(wrapped(int64_t{1} << 32 | 5, Lane::i32), 5);
}

TEST(Integer, FloatsAndBack) {
  for (const Target& target : targets()) {
    Random random(4);
    std::vector<int64_t> a, b;
    operands(Lane::i64, a, b, random);
    for (int bit = 24; bit < 63; ++bit)  // halves between two floats, and what is next to them
      for (const int64_t by : {-1, 0, 1}) {
        const int64_t half = (int64_t{1} << bit) + (int64_t{1} << (bit - 24)) + by;
        a.insert(a.end(), {half, -half, half + (int64_t{1} << (bit - 23))});
      }
    b.resize(a.size(), 1);
    Expr to;
    to.unary(PointOp::to_f32, to.input(0, Lane::i64));
    to.select(to.binary(PointOp::lt, 0, to.input(1, Lane::i64)), 1, 1);
    const std::vector<float> floats = run<float>(target, to, DType::f32, DType::i64, a, b);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(floats[i], static_cast<float>(a[i])) << a[i] << " on " << to_string(target);

    std::vector<float> x = floats;
    for (const float v : floats) x.push_back(v / 3), x.push_back(std::nextafter(v, 0.0f));
    x.insert(x.end(), {NAN, INFINITY, -INFINITY, 9.3e18f, -9.3e18f, -0.0f, 1e-40f, 0.999f, -0.999f});
    Expr from;
    from.unary(PointOp::to_i64, from.input(0));
    from.select(from.binary(PointOp::lt, 0, from.input(1)), 1, 1);
    const std::vector<int64_t> whole = run<int64_t>(target, from, DType::i64, DType::f32, x, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t expected = std::isnan(x[i])  ? 0
                               : x[i] >= 0x1p63f ? std::numeric_limits<int64_t>::max()
                               : x[i] < -0x1p63f ? std::numeric_limits<int64_t>::min()
                                                 : static_cast<int64_t>(x[i]);
      ASSERT_EQ(whole[i], expected) << x[i] << " on " << to_string(target);
    }
  }
}

/// Broadcast, reversed and constant operands; casts to and from everything narrower.
TEST(Integer, Operands) {
  for (const Target& target : targets()) {
    constexpr int64_t n = 45;
    Guarded<int64_t> in(n), one(1), out(n);
    Guarded<int32_t> narrow(n);
    Guarded<uint8_t> flags(n);
    one[0] = (int64_t{1} << 40) + 7;
    for (int64_t i = 0; i < n; ++i)
      in[i] = (int64_t{1} << (i + 10)) - i, narrow[i] = static_cast<int32_t>(-i * i * i * 1000), flags[i] = i % 3 == 0;
    MapSpec s;
    s.dims = {n};
    s.out = {DType::i64, {1}};
    s.inputs = {{DType::i64, {-1}}, {DType::i64, {0}}, {DType::i32, {1}}, {DType::boolean, {1}}};
    Expr& e = s.expr;
    const uint16_t sum = e.binary(PointOp::add, e.input(0, Lane::i64), e.input(1, Lane::i64));
    const uint16_t less = e.binary(PointOp::sub, sum, e.unary(PointOp::to_i64, e.input(2, Lane::i32)));
    const uint16_t more = e.binary(PointOp::add, less, e.unary(PointOp::to_i64, e.input(3, Lane::mask)));
    e.binary(PointOp::sub, more, e.integer(3000000000, Lane::i64));
    Kernel kernel(target, s);
    for (const auto& [data, bytes] : {std::pair<void*, int64_t>{in.data(), in.bytes()},
                                      {one.data(), one.bytes()},
                                      {out.data(), out.bytes()},
                                      {narrow.data(), narrow.bytes()},
                                      {flags.data(), flags.bytes()}})
      kernel.allow(data, bytes);
    ASSERT_TRUE(kernel.run({out.data(), &in[n - 1], one.data(), narrow.data(), flags.data()}).ok());
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(out[i], in[n - 1 - i] + one[0] - narrow[i] + flags[i] - 3000000000) << i << " on " << to_string(target);

    MapSpec cut;
    cut.dims = {n};
    cut.out = {DType::u8, {1}};
    cut.inputs = {{DType::i64, {1}}};
    cut.expr.unary(PointOp::to_i32, cut.expr.input(0, Lane::i64));
    Guarded<uint8_t> low(n);
    Kernel cutting(target, cut);
    cutting.allow(in.data(), in.bytes());
    cutting.allow(low.data(), low.bytes());
    ASSERT_TRUE(cutting.run({low.data(), in.data()}).ok());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(low[i], static_cast<uint8_t>(in[i]));
  }
}

/// What PyTorch makes of them: totals are int64 and wrap around, extremes stay what they are.
template <class T>
int64_t reduced(ReduceKind kind, const std::vector<T>& x) {
  uint64_t total = kind == ReduceKind::prod;
  size_t best = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto bits = static_cast<uint64_t>(static_cast<int64_t>(x[i]));
    total = kind == ReduceKind::prod ? total * bits : total + bits;
    const bool low = kind == ReduceKind::min || kind == ReduceKind::argmin;
    if (low ? x[i] < x[best] : x[i] > x[best]) best = i;
  }
  if (kind == ReduceKind::sum || kind == ReduceKind::prod) return static_cast<int64_t>(total);
  const bool index = kind == ReduceKind::argmax || kind == ReduceKind::argmin;
  return index ? static_cast<int64_t>(best) : static_cast<int64_t>(x[best]);
}

template <class T>
void check_reduce(const Target& target, Random& random, ReduceKind kind, DType type) {
  ReduceSpec s;
  s.kind = kind;
  s.dtype = type;
  s.out_dtype = DType::i64;
  Sizes dims;
  const int64_t rank = pick(random, 1, 3);
  for (int64_t d = 0; d < rank; ++d) dims.push_back(pick(random, 1, rank == 1 ? 200 : 20));
  const Sizes strides = random_strides(random, dims);
  for (size_t d = 0; d < dims.size(); ++d) {
    const bool kept = pick(random, 0, 1);
    (kept ? s.kept : s.reduced).push_back(dims[d]);
    (kept ? s.in_kept : s.in_reduced).push_back(strides[d]);
  }
  s.out_kept = random_strides(random, s.kept);
  Guarded<T> in(extent(dims, strides));
  Guarded<int64_t> out(extent(s.kept, s.out_kept));
  for (int64_t i = 0; i < in.size(); ++i) {
    const uint64_t bits = (static_cast<uint64_t>(random()) << 32) ^ static_cast<uint64_t>(random());
    const auto any = static_cast<int64_t>(bits) >> (random() % 2 ? 0 : 62);  // large ones, and many ties
    in[i] = type == DType::boolean ? static_cast<T>(any & 1) : static_cast<T>(any);
  }
  Kernel kernel(target, s);
  kernel.allow(in.data(), in.bytes());
  kernel.allow(out.data(), out.bytes());
  const Status status = kernel.run({out.data(), in.data()}, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index(s.kept, [&](const Sizes& kept) {
    std::vector<T> x;
    each_index(s.reduced, [&](const Sizes& r) { x.push_back(in[dot(kept, s.in_kept) + dot(r, s.in_reduced)]); });
    ASSERT_EQ(out[dot(kept, s.out_kept)], reduced(kind, x)) << to_string(KernelSpec(s)) << " on " << to_string(target);
  });
  EXPECT_TRUE(out.intact());
}

TEST(Integer, Reductions) {
  for (const Target& target : targets()) {
    Random random(7);
    for (int i = 0; i < 20; ++i) {
      for (const ReduceKind k : {ReduceKind::sum, ReduceKind::prod}) {
        check_reduce<uint8_t>(target, random, k, DType::u8);
        check_reduce<int8_t>(target, random, k, DType::i8);
        check_reduce<int32_t>(target, random, k, DType::i32);
        check_reduce<bool>(target, random, k, DType::boolean);
        check_reduce<int64_t>(target, random, k, DType::i64);
        check_reduce<int16_t>(target, random, k, DType::i16);
        check_reduce<uint16_t>(target, random, k, DType::u16);
        check_reduce<uint32_t>(target, random, k, DType::u32);
        check_reduce<uint64_t>(target, random, k, DType::u64);
      }
      for (const ReduceKind k : {ReduceKind::max, ReduceKind::min, ReduceKind::argmax, ReduceKind::argmin})
        check_reduce<int64_t>(target, random, k, DType::i64);
    }
  }
}

}  // namespace
}  // namespace kiln
