// Pooling over random shapes against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

void check_random(const Target& target, Random& random, WindowKind kind) {
  WindowSpec s;
  s.kind = kind;
  s.batch = pick(random, 1, 2);
  s.ih = pick(random, 1, 12);
  s.iw = pick(random, 1, 12);
  s.c = pick(random, 1, 40);
  s.kh = pick(random, 1, 5);
  s.kw = pick(random, 1, 5);
  s.stride_h = pick(random, 1, 3);
  s.stride_w = pick(random, 1, 3);
  s.dilation_h = pick(random, 1, 2);
  s.dilation_w = pick(random, 1, 2);
  s.pad_top = pick(random, 0, s.kh / 2);
  s.pad_left = pick(random, 0, s.kw / 2);
  const int64_t span_h = (s.kh - 1) * s.dilation_h + 1, span_w = (s.kw - 1) * s.dilation_w + 1;
  if (s.ih + 2 * s.pad_top < span_h || s.iw + 2 * s.pad_left < span_w) return;
  s.oh = (s.ih + 2 * s.pad_top - span_h) / s.stride_h + 1;
  s.ow = (s.iw + 2 * s.pad_left - span_w) / s.stride_w + 1;
  if ((s.even = pick(random, 0, 3) == 0)) {
    s.oh = pick(random, 1, 14), s.ow = pick(random, 1, 14);
    s.kh = s.kw = 12, s.dilation_h = s.dilation_w = 1;  // no window is larger
  }
  s.divide_by_all = pick(random, 0, 1) && !s.even;
  s.divisor = pick(random, 0, 3) == 0 && !s.even ? 5 : 0;
  const int64_t in_gap = pick(random, 0, 3), out_gap = pick(random, 0, 3);
  s.in_col = s.c + in_gap;
  s.in_row = s.in_col * s.iw + in_gap;
  s.in_batch = s.in_row * s.ih;
  s.out_col = s.c + out_gap;
  s.out_row = s.out_col * s.ow;
  s.out_batch = s.out_row * s.oh + out_gap;
  const bool fused = pick(random, 0, 1);
  const Sizes bias{0, 0, 0, 1};
  if (fused) {
    Expr& e = s.epilogue.expr;
    e.binary(PointOp::add, e.input(0), e.input(1));
    s.epilogue.operands.push_back({DType::f32, bias});
  }
  Guarded<float> in(extent({s.batch, s.ih, s.iw, s.c}, {s.in_batch, s.in_row, s.in_col, 1}));
  Guarded<float> out(extent({s.batch, s.oh, s.ow, s.c}, {s.out_batch, s.out_row, s.out_col, 1})), shift(s.c);
  for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(pick(random, -800, 800)) / 8;
  for (int64_t i = 0; i < s.c; ++i) shift[i] = static_cast<float>(i);
  if (pick(random, 0, 2) == 0) in[pick(random, 0, in.size() - 1)] = NAN;
  Kernel kernel(target, s);
  for (Guarded<float>* g : {&in, &out, &shift}) kernel.allow(g->data(), g->bytes());
  std::vector<void*> operands{out.data(), in.data()};
  if (fused) operands.push_back(shift.data());
  const Status status = kernel.run(operands, static_cast<int>(pick(random, 1, 3)));
  ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(KernelSpec(s));
  each_index({s.batch, s.oh, s.ow, s.c}, [&](const Sizes& o) {
    double max = -INFINITY, sum = 0;
    int64_t count = 0;
    const int64_t top = o[1] * s.ih / s.oh, left = o[2] * s.iw / s.ow, bottom = ceil_div((o[1] + 1) * s.ih, s.oh),
                  right = ceil_div((o[2] + 1) * s.iw, s.ow);
    for (int64_t i = 0; i < s.kh; ++i) {
      for (int64_t j = 0; j < s.kw; ++j) {
        const int64_t y = s.even ? top + i : o[1] * s.stride_h - s.pad_top + i * s.dilation_h,
                      x = s.even ? left + j : o[2] * s.stride_w - s.pad_left + j * s.dilation_w;
        if (s.even ? y >= bottom || x >= right : y < 0 || y >= s.ih || x < 0 || x >= s.iw) continue;
        const auto v = static_cast<double>(in[o[0] * s.in_batch + y * s.in_row + x * s.in_col + o[3]]);
        max = std::isnan(v) || std::isnan(max) ? NAN : std::max(max, v);
        sum += v;
        ++count;
      }
    }
    const int64_t divisor = s.divisor ? s.divisor : s.divide_by_all ? s.kh * s.kw : count;
    double want = kind == WindowKind::max        ? max
                  : count                        ? sum / static_cast<double>(divisor)
                  : s.divisor || s.divide_by_all ? 0
                                                 : NAN;
    if (fused) want += static_cast<double>(shift[o[3]]);
    const float got = out[o[0] * s.out_batch + o[1] * s.out_row + o[2] * s.out_col + o[3]];
    const std::string where = to_string(KernelSpec(s)) + " on " + to_string(target);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << where;
    } else if (std::isinf(want)) {
      ASSERT_EQ(static_cast<double>(got), want) << where;
    } else {
      ASSERT_NEAR(got, want, 2e-5) << where;  // a few roundings of values up to 100
    }
  });
  EXPECT_TRUE(out.intact());
}

TEST(Window, RandomShapes) {
  for (const Target& target : targets()) {
    Random random(41);
    for (int i = 0; i < 60; ++i) check_random(target, random, static_cast<WindowKind>(i % 2));
  }
}

TEST(Window, AveragesOfLargeWindows) {
  for (const Target& target : real_targets()) {
    for (const Sizes& size : {Sizes{2000, 1500}, Sizes{1, 3000000}, Sizes{3000000, 1}}) {
      WindowSpec s;
      s.kind = WindowKind::average;
      s.ih = s.kh = size[0], s.iw = s.kw = size[1];
      s.in_col = s.out_col = s.out_row = s.out_batch = 1;
      s.in_row = s.iw, s.in_batch = s.iw * s.ih;
      std::vector<float> in(static_cast<size_t>(s.in_batch), 0.1f), out(1);
      ASSERT_TRUE(Kernel(target, s).run({out.data(), in.data()}).ok());
      EXPECT_NEAR(out[0], 0.1f, 2e-7) << to_string(target);  // one after the other: 0.09 to 0.11
    }
  }
}

}  // namespace
}  // namespace kiln
