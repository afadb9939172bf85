// Elementary functions against double precision, over the whole range of floats and their special values, on
// every backend.
#include "jit/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/support/elementwise.h"

namespace kiln {
namespace {

using testing::Elementwise;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Random floats of every exponent and sign, a dense sweep of [low, high], and the specials.
std::vector<float> samples(float low, float high, int n) {
  std::vector<float> x{0.0f,    -0.0f,    kInf, -kInf, kNan, 1e-45f, -1e-45f, 1.17549435e-38f,
                       3.4e38f, -3.4e38f, 1.0f, -1.0f, 0.5f, 2.0f,   88.72f,  88.73f};
  std::mt19937 random(7);
  for (int i = 0; i < n; ++i) {
    x.push_back(low + (high - low) * static_cast<float>(i) / static_cast<float>(n));
    const uint32_t bits = random();
    float v;
    std::memcpy(&v, &bits, 4);
    x.push_back(v);
  }
  return x;
}

int count_of(const Target& t) { return t.isa == Isa::reference ? 2000 : 200000; }

/// How far off, in units of the exact result's last place; of the least normal number's for smaller ones where they may
/// be flushed to 0.
double units_off(float got, double exact, bool flushes) {
  const auto rounded = static_cast<float>(exact);
  if (got == rounded || (std::isnan(got) && std::isnan(rounded))) {
    const bool other_zero = rounded == 0 && std::signbit(got) != std::signbit(rounded);
    return other_zero && !flushes ? HUGE_VAL : 0;
  }
  if (!std::isfinite(got) || !std::isfinite(rounded)) return HUGE_VAL;
  const int exponent = exact == 0 ? -200 : std::ilogb(exact) - 23;
  const double unit = std::ldexp(1, std::max(exponent, flushes ? -126 : -149));
  return std::fabs(static_cast<double>(got) - exact) / unit;
}

struct Function {
  const char* name;
  Vec (*emit)(Emitter&, Vec);
  double (*exact)(double);
  float low, high;  ///< the dense sweep
  double units;
  bool flushes = false;
  double absolute = 0;  ///< that is allowed whatever the result
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Polynomials round twice at each step where multiply-adds are not fused: so much more is allowed there.
constexpr double kUnfused = 1.25;

const Function kFunctions[] = {
    {"exp", math::exp, std::exp, -110, 95, 2},
    {"exp2", math::exp2, std::exp2, -155, 130, 1.5},
    {"expm1", math::expm1, std::expm1, -4, 4, 5},
    {"log", math::log, std::log, 0.01f, 20, 2},
    {"log2", math::log2, std::log2, 0.01f, 20, 1},
    {"log10", math::log10, std::log10, 0.01f, 20, 1},
    {"log1p", math::log1p, std::log1p, -1, 3, 4},
    {"erf", math::erf, std::erf, -5, 5, 8, true},
    {"tanh", math::tanh, std::tanh, -10, 10, 6},
    {"sigmoid", math::sigmoid, sigmoid, -90, 90, 4, true},
    {"sin", math::sin, std::sin, -400, 400, 2.5, false, 5e-11},
    {"cos", math::cos, std::cos, -400, 400, 2.5, false, 5e-11},
    {"tan", math::tan, std::tan, -400, 400, 4},
    {"sin, around where reduction changes", math::sin, std::sin, 9000, 11000, 2.5, false, 5e-11},
    {"cos, of thousands of millions", math::cos, std::cos, -2e9f, 2e9f, 2.5},
};

TEST(Math, UnaryAgainstDouble) {
  for (const Target& target : testing::targets()) {
    for (const Function& f : kFunctions) {
      Elementwise run(target, [&](Emitter& e, Vec a, Vec) { return f.emit(e, a); });
      const std::vector<float> x = samples(f.low, f.high, count_of(target));
      const std::vector<float> y = run(x, {});
      double worst = 0;
      float worst_x = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = f.exact(static_cast<double>(x[i]));
        if (f.absolute > 0 && std::fabs(static_cast<double>(y[i]) - exact) <= f.absolute) continue;
        const double off = units_off(y[i], exact, f.flushes);
        if (off > worst) worst = off, worst_x = x[i];
      }
      const double allowed = f.units * (target.fma ? 1 : kUnfused);
      EXPECT_LE(worst, allowed) << f.name << " at " << worst_x << " on " << to_string(target);
    }
  }
}

TEST(Math, ExpFlushedForSoftmax) {
  for (const Target& target : testing::targets()) {
    Elementwise run(target, [&](Emitter& e, Vec a, Vec) { return math::exp_flushed(e, a); });
    std::vector<float> x{0.0f, -0.0f, -kInf, kNan, -1e30f, -88.0f, -89.0f};
    for (int i = 0; i < count_of(target); ++i)
      x.push_back(-100.0f * static_cast<float>(i) / static_cast<float>(count_of(target)));
    const std::vector<float> y = run(x, {});
    EXPECT_TRUE(std::isnan(y[3]));
    EXPECT_EQ(y[2], 0.0f);
    EXPECT_EQ(y[4], 0.0f);
    EXPECT_EQ(y[6], 0.0f);
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i] == x[i]) {
        EXPECT_NEAR(y[i], std::exp(static_cast<double>(x[i])), 2e-7 * std::exp(static_cast<double>(x[i])) + 1.2e-38)
            << x[i];
      }
  }
}

