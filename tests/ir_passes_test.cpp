// Each rewrite by what is left of a small graph, and all of them by what random graphs compute before and after.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/passes/canonical.h"
#include "ir/passes/passes.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/scalar_expr.h"
#include "tests/support/source_graph.h"

namespace kiln::testing {
namespace {

int count(const Graph& graph, Op op) {
  return static_cast<int>(
      std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) { return n.op == op; }));
}

/// The passes after legalize, with their invariants checked after each, and the same numbers before and after.
/// Constants are folded in float32 and expressions keep float32 constants, while the interpreter computes in double:
/// 1e-5 of numbers of order one.
Graph optimized(Graph graph, double tolerance = 1e-5) {
  const Bindings bindings = random_bindings(graph, 3);
  const auto before = interpret(graph, bindings);
  EXPECT_TRUE(before.ok());
  const auto step = [&](const char* name, Result<Graph> after) {
    if (!after.ok()) {
      ADD_FAILURE() << name << ": " << after.error().message;
      return;
    }
    graph = std::move(*after);
    const Status sound = verify(graph);
    ASSERT_TRUE(sound.ok()) << name << ": " << sound.error().message << "\n" << to_string(graph);
    const auto now = interpret(graph, bindings);
    ASSERT_TRUE(now.ok());
    EXPECT_LE(max_difference(*before, *now), tolerance) << name << "\n" << to_string(graph);
  };
  step("dce", drop_dead(graph));
  step("fold", fold_constants(graph));
  step("canonicalize", canonicalize(graph));
  step("fold", fold_constants(graph));
  step("fuse", fuse(graph));
  step("dce", drop_dead(graph));
  return graph;
}

Graph optimized(const SourceGraph& source, double tolerance = 1e-5) {
  auto graph = legalize(source.graph);
  if (!graph.ok()) {
    ADD_FAILURE() << graph.error().message;
    return {};
  }
  return optimized(std::move(*graph), tolerance);
}

SourceAttr axis(const char* name, int64_t value) { return {name, value}; }

TEST(BatchNorm, GoesIntoTheConvolution) {
  for (const bool bias : {false, true}) {
    SourceGraph s;
    const ValueId x = s.input({1, 4, 7, 5}), w = s.weight({6, 2, 3, 3}), b = bias ? s.weight({6}, "b") : kNoValue;
    const ValueId y = s.op("aten.convolution.default", {x, w, b}, {1, 6, 5, 3}, {{"groups", int64_t{2}}});
    const ValueId z =
        s.ops("aten._native_batch_norm_legit_no_training.default",
              {y, s.weight({6}, "gamma"), s.weight({6}, "beta"), s.weight({6}, "mean"), s.weight({6}, "var")},
              {{1, 6, 5, 3}, {0}, {0}}, {{"eps", 1e-3}})[0];
    s.output(s.op("aten.relu.default", {z}, {1, 6, 5, 3}), "y");
    const Graph g = optimized(s);
    ASSERT_EQ(count(g, Op::conv), 1);
    const Node& conv = g.nodes.back();
    EXPECT_EQ(conv.op, Op::conv) << to_string(g);
    EXPECT_EQ(conv.inputs.size(), 4u);  // x, w, no bias, shift: no residue of the norm at run time
    EXPECT_EQ(conv.inputs[2], kNoValue);
    EXPECT_EQ(g.value(conv.outputs[0]).name, "y");
  }
}

TEST(BatchNorm, StaysWhenTheConvolutionIsReadTwice) {
  SourceGraph s;
  const ValueId x = s.input({1, 2, 4, 4}), w = s.weight({3, 2, 1, 1});
  const ValueId y = s.op("aten.convolution.default", {x, w, kNoValue}, {1, 3, 4, 4});
  const ValueId scale = s.weight({3, 1, 1}, "scale");
  s.output(s.op("aten.mul.Tensor", {y, scale}, {1, 3, 4, 4}));
  s.output(y);
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::map), 1);
}

