// Expressions and kernel specs as values: sharing, composition, and texts that identify them.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "jit/family.h"

namespace kiln {
namespace {

TEST(Expr, SharesEqualInstructions) {
  Expr e;
  const uint16_t a = e.input(0), b = e.input(0);
  EXPECT_EQ(a, b);
  EXPECT_EQ(e.constant(2), e.constant(2));
  EXPECT_EQ(e.constant(NAN), e.constant(NAN));
  EXPECT_NE(e.constant(2), e.integer(2, Lane::i32));
  EXPECT_EQ(e.binary(PointOp::add, a, b), e.binary(PointOp::add, a, a));
  EXPECT_EQ(e.num_inputs(), 1);
}

TEST(Expr, LanesFollowOperations) {
  Expr e;
  const uint16_t x = e.input(0, Lane::i32);
  const uint16_t less = e.binary(PointOp::lt, x, e.integer(3, Lane::i32));
  EXPECT_EQ(e.insts[less].lane, Lane::mask);
  EXPECT_EQ(e.insts[e.unary(PointOp::to_f32, x)].lane, Lane::f32);
  EXPECT_EQ(e.insts[e.select(less, x, x)].lane, Lane::i32);
}

/// relu(in0 · in1) into (in0 + in1) at slot 1.
TEST(Expr, ComposePutsTheResultLast) {
  Expr inner, outer;
  const uint16_t left = inner.input(0), right = inner.input(1);
  const uint16_t product = inner.binary(PointOp::mul, left, right), zero = inner.constant(0);
  inner.binary(PointOp::max, product, zero);
  const uint16_t first = outer.input(0), second = outer.input(1);
  outer.binary(PointOp::add, first, second);
  const Expr both = compose(outer, 1, inner, {2, -1}, {0, 1});
  EXPECT_EQ(to_string(both), "in0;in1;mul(0,1);c0;max(2,3);in2;add(4,5)");
  EXPECT_EQ(both.num_inputs(), 3);
  // an outer identity leaves the inner result last, also when an instruction stands behind it
  Expr behind = inner;
  behind.insts.push_back(behind.insts[left]);
  EXPECT_EQ(compose(identity_expr(), 0, behind, {-1}, {0, 1}).insts.back(), behind.insts[left]);
}

/// Changing any one field of a spec changes its text.
TEST(KernelSpec, TextNamesEveryField) {
  std::set<std::string> texts;
  size_t count = 0;
  const auto add = [&](const KernelSpec& s) {
    texts.insert(to_string(s));
    ++count;
  };
  const NormSpec norm{NormKind::softmax, {4, 2}, {8, 4}, {8, 4}, 4, 1e-5f, false, false, {}, true};
  const auto norm_with = [&](auto change) {
    NormSpec s = norm;
    change(s);
    add(s);
  };
  add(norm);
  norm_with([](NormSpec& s) { s.kind = NormKind::rms_norm; });
  norm_with([](NormSpec& s) { s.rows = {2, 4}; });
  norm_with([](NormSpec& s) { s.in_rows = {16, 4}; });
  norm_with([](NormSpec& s) { s.out_rows = {16, 4}; });
  norm_with([](NormSpec& s) { s.cols = 3; });
  norm_with([](NormSpec& s) { s.eps = std::nextafter(1e-5f, 1.0f); });
  norm_with([](NormSpec& s) { s.has_scale = true; });
  norm_with([](NormSpec& s) { s.has_shift = true; });
  norm_with([](NormSpec& s) { s.epilogue.expr = identity_expr(); });
  norm_with([](NormSpec& s) { s.epilogue = {identity_expr(), {{DType::f32, {1, 2, 3}}}}; });
  norm_with([](NormSpec& s) { s.epilogue = {identity_expr(), {{DType::i32, {1, 2, 3}}}}; });
  norm_with([](NormSpec& s) { s.epilogue = {identity_expr(), {{DType::f32, {1, 2, 0}}}}; });

  WindowSpec window;
  int64_t WindowSpec::*const fields[] = {&WindowSpec::batch,     &WindowSpec::ih,         &WindowSpec::iw,
                                         &WindowSpec::oh,        &WindowSpec::ow,         &WindowSpec::c,
                                         &WindowSpec::kh,        &WindowSpec::kw,         &WindowSpec::stride_h,
                                         &WindowSpec::stride_w,  &WindowSpec::dilation_h, &WindowSpec::dilation_w,
                                         &WindowSpec::pad_top,   &WindowSpec::pad_left,   &WindowSpec::divisor,
                                         &WindowSpec::in_batch,  &WindowSpec::in_row,     &WindowSpec::in_col,
                                         &WindowSpec::out_batch, &WindowSpec::out_row,    &WindowSpec::out_col};
  add(window);
  for (const auto field : fields) {
    WindowSpec s = window;
    s.*field = 7;
    add(s);
  }
  window.divide_by_all = true;
  add(window);
  window.kind = WindowKind::average;
  add(window);

  MapSpec map{{2, 3}, {DType::f32, {3, 1}}, {{DType::f32, {3, 1}}}, identity_expr()};
  add(map);
  map.inputs[0].dtype = DType::i32;
  add(map);
  map.out.dtype = DType::i64;
  add(map);
  map.out.strides = {1, 2};
  add(map);
  map.inputs.push_back({DType::f32, {0, 1}});
  add(map);
  EXPECT_EQ(texts.size(), count);
}

TEST(KernelSpec, CountsOperands) {
  NormSpec norm;
  norm.has_scale = true;
  norm.epilogue.operands.resize(2);
  EXPECT_EQ(num_operands(norm), 5);
  EXPECT_EQ(num_operands(GatherSpec{}), 4);
  EXPECT_STREQ(family_name(norm), "norm");
}

}  // namespace
}  // namespace kiln