struct BinaryFunction {
  const char* name;
  Vec (*emit)(Emitter&, Vec, Vec);
  double (*exact)(double, double);
  double units;
};

const BinaryFunction kBinaryFunctions[] = {
    {"pow", math::pow, std::pow, 2}, {"atan2", math::atan2, std::atan2, 4}, {"fmod", math::fmod, std::fmod, 0}};

TEST(Math, BinaryAgainstDouble) {
  const float specials[] = {
      kNan, kInf, 0, 1e-45f, 1e-40f, 1.17549435e-38f, 1e-20f,      0.1f,  0.5f,       0.99999f, 1,      1.5f,
      2,    2.5f, 3, 7,      13,     88.8f,           16777215.0f, 1e10f, 8388609.0f, 1e20f,    3.4e38f};
  for (const Target& target : testing::targets()) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-6, 6);
    std::vector<float> a, b;
    for (const float x : specials)
      for (const float y : specials)
        for (int signs = 0; signs < 4; ++signs) a.push_back(signs & 1 ? -x : x), b.push_back(signs & 2 ? -y : y);
    for (int i = 0; i < count_of(target); ++i)  // powers come close to 0 and infinity
      switch (i % 4) {
        case 0:
          a.push_back(uniform(random)), b.push_back(uniform(random));
          break;
        case 1:
          a.push_back(uniform(random)), b.push_back(std::round(uniform(random)));
          break;
        case 2:
          a.push_back(std::exp2(uniform(random) / 8)), b.push_back(uniform(random) * 25);
          break;
        default:
          a.push_back(std::exp2(uniform(random) * 20)), b.push_back(std::exp2(uniform(random) * 20));
      }
    for (const BinaryFunction& f : kBinaryFunctions) {
      Elementwise run(target, [&](Emitter& e, Vec x, Vec y) { return f.emit(e, x, y); });
      const std::vector<float> y = run(a, b);
      double worst = 0;
      size_t at = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        const double off = units_off(y[i], f.exact(static_cast<double>(a[i]), static_cast<double>(b[i])), false);
        if (off > worst) worst = off, at = i;
      }
      EXPECT_LE(worst, f.units) << f.name << "(" << a[at] << ", " << b[at] << ") = " << y[at] << " on "
                                << to_string(target);
    }
  }
}

/// Bases and powers whose result is a float.
TEST(Math, WholePowersAreExact) {
  for (const Target& target : testing::targets()) {
    std::vector<float> a, b, k;
    for (int base = 2; base < 4096; ++base)
      for (int power = 1; std::pow(base, power) <= 16777216; ++power)
        a.push_back(static_cast<float>(base)), b.push_back(static_cast<float>(power));
    for (int power = -149; power < 128; ++power)
      a.push_back(2), b.push_back(static_cast<float>(power)), k.push_back(static_cast<float>(power));
    Elementwise pow(target, [&](Emitter& e, Vec x, Vec y) { return math::pow(e, x, y); });
    const std::vector<float> p = pow(a, b);
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_EQ(p[i], static_cast<float>(std::pow(a[i], b[i]))) << a[i] << "^" << b[i];
    Elementwise there(target, [&](Emitter& e, Vec x, Vec) { return math::exp2(e, x); });
    Elementwise back(target, [&](Emitter& e, Vec x, Vec) { return math::log2(e, math::exp2(e, x)); });
    const std::vector<float> t = there(k, {});
    for (size_t i = 0; i < k.size(); ++i) EXPECT_EQ(t[i], std::ldexp(1.0f, static_cast<int>(k[i])));
    EXPECT_EQ(back(k, {}), k);
    std::vector<float> tens, logs;
    for (int i = -37; i < 39; ++i)
      tens.push_back(static_cast<float>(std::pow(10.0, i))), logs.push_back(static_cast<float>(i));
    Elementwise log10(target, [&](Emitter& e, Vec x, Vec) { return math::log10(e, x); });
    EXPECT_EQ(log10(tens, {}), logs);
  }
}

}  // namespace
}  // namespace kiln
