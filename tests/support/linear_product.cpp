#include "tests/support/linear_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "jit/kernels/contraction.h"
#include "tests/support/machine.h"

namespace kiln::testing {
namespace {

double expected(Fused fused, double sum, double bias, double residual) {
  if (fused == Fused::nothing) return sum;
  sum += bias;
  if (fused == Fused::residual) return std::max(0.0, sum + residual);
  return 0.5 * sum * (1 + std::erf(sum * std::sqrt(0.5)));
}

double exact_sum(const float* a, const float* w, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += double{a[i]} * double{w[i]};
  return sum;
}

}  // namespace

ContractionSpec linear_spec(const LinearProblem& p) {
  ContractionSpec s;
  s.ow = p.m, s.k = p.k, s.n = p.n;
  s.a_col = p.k + p.a_beside, s.a_tap_col = p.k, s.c_col = p.n + p.c_beside;
  if (p.fused == Fused::nothing) return s;
  Expr& e = s.epilogue.expr;
  const uint16_t sum = e.binary(PointOp::add, e.input(0), e.input(1));
  s.epilogue.operands = {{DType::f32, {0, 0, 0, 0, 1}}};
  if (p.fused == Fused::residual) {
    e.binary(PointOp::max, e.binary(PointOp::add, sum, e.input(2)), e.constant(0));
    s.epilogue.operands.push_back({DType::f32, {0, 0, 0, s.c_col, 1}});
  } else if (p.fused == Fused::gelu) {
    const uint16_t erf = e.unary(PointOp::erf, e.binary(PointOp::mul, sum, e.constant(0.70710678f)));
    e.binary(PointOp::mul, e.binary(PointOp::mul, sum, e.constant(0.5f)), e.binary(PointOp::add, erf, e.constant(1)));
  } else {
    e.binary(PointOp::gt, sum, e.constant(0.5f));
  }
  return s;
}

PackSpec linear_pack(const LinearProblem& p) {
  PackSpec pack;
  pack.k = p.k, pack.n = p.n, pack.src_k = 1, pack.src_n = p.k;
  return pack;
}

void check_linear(const Target& target, const LinearProblem& p, const ContractionSpec& s, const Schedule& schedule,
                  FunctionRef<double(const float* a, const float* w)> tolerance, Random& random) {
  const PackSpec pack = linear_pack(p);
  Guarded<float> a(p.m * s.a_col), w(p.n * p.k), b(packed_elements(pack, schedule)), c(p.m * s.c_col), bias(p.n),
      residual(c.size());
  Guarded<uint8_t> mask(c.size());
  for (auto* v : {&a, &w, &bias, &residual})
    for (int64_t i = 0; i < v->size(); ++i) (*v)[i] = static_cast<float>(pick(random, -100, 100)) / 64;
  Kernel packer(target, pack, schedule), kernel(target, s, schedule);
  for (Kernel* k : {&packer, &kernel}) {
    for (auto* v : {&a, &w, &b, &c, &bias, &residual}) k->allow(v->data(), v->bytes());
    k->allow(mask.data(), mask.bytes());
  }
  ASSERT_TRUE(packer.run({b.data(), w.data()}, 2).ok());
  const bool masks = p.fused == Fused::mask;
  std::vector<void*> operands{masks ? static_cast<void*>(mask.data()) : c.data(), a.data(), b.data()};
  if (p.fused != Fused::nothing) operands.push_back(bias.data());
  if (p.fused == Fused::residual) operands.push_back(residual.data());
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  const std::string what = to_string(KernelSpec(s)) + " | " + to_string(schedule) + " on " + to_string(target);
  for (int64_t y = 0; y < p.m; ++y)
    for (int64_t x = 0; x < s.c_col; ++x) {
      const int64_t at = y * s.c_col + x;
      if (x >= p.n) {
        ASSERT_TRUE(masks ? mask.untouched(at) : c.untouched(at)) << "wrote beside its columns: " << what;
        continue;
      }
      const float *row = &a[y * s.a_col], *column = &w[x * p.k];
      const double sum = exact_sum(row, column, p.k), off = tolerance(row, column);
      if (masks) {
        const double distance = sum + double{bias[x]} - 0.5;
        if (std::abs(distance) > off) {
          ASSERT_EQ(mask[at] != 0, distance > 0) << what;
        }
      } else {
        ASSERT_NEAR(double{c[at]}, expected(p.fused, sum, double{bias[x]}, double{residual[at]}), off) << what;
      }
    }
  EXPECT_TRUE(b.intact() && c.intact() && mask.intact());
}

double linear_error(const Target& target, const LinearProblem& p, const ContractionSpec& s, const Schedule& schedule) {
  const PackSpec pack = linear_pack(p);
  Random random(11);
  std::normal_distribution<float> normal;
  std::vector<float> a(static_cast<size_t>(p.m * p.k)), w(static_cast<size_t>(p.n * p.k)),
      b(static_cast<size_t>(packed_elements(pack, schedule))), c(static_cast<size_t>(p.m * p.n));
  for (float& v : a) v = normal(random);
  for (float& v : w) v = normal(random) / std::sqrt(static_cast<float>(p.k));
  EXPECT_TRUE(Kernel(target, pack, schedule).run({b.data(), w.data()}).ok());
  EXPECT_TRUE(Kernel(target, s, schedule).run({c.data(), a.data(), b.data()}).ok());
  double worst = 0, scale = 0;
  for (int64_t y = 0; y < p.m; ++y)
    for (int64_t x = 0; x < p.n; ++x) {
      const double sum = exact_sum(&a[static_cast<size_t>(y * p.k)], &w[static_cast<size_t>(x * p.k)], p.k);
      scale = std::max(scale, std::abs(sum));
      worst = std::max(worst, std::abs(sum - double{c[static_cast<size_t>(y * p.n + x)]}));
    }
  return worst / scale;
}

}  // namespace kiln::testing