/// up(a [1,70,4,3] → 8×6) by its rows and columns, alone or joined with b [1,5,8,6], through a 1×1 convolution.
Graph mixed(bool join, bool read_twice, int64_t outputs) {
  SourceGraph s;
  const ValueId a = s.input({1, 70, 4, 3}), b = s.input({1, 5, 8, 6});
  const ValueId up =
      s.op("aten.upsample_bilinear2d.vec", {a}, {1, 70, 8, 6}, {{"output_size", Ints{8, 6}}, {"align_corners", false}});
  const ValueId x = join ? s.op("aten.cat.default", {b, up}, {1, 75, 8, 6}, {axis("dim", 1)}) : up;
  const ValueId w = s.weight({outputs, join ? 75 : 70, 1, 1}), bias = s.weight({outputs}, "bias");
  const ValueId y = s.op("aten.convolution.default", {x, w, bias}, {1, outputs, 8, 6});
  s.output(s.op("aten.relu.default", {y}, {1, outputs, 8, 6}));
  if (read_twice) s.output(up);
  return optimized(s);
}

/// Pixels of the images that the 1×1 convolutions read.
std::vector<int64_t> mixed_pixels(const Graph& g) {
  std::vector<int64_t> out;
  for (const Node& node : g.nodes)
    if (node.op == Op::conv)
      out.push_back(g.value(node.inputs[0]).shape[2].value * g.value(node.inputs[0]).shape[3].value);
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Enlarging, ChannelsAreMixedBefore) {
  const Graph alone = mixed(false, false, 7), joined = mixed(true, false, 7);
  EXPECT_EQ(mixed_pixels(alone), (std::vector<int64_t>{12})) << to_string(alone);
  EXPECT_EQ(mixed_pixels(joined), (std::vector<int64_t>{12, 48})) << to_string(joined);
  EXPECT_EQ(count(joined, Op::concat), 0);
  EXPECT_EQ(count(joined, Op::map), 0) << to_string(joined);  // the sum, bias and activation are somebody's epilogue
}

TEST(Enlarging, StaysWhereItWouldBeMoreWork) {
  EXPECT_EQ(mixed_pixels(mixed(true, true, 7)), (std::vector<int64_t>{48}));    // the enlarged image is there anyway
  EXPECT_EQ(mixed_pixels(mixed(true, false, 71)), (std::vector<int64_t>{48}));  // more channels to enlarge
}

TEST(Padding, MovesIntoWindows) {
  SourceGraph s;
  const ValueId x = s.input({1, 2, 6, 7});
  const ValueId p =
      s.op("aten.constant_pad_nd.default", {x}, {1, 2, 9, 8}, {{"pad", Ints{0, 1, 1, 2}}, {"value", 0.0}});
  s.output(
      s.op("aten.convolution.default", {p, s.weight({4, 2, 3, 3}), kNoValue}, {1, 4, 4, 3}, {{"stride", Ints{2, 2}}}));
  const ValueId low =
      s.op("aten.constant_pad_nd.default", {x}, {1, 2, 7, 8}, {{"pad", Ints{0, 1, 1, 0}}, {"value", -HUGE_VAL}});
  s.output(s.op("aten.max_pool2d.default", {low}, {1, 2, 6, 7}, {{"kernel_size", Ints{2}}, {"stride", Ints{1}}}));
  s.output(s.op("aten.avg_pool2d.default", {p}, {1, 2, 8, 7}, {{"kernel_size", Ints{2}}, {"stride", Ints{1}}}));
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::pad), 1) << to_string(g);  // a window with nothing but padding keeps it
}

