// Expressions as values: sharing and composition.
#include "jit/expr.h"

#include <gtest/gtest.h>

#include <cmath>

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

}  // namespace
}  // namespace kiln
