#include "ir/size_code.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace kiln {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
using Step = std::pair<int64_t, int64_t>;

Step n(int64_t v) { return {static_cast<int64_t>(SizeOp::number), v}; }
Step op(SizeOp o) { return {static_cast<int64_t>(o), 0}; }
Step r(double v) {
  int64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return {static_cast<int64_t>(SizeOp::real), bits};
}
std::optional<int64_t> of(SizeOp o, int64_t a, int64_t b) { return evaluate({n(a), n(b), op(o)}, {}); }

/// As Python says: //, %, **.
TEST(SizeCode, DividesAsPythonDoes) {
  EXPECT_EQ(of(SizeOp::divide, 7, 2), 3);
  EXPECT_EQ(of(SizeOp::divide, -7, 2), -4);
  EXPECT_EQ(of(SizeOp::divide, 7, -2), -4);
  EXPECT_EQ(of(SizeOp::divide, -7, -2), 3);
  EXPECT_EQ(of(SizeOp::divide, -8, 2), -4);
  EXPECT_EQ(of(SizeOp::modulo, 7, 2), 1);
  EXPECT_EQ(of(SizeOp::modulo, -7, 2), 1);
  EXPECT_EQ(of(SizeOp::modulo, 7, -2), -1);
  EXPECT_EQ(of(SizeOp::modulo, -7, -2), -1);
  EXPECT_EQ(of(SizeOp::modulo, -8, 2), 0);
  EXPECT_EQ(of(SizeOp::modulo, kMin, 3), 1);
  EXPECT_EQ(of(SizeOp::power, -3, 3), -27);
  EXPECT_EQ(of(SizeOp::power, 5, 0), 1);
  EXPECT_EQ(of(SizeOp::power, 1, kMax), 1);
  EXPECT_EQ(of(SizeOp::bit_and, 12, 10), 8);
  EXPECT_EQ(of(SizeOp::bit_or, 12, 10), 14);
  EXPECT_EQ(of(SizeOp::bit_xor, 12, 10), 6);
}

TEST(SizeCode, HasNoValueWhereArithmeticHasNone) {
  for (const SizeOp o : {SizeOp::divide, SizeOp::modulo, SizeOp::quotient}) EXPECT_EQ(of(o, 3, 0), std::nullopt);
  EXPECT_EQ(of(SizeOp::divide, kMin, -1), std::nullopt);
  EXPECT_EQ(of(SizeOp::modulo, kMin, -1), std::nullopt);
  EXPECT_EQ(of(SizeOp::plus, kMax, 1), std::nullopt);
  EXPECT_EQ(of(SizeOp::minus, kMin, 1), std::nullopt);
  EXPECT_EQ(of(SizeOp::multiply, kMin, -1), std::nullopt);
  EXPECT_EQ(of(SizeOp::power, 2, 63), std::nullopt);
  EXPECT_EQ(of(SizeOp::power, 2, -1), std::nullopt);
  EXPECT_EQ(of(SizeOp::power, 10, kMax), std::nullopt);
  EXPECT_EQ(of(SizeOp::quotient, kMax, 1), std::nullopt);  // no double equals it
  EXPECT_EQ(of(SizeOp::quotient, 1, 2), std::nullopt);     // no whole number
  EXPECT_EQ(of(SizeOp::quotient, 6, 2), 3);
  EXPECT_EQ(evaluate({r(std::numeric_limits<double>::infinity()), op(SizeOp::floor)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({r(std::numeric_limits<double>::quiet_NaN()), op(SizeOp::round)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({r(1e300), op(SizeOp::truncate)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({n(-1), op(SizeOp::root)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({r(1.5), n(2), op(SizeOp::modulo)}, {}), std::nullopt);
}

TEST(SizeCode, RoundsComparesAndChooses) {
  const auto rounded = [](double v, SizeOp o) { return evaluate({r(v), op(o)}, {}); };
  EXPECT_EQ(rounded(-2.5, SizeOp::floor), -3);
  EXPECT_EQ(rounded(-2.5, SizeOp::ceiling), -2);
  EXPECT_EQ(rounded(-2.7, SizeOp::truncate), -2);
  EXPECT_EQ(rounded(2.5, SizeOp::round), 2);
  EXPECT_EQ(rounded(3.5, SizeOp::round), 4);
  EXPECT_EQ(evaluate({n(5), op(SizeOp::floor)}, {}), 5);
  EXPECT_EQ(evaluate({n(10), r(0.3), op(SizeOp::multiply), op(SizeOp::truncate)}, {}), 3);
  EXPECT_EQ(evaluate({n(50), op(SizeOp::root), op(SizeOp::truncate)}, {}), 7);
  EXPECT_EQ(of(SizeOp::less, 2, 3), 1);
  EXPECT_EQ(of(SizeOp::less, 3, 3), 0);
  EXPECT_EQ(of(SizeOp::equal, kMax, kMax), 1);
  EXPECT_EQ(of(SizeOp::equal, kMax, kMax - 1), 0);
  EXPECT_EQ(evaluate({n(1), r(1.5), op(SizeOp::less)}, {}), 1);
  const Step symbol{static_cast<int64_t>(SizeOp::symbol), 1};
  EXPECT_EQ(evaluate({symbol, n(8), n(9), op(SizeOp::choose)}, {0, 3}), 8);
  EXPECT_EQ(evaluate({symbol, n(8), n(9), op(SizeOp::choose)}, {3, 0}), 9);
}

TEST(SizeCode, NonsenseHasNoValue) {
  EXPECT_EQ(evaluate({}, {}), std::nullopt);
  EXPECT_EQ(evaluate({op(SizeOp::plus)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({n(1), n(2)}, {}), std::nullopt);
  EXPECT_EQ(evaluate({{static_cast<int64_t>(SizeOp::symbol), 1}}, {5}), std::nullopt);
  EXPECT_EQ(evaluate({{static_cast<int64_t>(SizeOp::symbol), -1}}, {5}), std::nullopt);
  EXPECT_EQ(evaluate({n(1), n(2), {999, 0}}, {}), std::nullopt);
}

}  // namespace
}  // namespace kiln