TEST(Views, Collapse) {
  SourceGraph s;
  const ValueId x = s.input({2, 3, 4});
  ValueId y = s.op("aten.view.default", {x}, {6, 4}, {{"size", Ints{6, 4}}});
  y = s.op("aten.unsqueeze.default", {y}, {6, 1, 4}, {axis("dim", 1)});
  y = s.op("aten.permute.default", {y}, {1, 6, 4}, {{"dims", Ints{1, 0, 2}}});
  y = s.op("aten.view.default", {y}, {2, 3, 4}, {{"size", Ints{2, 3, 4}}});
  y = s.op("aten.permute.default", {y}, {4, 2, 3}, {{"dims", Ints{2, 0, 1}}});
  y = s.op("aten.permute.default", {y}, {2, 3, 4}, {{"dims", Ints{1, 2, 0}}});
  y = s.op("aten.slice.Tensor", {y}, {2, 2, 4}, {axis("dim", 1), axis("start", 1), axis("end", 3)});
  y = s.op("aten.slice.Tensor", {y}, {2, 1, 4}, {axis("dim", 1), axis("start", 1)});
  s.output(s.op("aten.exp.default", {y}, {2, 1, 4}));
  const Graph g = optimized(s);
  EXPECT_EQ(g.nodes.size(), 2u) << to_string(g);
}

TEST(Views, GatherByARampIsASlice) {
  SourceGraph s;
  const ValueId x = s.input({1, 9}, DType::boolean);
  ValueId ramp = s.op("aten.arange.start_step", {}, {4}, {axis("start", 2), axis("end", 6)}, DType::i64);
  ramp = s.op("aten.view.default", {ramp}, {1, 1, 1, 4}, {{"size", Ints{1, 1, 1, 4}}}, DType::i64);
  const ValueId zero = s.constant({0}, {1, 1, 1, 1}, DType::i64);
  const ValueId picked = s.op("aten.index.Tensor", {x, zero, ramp}, {1, 1, 1, 4}, {}, DType::boolean);
  const ValueId yes =
      s.op("aten.full.default", {}, {1, 1, 4, 1}, {{"size", Ints{1, 1, 4, 1}}, {"fill_value", true}}, DType::boolean);
  const ValueId mask = s.op("aten.bitwise_and.Tensor", {yes, picked}, {1, 1, 4, 4}, {}, DType::boolean);
  const ValueId q = s.input({1, 2, 4, 3});
  s.output(s.op("aten.scaled_dot_product_attention.default", {q, q, q, mask}, {1, 2, 4, 3}));
  // Positions 2 to 5 of some mask may all be false: attention over nothing is zero.
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::gather), 0) << to_string(g);
  EXPECT_EQ(count(g, Op::map), 0) << to_string(g);
  EXPECT_EQ(count(g, Op::expand), 0) << to_string(g);
}

TEST(Maps, MergeAndLoseNumbers) {
  SourceGraph s;
  const ValueId x = s.input({3, 5});
  const ValueId sigmoid = s.op("aten.sigmoid.default", {x}, {3, 5});
  ValueId y = s.op("aten.mul.Tensor", {x, sigmoid}, {3, 5});
  y = s.op("aten.mul.Tensor", {y, s.number(1)}, {3, 5});
  y = s.op("aten.sub.Tensor", {y, s.number(0)}, {3, 5});
  y = s.op("aten.add.Tensor", {y, s.number(-0.0)}, {3, 5});
  y = s.op("aten.neg.default", {s.op("aten.neg.default", {y}, {3, 5})}, {3, 5});
  const ValueId ones = s.op("aten.ones.default", {}, {3, 5}, {{"size", Ints{3, 5}}});
  s.output(s.op("aten.mul.Tensor", {y, ones}, {3, 5}));
  const Graph g = optimized(s);
  ASSERT_EQ(g.nodes.size(), 1u) << to_string(g);
  EXPECT_EQ(to_string(g.nodes[0].expr), "in0;sigmoid(0);mul(0,1)");
}

/// -0 + 0 is 0, infinity times 0 and infinity less itself are NaN.
TEST(Maps, KeepWhatIsNotTheSameForEveryFloat) {
  SourceGraph s;
  const ValueId x = s.input({3});
  s.output(s.op("aten.add.Tensor", {x, s.number(0)}, {3}));
  s.output(s.op("aten.mul.Tensor", {x, s.number(0)}, {3}));
  s.output(s.op("aten.sub.Tensor", {x, x}, {3}));
  s.output(s.op("aten.rsub.Scalar", {x}, {3}, {{"other", 0.0}}));
  const Graph g = optimized(s);
  ASSERT_EQ(g.nodes.size(), 4u) << to_string(g);
  const char* const expected[] = {"c0;in0;add(0,1)", "c0;in0;mul(0,1)", "in0;sub(0,0)", "c0;in0;sub(0,1)"};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(to_string(g.nodes[i].expr), expected[i]);
}

