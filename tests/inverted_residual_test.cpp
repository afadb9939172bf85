// Inverted residuals of odd sizes, strides and paddings, on every machine, against plain loops in double precision.
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
  int64_t images, height, width, channels, wide, out;  ///< channels of the input, the expanded image, the result
  int64_t kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, bottom, right;
  bool residual;

  int64_t out_height() const { return (height + top + bottom - dilation_h * (kh - 1) - 1) / stride_h + 1; }
  int64_t out_width() const { return (width + left + right - dilation_w * (kw - 1) - 1) / stride_w + 1; }
};

Problem random_problem(Random& random) {
  const auto one_of = [&](std::initializer_list<int64_t> list) {
    return list.begin()[pick(random, 0, static_cast<int64_t>(list.size()) - 1)];
  };
  Problem p{};
  p.images = one_of({1, 2});
  p.height = one_of({5, 8, 13, 23}), p.width = one_of({5, 7, 12, 19});
  p.channels = one_of({1, 3, 8, 13}), p.wide = one_of({3, 8, 17, 40}), p.out = one_of({1, 4, 9, 20});
  p.kh = one_of({1, 3, 5}), p.kw = one_of({1, 3, 5});
  p.dilation_h = p.kh > 3 ? 1 : one_of({1, 2}), p.dilation_w = p.kw > 3 ? 1 : one_of({1, 2});
  p.stride_h = std::min((p.kh - 1) * p.dilation_h + 1, one_of({1, 2, 3})), p.stride_w = one_of({1, 2});
  for (int64_t* pad : {&p.top, &p.left, &p.bottom, &p.right}) *pad = one_of({0, 1, 2});
  p.residual = pick(random, 0, 1) == 1;
  return p;
}

/// max(x + in1, 0)
Expr biased_relu() {
  Expr e;
  e.binary(PointOp::max, e.binary(PointOp::add, e.input(0), e.input(1)), e.constant(0));
  return e;
}

/// The input has an element more than needed between its rows, the result one between its pixels.
InvertedResidualSpec spec_of(const Problem& p) {
  InvertedResidualSpec s;
  const int64_t oh = p.out_height(), ow = p.out_width();
  ContractionSpec &e = s.expand, &o = s.project;
  e.batch = o.batch = {p.images, 1};
  e.oh = p.height, e.ow = p.width, e.k = p.channels, e.n = p.wide;
  e.a_col = e.a_tap_col = p.channels, e.a_row = p.width * p.channels + 1, e.a_batch = {p.height * e.a_row, 0};
  e.epilogue = {biased_relu(), {{DType::f32, {0, 0, 0, 0, 1}}}};
  const int64_t right = std::max<int64_t>(0, (ow - 1) * p.stride_w + (p.kw - 1) * p.dilation_w + 1 - p.left - p.width);
  s.pad_top = p.top, s.pad_left = p.left, s.row = (p.left + p.width + right) * p.wide;
  DepthwiseSpec& d = s.depthwise;
  d.batch = p.images, d.oh = oh, d.ow = ow, d.c = p.wide, d.kh = p.kh, d.kw = p.kw;
  d.in_row = p.stride_h * s.row, d.in_col = p.stride_w * p.wide;
  d.in_tap_row = p.dilation_h * s.row, d.in_tap_col = p.dilation_w * p.wide;
  d.epilogue = {biased_relu(), {{DType::f32, {0, 0, 0, 1}}}};
  o.oh = oh, o.ow = ow, o.k = o.a_tap_col = p.wide, o.n = p.out;
  o.c_col = p.out + 1, o.c_row = ow * o.c_col, o.c_batch = {oh * o.c_row, 0};
  if (p.residual) {
    Expr sum;
    sum.binary(PointOp::add, sum.input(0), sum.input(1));
    o.epilogue = {sum, {{DType::f32, {oh * ow * p.out, 0, ow * p.out, p.out, 1}}}};
  }
  return s;
}

struct Data {
  Guarded<float> a, expand, taps, project, expand_bias, taps_bias, residual;
  explicit Data(const Problem& p)
      : a(p.images * p.height * (p.width * p.channels + 1)),
        expand(p.channels * p.wide),
        taps(p.kh * p.kw * p.wide),
        project(p.wide * p.out),
        expand_bias(p.wide),
        taps_bias(p.wide),
        residual(p.images * p.out_height() * p.out_width() * p.out) {}
  std::vector<Guarded<float>*> all() { return {&a, &expand, &taps, &project, &expand_bias, &taps_bias, &residual}; }
};

