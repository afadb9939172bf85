// Elementary functions against double precision, over the whole range of floats and their special values, on
// every backend.
#include "jit/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/support/machine.h"

namespace kiln {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Emits `function` over arrays: f(out, a, b, vectors).
class Elementwise {
 public:
  Elementwise(const Target& target, FunctionRef<Vec(Emitter& e, Vec a, Vec b)> function)
      : width_(static_cast<size_t>(target.width)) {
    auto loaded = testing::load(target, [&](Emitter& e) {
      e.begin_function("f", 4, true);
      const Int i = e.integer();
      e.for_range(i, 0, e.param(3), 1, [&] {
        const Vec a = e.vec(), b = e.vec();
        e.load(a, {e.param(1), 0});
        e.load(b, {e.param(2), 0});
        e.store({e.param(0), 0}, function(e, a, b));
        for (int p = 0; p < 3; ++p) add(e, e.param(p), e.param(p), 4 * e.width());
      });
      e.end_function();
    });
    EXPECT_TRUE(loaded.ok());
    machine_ = std::move(*loaded);
  }
  template <class T>
  std::vector<T> operator()(std::vector<T> a, std::vector<T> b) {
    const size_t n = a.size(), padded = (n + width_ - 1) / width_ * width_;
    a.resize(padded);
    b.resize(padded, T{1});
    std::vector<T> out(padded);
    const Status s = machine_->call("f", {testing::address(out.data()), testing::address(a.data()),
                                          testing::address(b.data()), static_cast<int64_t>(padded / width_)});
    EXPECT_TRUE(s.ok());
    out.resize(n);
    return out;
  }

 private:
  size_t width_;
  std::unique_ptr<testing::Machine> machine_;
};

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

struct Function {
  const char* name;
  Vec (*emit)(Emitter&, Vec);
  double (*exact)(double);
  float low, high;  ///< the dense sweep
  double relative, absolute;
  double limit = 1e300;  ///< |x| beyond this is not judged
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

const Function kFunctions[] = {
    {"exp", math::exp, std::exp, -110, 95, 2e-7, 1.5e-45},
    {"expm1", math::expm1, std::expm1, -4, 4, 6e-7, 1.5e-45},
    {"log", math::log, std::log, 0.01f, 20, 2e-7, 1e-7},
    {"log1p", math::log1p, std::log1p, -1, 3, 4e-7, 1.5e-45},
    {"erf", math::erf, std::erf, -5, 5, 0, 4.2e-7},
    {"tanh", math::tanh, std::tanh, -10, 10, 4e-7, 1.5e-45},
    {"sigmoid", math::sigmoid, sigmoid, -90, 90, 4e-7, 1.2e-38},
    {"sin", math::sin, std::sin, -400, 400, 0, 2e-7, 8192},
    {"cos", math::cos, std::cos, -400, 400, 0, 2e-7, 8192},
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
        if (std::fabs(x[i]) > f.limit) continue;
        const double exact = f.exact(static_cast<double>(x[i]));
        const auto rounded = static_cast<float>(exact);
        if (std::isnan(rounded) || std::isinf(rounded)) {
          EXPECT_TRUE(std::isnan(rounded) ? std::isnan(y[i]) : y[i] == rounded)
              << f.name << "(" << x[i] << ") = " << y[i] << " on " << to_string(target);
          continue;
        }
        const double error =
            std::fabs(static_cast<double>(y[i]) - exact) / (f.absolute + f.relative * std::fabs(exact));
        if (!(error <= worst)) worst = error, worst_x = x[i];
      }
      EXPECT_LE(worst, 1) << f.name << " at " << worst_x << " on " << to_string(target);
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

TEST(Math, PowAndAtan2AndFmod) {
  for (const Target& target : testing::targets()) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-6, 6);
    std::vector<float> a{0, 0, -0.0f, -0.0f, 2, -2, -2, -2, 1, kInf, kInf, -kInf, -kInf, kNan, 1, 0, 5, -5, 3, 1e30f};
    std::vector<float> b{0,    -0.0f, 0,     -0.0f, 3,    3,  2,    0.5f, kNan,  2,
                         kInf, kInf,  -kInf, 1,     kNan, -1, kInf, kInf, -kInf, 1e-30f};
    for (int i = 0; i < 4000; ++i)
      a.push_back(uniform(random)), b.push_back(i % 3 ? uniform(random) : std::round(uniform(random)));
    Elementwise pow(target, [&](Emitter& e, Vec x, Vec y) { return math::pow(e, x, y); });
    Elementwise atan2(target, [&](Emitter& e, Vec y, Vec x) { return math::atan2(e, y, x); });
    Elementwise fmod(target, [&](Emitter& e, Vec x, Vec y) { return math::fmod(e, x, y); });
    const std::vector<float> p = pow(a, b), t = atan2(a, b), m = fmod(a, b);
    const auto judge = [&](const char* name, size_t i, float got, double exact, double tolerance) {
      const auto rounded = static_cast<float>(exact);
      if (got == rounded) return;
      if (std::isnan(rounded) || std::isinf(rounded))
        EXPECT_TRUE(std::isnan(rounded) && std::isnan(got))
            << name << "(" << a[i] << ", " << b[i] << ") = " << got << " on " << to_string(target);
      else
        EXPECT_NEAR(got, exact, tolerance) << name << "(" << a[i] << ", " << b[i] << ") on " << to_string(target);
    };
    for (size_t i = 0; i < a.size(); ++i) {
      const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
      const double exact = std::pow(x, y);
      if (x != 1e30f)
        judge("pow", i, p[i], exact, (3e-7 + 1e-6 * std::fabs(y * std::log(std::fabs(x) + 1e-30))) * std::fabs(exact));
      judge("atan2", i, t[i], std::atan2(x, y), 1e-6);
      // rounding of the product may move a quotient that is nearly whole by one divisor
      const double r = std::fmod(x, y);
      const bool wrapped = !target.fma && std::fabs(std::fabs(static_cast<double>(m[i]) - r) - std::fabs(y)) < 1e-5;
      if (x != 1e30f && !wrapped) judge("fmod", i, m[i], r, 1e-6 * std::fabs(x));
    }
  }
}

}  // namespace
}  // namespace kiln