TEST(Maps, ComputeNoRepetitions) {
  SourceGraph s;
  const ValueId x = s.input({1, 5});
  const ValueId wide = s.op("aten.expand.default", {x}, {3, 5}, {{"size", Ints{3, -1}}});
  const ValueId e = s.op("aten.exp.default", {wide}, {3, 5});
  s.output(s.op("aten.mm.default", {e, s.input({5, 2})}, {3, 2}));
  const Graph g = optimized(s);
  EXPECT_EQ(to_string(g.value(g.nodes[0].outputs[0]).shape), "1x5") << to_string(g);
}

TEST(Constants, MaskArithmeticFolds) {
  SourceGraph s;
  const ValueId x = s.input({4, 4});
  const ValueId rows = s.op("aten.arange.start_step", {}, {4}, {axis("end", 4)}, DType::i64);
  const ValueId column = s.op("aten.unsqueeze.default", {rows}, {4, 1}, {axis("dim", 1)}, DType::i64);
  const ValueId causal = s.op("aten.le.Tensor", {rows, column}, {4, 4}, {}, DType::boolean);
  s.output(s.op("aten.masked_fill.Scalar", {x, causal}, {4, 4}, {{"value", 2.0}}));
  const Graph g = optimized(s);
  ASSERT_EQ(g.nodes.size(), 1u) << to_string(g);
  EXPECT_EQ(g.nodes[0].op, Op::map);
}

/// softmax(q kᵀ · scale + mask) v in the arrangements that models write.
TEST(Attention, PatternIsRecognised) {
  for (int form = 0; form < 6; ++form) {
    SourceGraph s;
    const ValueId q = s.input({2, 3, 5, 8}), k = s.input({2, 3, 7, 8}), v = s.input({2, 3, 7, 4}),
                  mask = s.input({2, 1, 1, 7});
    const ValueId hide = s.input({5, 7}, DType::boolean);
    const ValueId kt = s.op("aten.transpose.int", {k}, {2, 3, 8, 7}, {axis("dim0", -1), axis("dim1", -2)});
    const Ints scores{2, 3, 5, 7};
    ValueId p = s.op("aten.matmul.default", {q, kt}, scores);
    if (form == 1 || form == 3) p = s.op("aten.div.Tensor", {p, s.number(2)}, scores);
    if (form == 2 || form == 4) p = s.op("aten.mul.Tensor", {s.number(0.25), p}, scores);
    if (form == 3 || form == 5) p = s.op("aten.add.Tensor", {p, mask}, scores);
    if (form == 4) p = s.op("aten.masked_fill.Scalar", {p, hide}, scores, {{"value", -3.4e38}});
    p = s.op("aten.softmax.int", {p}, scores, {axis("dim", -1)});
    s.output(s.op("aten.matmul.default", {p, v}, {2, 3, 5, 4}));
    const Graph g = optimized(s);
    EXPECT_EQ(count(g, Op::attention), 1) << "form " << form << "\n" << to_string(g);
    EXPECT_EQ(count(g, Op::softmax), 0) << "form " << form;
  }
}

TEST(Attention, IsNotSeenWhereTheScoresAreReadOtherwise) {
  SourceGraph s;
  const ValueId q = s.input({3, 5, 8}), k = s.input({3, 8, 7}), v = s.input({3, 7, 4});
  const ValueId p =
      s.op("aten.softmax.int", {s.op("aten.bmm.default", {q, k}, {3, 5, 7})}, {3, 5, 7}, {axis("dim", -1)});
  s.output(s.op("aten.bmm.default", {p, v}, {3, 5, 4}));
  s.output(p);
  EXPECT_EQ(count(optimized(s), Op::attention), 0);
}