std::vector<double> expected(const Problem& p, const InvertedResidualSpec& s, Data& data) {
  const auto relu = [](double v) { return std::max(v, 0.0); };
  std::vector<double> wide(static_cast<size_t>(p.images * p.height * p.width * p.wide)), out;
  const auto at_wide = [&](int64_t b, int64_t y, int64_t x, int64_t c) -> double& {
    return wide[static_cast<size_t>(((b * p.height + y) * p.width + x) * p.wide + c)];
  };
  each_index({p.images, p.height, p.width, p.wide}, [&](const Sizes& i) {
    double sum = data.expand_bias[i[3]];
    for (int64_t k = 0; k < p.channels; ++k)
      sum += double{data.a[i[0] * s.expand.a_batch[0] + i[1] * s.expand.a_row + i[2] * p.channels + k]} *
             double{data.expand[k * p.wide + i[3]]};
    at_wide(i[0], i[1], i[2], i[3]) = relu(sum);
  });
  each_index({p.images, p.out_height(), p.out_width()}, [&](const Sizes& i) {
    std::vector<double> filtered;
    for (int64_t c = 0; c < p.wide; ++c) {
      double sum = data.taps_bias[c];
      each_index({p.kh, p.kw}, [&](const Sizes& t) {
        const int64_t y = i[1] * p.stride_h + t[0] * p.dilation_h - p.top,
                      x = i[2] * p.stride_w + t[1] * p.dilation_w - p.left;
        if (y >= 0 && y < p.height && x >= 0 && x < p.width)
          sum += at_wide(i[0], y, x, c) * double{data.taps[(t[0] * p.kw + t[1]) * p.wide + c]};
      });
      filtered.push_back(relu(sum));
    }
    for (int64_t n = 0; n < p.out; ++n) {
      double sum = p.residual ? double{data.residual[static_cast<int64_t>(out.size())]} : 0;
      for (int64_t c = 0; c < p.wide; ++c)
        sum += filtered[static_cast<size_t>(c)] * double{data.project[c * p.out + n]};
      out.push_back(sum);
    }
  });
  return out;
}

void check(const Target& target, const Problem& p, const Schedule& schedule, Random& random) {
  const InvertedResidualSpec s = spec_of(p);
  ASSERT_TRUE(family_of(s).feasible(s, schedule, target)) << to_string(schedule) << " on " << to_string(target);
  Data data(p);
  for (Guarded<float>* t : data.all())
    for (int64_t i = 0; i < t->size(); ++i) (*t)[i] = static_cast<float>(pick(random, -100, 100)) / 128;
  Guarded<float> packed_expand(packed_size(p.channels, p.wide)), packed_project(packed_size(p.wide, p.out)),
      c(p.images * s.project.c_batch[0]);
  const auto allow = [&](Kernel& kernel) {
    for (Guarded<float>* t : data.all()) kernel.allow(t->data(), t->bytes());
    for (Guarded<float>* t : {&packed_expand, &packed_project, &c}) kernel.allow(t->data(), t->bytes());
  };
  const auto pack = [&](Guarded<float>& to, Guarded<float>& from, int64_t k, int64_t n) {
    PackSpec of;
    of.k = k, of.n = n, of.src_k = n, of.src_n = 1;
    Kernel kernel(target, of, schedule);
    allow(kernel);
    ASSERT_TRUE(kernel.run({to.data(), from.data()}).ok());
  };
  pack(packed_expand, data.expand, p.channels, p.wide);
  pack(packed_project, data.project, p.wide, p.out);
  Kernel kernel(target, s, schedule);
  allow(kernel);
  std::vector<void*> operands{c.data(),
                              data.a.data(),
                              packed_expand.data(),
                              data.taps.data(),
                              packed_project.data(),
                              data.expand_bias.data(),
                              data.taps_bias.data()};
  if (p.residual) operands.push_back(data.residual.data());
  const Status run = kernel.run(operands, static_cast<int>(pick(random, 1, 4)));
  ASSERT_TRUE(run.ok()) << run.error().message;

  const std::vector<double> all = expected(p, s, data);
  double worst = 0, scale = 1e-3;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto pixel = static_cast<int64_t>(i) / p.out, n = static_cast<int64_t>(i) % p.out;
    worst = std::max(worst, std::abs(all[i] - double{c[pixel * (p.out + 1) + n]}));
    scale = std::max(scale, std::abs(all[i]));
  }
  // Sums of up to 13, 25 and 40 products of one sign at most, each rounded once, of the largest result there is.
  EXPECT_LE(worst, 6e-8 * (13 + 25 + 40) * scale)
      << to_string(KernelSpec(s)) << " | " << to_string(schedule) << " on " << to_string(target);
  EXPECT_TRUE(c.intact());
  for (int64_t i = p.out; i < c.size(); i += p.out + 1) ASSERT_TRUE(c.untouched(i)) << "wrote beside its channels";
}

TEST(InvertedResidual, RandomProblemsTilesAndShares) {
  for (const Target& target : targets()) {
    Random random(61);
    for (int i = 0; i < (target.isa == Isa::reference ? 15 : 80); ++i) {
      const Problem p = random_problem(random);
      if (p.height + p.top + p.bottom <= (p.kh - 1) * p.dilation_h ||
          p.width + p.left + p.right <= (p.kw - 1) * p.dilation_w)
        continue;
      Device device;
      device.threads = static_cast<int>(pick(random, 1, 4));
      Schedule schedule = prior(spec_of(p), target, device);
      schedule.mr = static_cast<uint8_t>(pick(random, 1, schedule.mr));
      schedule.nv = static_cast<uint8_t>(pick(random, 1, schedule.nv));
      schedule.tile_w = static_cast<uint8_t>(pick(random, 1, schedule.tile_w));
      check(target, p, schedule, random);
    }
  }
}

}  // namespace
}  // namespace kiln