TEST(Fuse, BiasActivationAndResidualAreOneEpilogue) {
  SourceGraph s;
  const ValueId x = s.input({2, 6, 8}), residual = s.input({2, 6, 4});
  ValueId y = s.op("aten.linear.default", {x, s.weight({4, 8}), s.weight({4}, "b")}, {2, 6, 4});
  y = s.op("aten.gelu.default", {y}, {2, 6, 4}, {{"approximate", std::string("none")}});
  s.output(s.op("aten.add.Tensor", {residual, y}, {2, 6, 4}), "sum");
  const Graph g = optimized(s);
  ASSERT_EQ(g.nodes.size(), 1u) << to_string(g);
  EXPECT_EQ(g.nodes[0].op, Op::matmul);
  EXPECT_EQ(g.nodes[0].inputs.size(), 4u);
  EXPECT_EQ(g.value(g.outputs[0]).name, "sum");
}

TEST(Fuse, AViewBetweenMovesBehind) {
  SourceGraph s;
  const ValueId x = s.input({6, 8}), residual = s.input({2, 3, 4});
  ValueId y = s.op("aten.linear.default", {x, s.weight({4, 8}), s.weight({4}, "b")}, {6, 4});
  y = s.op("aten.view.default", {y}, {2, 3, 4}, {{"size", Ints{2, 3, 4}}});
  y = s.op("aten.add.Tensor", {y, residual}, {2, 3, 4});
  s.output(s.op("aten.relu.default", {y}, {2, 3, 4}));
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::map), 0) << to_string(g);
}

TEST(Fuse, TwoConvolutionsShareNoEpilogue) {
  SourceGraph s;
  const ValueId x = s.input({1, 2, 5, 5});
  const ValueId a = s.op("aten.convolution.default", {x, s.weight({3, 2, 1, 1}), s.weight({3}, "b")}, {1, 3, 5, 5});
  const ValueId b = s.op("aten.convolution.default", {x, s.weight({3, 2, 3, 3}), s.weight({3}, "b")}, {1, 3, 5, 5},
                         {{"padding", Ints{1, 1}}});
  s.output(s.op("aten.relu.default", {s.op("aten.add.Tensor", {a, b}, {1, 3, 5, 5})}, {1, 3, 5, 5}));
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::map), 0) << to_string(g);
  EXPECT_EQ(count(g, Op::conv), 2);
}

TEST(Fuse, WhatDependsOnWeightsAloneStaysApart) {
  SourceGraph s;
  const ValueId w = s.op("aten.exp.default", {s.weight({4, 3})}, {4, 3});
  s.output(s.op("aten.mul.Tensor", {s.input({4, 3}), w}, {4, 3}));
  const Graph g = optimized(s);
  EXPECT_EQ(count(g, Op::map), 2) << to_string(g);
}

TEST(Outputs, KeepTheirNamesThroughEveryRewrite) {
  SourceGraph s;
  const ValueId x = s.input({2, 3});
  s.output(s.op("aten.clone.default", {x}, {2, 3}), "same");
  const ValueId y = s.op("aten.relu.default", {x}, {2, 3});
  s.output(y, "relu");
  s.output(s.op("aten.view.default", {y}, {2, 3}, {{"size", Ints{2, 3}}}), "again");
  s.output(s.op("aten.full.default", {}, {2}, {{"size", Ints{2}}, {"fill_value", 4.0}}), "four");
  s.output(s.op("aten.view.default", {x}, {3, 2}, {{"size", Ints{3, 2}}}), "view");
  const Graph g = optimized(s);
  std::vector<std::string> names;
  std::vector<ValueId> ids = g.outputs;
  for (ValueId id : ids) names.push_back(g.value(id).name);
  EXPECT_EQ(names, (std::vector<std::string>{"same", "relu", "again", "four", "view"}));
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end()) << "two outputs share a value";
}

TEST(Algebra, AffineParts) {
  Fx f;
  const Term t = (f.in(0) * 2 - f.in(1)) * f.in(2) / 4;
  const auto affine = affine_in(f.finish(t), 0);
  ASSERT_TRUE(affine);
  EXPECT_NEAR(evaluate(affine->a, {0, 3, 5}), 2.0 * 5 / 4, 1e-12);
  EXPECT_NEAR(evaluate(affine->b, {0, 3, 5}), -3.0 * 5 / 4, 1e-12);
  Fx g;
  EXPECT_FALSE(affine_in(g.finish(g.in(0) * g.in(0)), 0));
  Fx h;
  EXPECT_FALSE(affine_in(h.finish(h.in(1) / h.in(0)), 0));
  Fx k;
  const auto negative = affine_in(k.finish(k.in(1) - k.in(0)), 0);
  ASSERT_TRUE(negative);
  EXPECT_EQ(constant_of(negative->a), -1.0);
}

TEST(Views, HalvesThatComeTogetherAreTheWhole) {
  for (const int64_t second : {4, 5}) {
    Graph g;
    Builder b(g);
    const ValueId x = g.add_value("x", DType::f32, {1, 8, 3, 2});
    g.inputs = {x};
    const ValueId a = *b.slice_axis(x, 1, 0, 4), c = *b.slice_axis(x, 1, second, 3);
    Fx f;
    const ValueId y = *b.map(f.finish(f.un(PointOp::exp, f.in(0))), {c}, DType::f32);
    g.outputs = {*b.concat({a, c, y}, 1)};
    const Graph after = optimized(std::move(g));
    for (const Node& node : after.nodes)
      if (node.op == Op::concat) {
        EXPECT_EQ(node.inputs.size(), second == 4 ? 2u : 3u);
      }
  }
}

TEST(Views, ASliceOfOnePartNeedsNoConcatenation) {
  for (const int64_t start : {5, 4, 3}) {  // within the second part, all of it, across both
    Graph g;
    Builder b(g);
    const ValueId x = g.add_value("x", DType::f32, {1, 4, 3, 2}), z = g.add_value("z", DType::f32, {1, 3, 3, 2});
    g.inputs = {x, z};
    const ValueId both = *b.concat({x, z}, 1);
    Fx f;
    g.outputs = {*b.map(f.finish(f.un(PointOp::exp, f.in(0))), {*b.slice_axis(both, 1, start, 7 - start)}, DType::f32)};
    const Graph after = optimized(std::move(g));
    const auto joins = [](const Node& node) { return node.op == Op::concat; };
    EXPECT_EQ(std::any_of(after.nodes.begin(), after.nodes.end(), joins), start == 3);
  }
}

/// A random graph of small tensors: every canonical operation, values read once or often, inputs, weights and
/// constants.
class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : random_(seed), b_(graph_) {
    for (int i = 0; i < 3; ++i) {
      const ValueId id = graph_.add_value("in", DType::f32, shape(4));
      graph_.inputs.push_back(id);
      pool_.push_back(id);
    }
    for (int i = 0; i < 3; ++i) {
      const ValueId id = graph_.add_value("w", DType::f32, shape(1 + pick(4)));
      graph_.value(id).segment = i;
      pool_.push_back(id);
    }
    pool_.push_back(b_.scalar(1, DType::f32));
    pool_.push_back(b_.constant(DType::f32, {2, 1}, write_constant({0.5, 0.5}, DType::f32)));
    for (int i = 0; i < 14; ++i) grow();
    for (int i = 0; i < 3; ++i) {
      ValueId id = pool_[pool_.size() - 1 - static_cast<size_t>(i)];
      if (std::count(graph_.outputs.begin(), graph_.outputs.end(), id) || graph_.nodes.empty() ||
          b_.value(id).is_constant() || b_.value(id).is_weight() || i >= static_cast<int>(graph_.nodes.size()))
        continue;
      if (std::count(graph_.inputs.begin(), graph_.inputs.end(), id)) continue;
      graph_.outputs.push_back(id);
    }
  }
  Graph take() { return std::move(graph_); }

 private:
  int64_t pick(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  Shape shape(int64_t rank) {
    Shape s;
    for (int64_t i = 0; i < rank; ++i) s.push_back(Dim(1 + pick(3)));
    return s;
  }
  ValueId any() {
    return pool_[static_cast<size_t>(pick(3) ? pick(static_cast<int64_t>(pool_.size()))
                                             : static_cast<int64_t>(pool_.size()) - 1)];
  }
  void keep(const Result<ValueId>& r) {
    if (r.ok() && element_count(b_.shape(*r)) <= 200) pool_.push_back(*r);
  }

  void grow() {
    const ValueId x = any();
    const Shape s = b_.shape(x);
    const int64_t rank = b_.rank(x);
    switch (pick(13)) {
      case 0:
      case 1:
      case 2:
        return keep(map(x, any()));
      case 3:
        return keep(unary(x));
      case 4:
        return keep(b_.matmul(x, any(), pick(2) == 0));
      case 5:
        return keep(rank ? b_.reduce(x, {pick(2) ? ReduceKind::mean : ReduceKind::max, {pick(rank)}, pick(2) == 0})
                         : b_.reshape(x, {1, 1}));
      case 6:
        return keep(rank ? b_.softmax(x, pick(rank)) : b_.reshape(x, {1}));
      case 7:
        return keep(b_.reshape(x, pick(2) ? Shape{Dim(element_count(s))} : Shape(s.rbegin(), s.rend())));
      case 8: {
        std::vector<int64_t> axes;
        for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
        std::shuffle(axes.begin(), axes.end(), random_);
        return keep(b_.permute(x, axes));
      }
      case 9: {
        Shape wide = s;
        for (Dim& d : wide)
          if (d == Dim(1) && pick(2)) d = Dim(2);
        return keep(b_.expand(x, wide));
      }
      case 10: {
        if (!rank) return;
        const int64_t a = pick(rank), size = s[static_cast<size_t>(a)].value, start = pick(size);
        return keep(b_.slice_axis(x, a, start, 1 + pick(size - start)));
      }
      case 11:
        return keep(rank ? b_.concat({x, any()}, pick(rank)) : b_.reshape(x, {}));
      default: {
        const ValueId w = any();
        ConvAttrs attrs;
        attrs.pad_begin = {pick(2), pick(2)}, attrs.pad_end = {pick(2), pick(2)};
        return keep(b_.conv(x, w, kNoValue, attrs));
      }
    }
  }
  Result<ValueId> unary(ValueId x) {
    Fx f;
    const Term t = f.in(0);
    const PointOp ops[] = {PointOp::tanh, PointOp::sigmoid, PointOp::neg, PointOp::abs, PointOp::erf};
    const Term u = pick(3) ? f.un(ops[pick(5)], t) : t * 0.5 + 1;
    return b_.map(f.finish(u), {x}, DType::f32);
  }
  Result<ValueId> map(ValueId x, ValueId y) {
    Fx f;
    const Term a = f.in(0), c = f.in(1);
    const Term t = pick(3) == 0 ? a * c
                   : pick(2)    ? a + c
                   : pick(2)    ? a - c
                                : f.where(f.bin(PointOp::gt, a, c), a, c * 0.5);
    return b_.map(f.finish(t), {x, y}, DType::f32);
  }

  std::mt19937 random_;
  Graph graph_;
  Builder b_;
  std::vector<ValueId> pool_;
};

TEST(RandomGraphs, ComputeTheSameAfterEveryPass) {
  int nodes_before = 0, nodes_after = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph = drop_dead(RandomGraph(seed).take());
    if (graph.outputs.empty()) continue;
    nodes_before += static_cast<int>(graph.nodes.size());
    // Values of order 10 arise from products in chains.
    nodes_after += static_cast<int>(optimized(std::move(graph), 1e-4).nodes.size());
    if (HasFailure()) break;
  }
  EXPECT_LT(nodes_after, nodes_before * 9 / 10);
}

}  // namespace
}  // namespace kiln::testing
