// Shapes and types of canonical nodes: odd sizes, symbols, and everything that must be refused.
#include <gtest/gtest.h>

#include "ir/builder.h"
#include "ir/optimize.h"
#include "ir/passes/passes.h"
#include "tests/support/source_graph.h"

namespace kiln::testing {
namespace {

class Infer : public ::testing::Test {
 protected:
  ValueId f(const Ints& shape, DType dtype = DType::f32) { return graph.add_value("x", dtype, shape_of(shape)); }
  std::string shape(const Result<ValueId>& r) {
    return r.ok() ? to_string(graph.value(*r).shape) : "error: " + r.error().message;
  }
  static bool fails(const Result<ValueId>& r, const char* what) {
    if (r.ok()) return false;
    EXPECT_NE(r.error().message.find(what), std::string::npos) << r.error().message;
    return r.error().message.find(what) != std::string::npos;
  }
  Graph graph;
  Builder b{graph};
};

TEST_F(Infer, Convolution) {
  ConvAttrs a;
  a.stride = {2, 3};
  a.pad_begin = {1, 0};
  a.pad_end = {0, 2};
  a.dilation = {1, 2};
  EXPECT_EQ(shape(b.conv(f({2, 6, 11, 13}), f({9, 6, 3, 3}), f({9}), a)), "2x9x5x4");
  a.groups = 3;
  EXPECT_EQ(shape(b.conv(f({2, 6, 11, 13}), f({9, 2, 3, 3}), kNoValue, a)), "2x9x5x4");
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}), f({9, 6, 3, 3}), kNoValue, a), "does not fit"));
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}), f({8, 2, 3, 3}), kNoValue, a), "does not fit"));
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11}), f({9, 2, 3, 3}), kNoValue, a), "4 dims"));
  EXPECT_TRUE(fails(b.conv(f({2, 6, 1, 13}), f({9, 2, 3, 3}), kNoValue, a), "larger than the padded input"));
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}, DType::f16), f({9, 2, 3, 3}), kNoValue, a), "only float32"));
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}), kNoValue, kNoValue, a), "missing"));
  a.stride = {0, 1};
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}), f({9, 2, 3, 3}), kNoValue, a), "positive"));
  a.stride = {1, 1}, a.pad_begin = {INT64_MAX, 0};
  EXPECT_TRUE(fails(b.conv(f({2, 6, 11, 13}), f({9, 2, 3, 3}), kNoValue, a), "padding"));
}

TEST_F(Infer, MatmulBroadcastsBatches) {
  EXPECT_EQ(shape(b.matmul(f({5, 1, 3, 7}), f({4, 7, 2}))), "5x4x3x2");
  EXPECT_EQ(shape(b.matmul(f({5, 3, 7}), f({2, 7}), true)), "5x3x2");
  EXPECT_TRUE(fails(b.matmul(f({3, 7}), f({2, 7})), "inner sizes"));
  EXPECT_TRUE(fails(b.matmul(f({7}), f({7, 2})), "at least 2"));
  EXPECT_TRUE(fails(b.matmul(f({2, 3, 7}), f({3, 7, 2})), "broadcast"));
  EXPECT_TRUE(fails(b.matmul(f({int64_t{1} << 30, 7}), f({7, int64_t{1} << 30})), "too large"));
}

TEST_F(Infer, ReductionsAndNorms) {
  EXPECT_EQ(shape(b.reduce(f({2, 3, 5}), {ReduceKind::sum, {0, 2}, false})), "3");
  EXPECT_EQ(shape(b.reduce(f({2, 3, 5}), {ReduceKind::max, {1}, true})), "2x1x5");
  const auto arg = b.reduce(f({2, 3}), {ReduceKind::argmax, {1}, false});
  EXPECT_EQ(graph.value(*arg).dtype, DType::i64);
  EXPECT_TRUE(fails(b.reduce(f({2, 3}), {ReduceKind::sum, {2}, false}), "out of range"));
  EXPECT_TRUE(fails(b.reduce(f({2, 3}), {ReduceKind::sum, {1, 1}, false}), "twice"));
  EXPECT_TRUE(fails(b.reduce(f({2, 3}), {ReduceKind::any, {1}, false}), "booleans"));
  EXPECT_TRUE(fails(b.reduce(f({2, 3}, DType::i64), {ReduceKind::mean, {1}, false}), "float32"));
  NormAttrs a;
  a.kind = NormKind::layer_norm;
  a.axis = 1;
  EXPECT_EQ(shape(b.layer_norm(f({4, 3, 5}), f({3, 5}), kNoValue, a)), "4x3x5");
  EXPECT_TRUE(fails(b.layer_norm(f({4, 3, 5}), f({5}), kNoValue, a), "scale and shift"));
  EXPECT_TRUE(fails(b.softmax(f({2}), 1), "out of range"));
}

TEST_F(Infer, AttentionAndGather) {
  EXPECT_EQ(shape(b.attention(f({2, 4, 3, 8}), f({2, 4, 5, 8}), f({2, 4, 5, 6}), f({1, 5}, DType::boolean), {})),
            "2x4x3x6");
  EXPECT_TRUE(fails(b.attention(f({3, 8}), f({5, 7}), f({5, 6}), kNoValue, {}), "last size"));
  EXPECT_TRUE(fails(b.attention(f({3, 8}), f({5, 8}), f({4, 6}), kNoValue, {}), "length"));
  EXPECT_TRUE(fails(b.attention(f({3, 8}), f({5, 8}), f({5, 6}), f({2, 5}), {}), "mask"));
  EXPECT_TRUE(fails(b.attention(f({3, 8}), f({5, 8}), f({5, 6}), f({3, 5}, DType::i64), {}), "mask"));
  EXPECT_EQ(shape(b.gather(f({7, 3, 5}), f({2, 4}, DType::i64), 1)), "7x2x4x5");
  EXPECT_EQ(shape(b.gather(f({7, 3}), f({}, DType::i32), 0)), "3");
  EXPECT_TRUE(fails(b.gather(f({7, 3}), f({2}), 0), "integer"));
}

TEST_F(Infer, ViewsAndParts) {
  EXPECT_EQ(shape(b.reshape(f({2, 3, 5}), {6, 5, 1})), "6x5x1");
  EXPECT_TRUE(fails(b.reshape(f({2, 3}), {5}), "cannot view"));
  EXPECT_TRUE(fails(b.reshape(f({2, 3}), {-2, -3}), "negative"));
  EXPECT_TRUE(fails(b.reshape(f({2, 3}), Shape(17, Dim(1))), "at most 16"));
  EXPECT_EQ(shape(b.permute(f({2, 3, 5}), {2, 0, 1})), "5x2x3");
  EXPECT_TRUE(fails(b.permute(f({2, 3, 5}), {2, 0}), "axes"));
  EXPECT_EQ(shape(b.expand(f({3, 1}), {4, 3, 2})), "4x3x2");
  EXPECT_TRUE(fails(b.expand(f({3, 2}), {3, 4}), "cannot expand"));
  EXPECT_EQ(shape(b.slice_axis(f({9}), 0, 1, 3, 3)), "3");
  EXPECT_EQ(shape(b.slice_axis(f({9}), 0, 8, 9, -1)), "9");
  EXPECT_TRUE(fails(b.slice_axis(f({9}), 0, 1, 4, 3), "outside"));
  EXPECT_EQ(shape(b.slice_axis(f({9}), 0, 9, 0)), "0");
  EXPECT_TRUE(fails(b.slice_axis(f({9}), 0, 10, 0), "outside"));
  EXPECT_EQ(shape(b.concat({f({2, 3}), f({5, 3}), f({1, 3})}, 0)), "8x3");
  EXPECT_TRUE(fails(b.concat({f({2, 3}), f({2, 4})}, 0), "do not fit"));
  EXPECT_TRUE(fails(b.concat({f({2, 3}), f({2, 3}, DType::i64)}, 0), "types"));
  EXPECT_EQ(shape(b.pad(f({2, 3}), {{0, 1}, {2, 0}, 0})), "4x4");
  EXPECT_TRUE(fails(b.pad(f({2, 3}), {{0, -1}, {0, 0}, 0}), "padding"));
  PoolAttrs p;
  p.kernel = {3, 2}, p.stride = {2, 2}, p.pad_begin = {1, 0}, p.pad_end = {1, 1};
  EXPECT_EQ(shape(b.pool(f({1, 4, 7, 6}), p)), "1x4x4x3");
  p.pad_begin = {3, 0};
  EXPECT_TRUE(fails(b.pool(f({1, 4, 7, 6}), p), "without an input"));
}

TEST_F(Infer, ExpressionsMustReadWhatIsThere) {
  Expr e;
  e.input(0, Lane::i32);
  EXPECT_TRUE(fails(b.map(e, {f({2})}, DType::i64), "as another kind"));
  EXPECT_TRUE(fails(b.map(identity_expr(), {f({2})}, DType::i64), "does not compute"));
  EXPECT_TRUE(fails(b.map(identity_expr(), {}, DType::f32), "missing operand"));
  EXPECT_TRUE(fails(b.map({}, {f({2})}, DType::f32), "empty"));
  Fx fx;
  const Term sum = fx.in(0) + fx.in(1);
  EXPECT_EQ(shape(b.map(fx.finish(sum), {f({4, 1}), f({3})}, DType::f32)), "4x3");
  EXPECT_TRUE(fails(b.map(fx.finish(sum), {f({4, 2}), f({3})}, DType::f32), "broadcast"));
}

TEST_F(Infer, SymbolsPassThroughAndArithmeticNamesThem) {
  graph.symbols = {{"batch", 1, 64}, {"length", 1, 0}};
  const Dim batch = Dim::make_symbol(0, 2), length = Dim::make_symbol(1, 16);
  const ValueId x = graph.add_value("x", DType::f32, {batch, length, 12});
  EXPECT_EQ(shape(b.matmul(x, f({12, 5}))), "s0xs1x5");
  EXPECT_EQ(shape(b.reshape(x, {batch, length, 3, 4})), "s0xs1x3x4");
  EXPECT_EQ(shape(b.permute(x, {1, 2, 0})), "s1x12xs0");
  EXPECT_EQ(shape(b.reduce(x, {ReduceKind::sum, {1}, false})), "s0x12");
  EXPECT_EQ(shape(b.softmax(x, 1)), "s0xs1x12");
  EXPECT_TRUE(fails(b.concat({x, x}, 1), "'length'"));
  EXPECT_TRUE(fails(b.pad(x, {{0, 1, 0}, {0, 0, 0}, 0}), "'length'"));
  EXPECT_TRUE(fails(b.reshape(x, {batch, Dim(192)}), "cannot view"));
  Fx fx;
  EXPECT_TRUE(fails(b.map(fx.finish(fx.in(0) + fx.in(1)), {x, f({7, 12})}, DType::f32), "'length'"));
}

TEST(BindSymbols, NamesWhatIsMissingUnknownOrOutOfRange) {
  SourceGraph s;
  s.graph.symbols = {{"batch", 1, 8}, {"length", 2, 0}};
  const ValueId x = s.input({1, 1});
  s.graph.value(x).shape = {Dim::make_symbol(0, 2), Dim::make_symbol(1, 16)};
  const ValueId y = s.op("aten.relu.default", {x}, {1, 1});
  s.graph.value(y).shape = s.graph.value(x).shape;
  s.output(y, "y");
  const auto message = [&](const std::map<std::string, int64_t>& dims) {
    const auto g = bind_symbols(s.graph, dims);
    if (g.ok()) return std::string();
    EXPECT_EQ(g.error().code, ErrorCode::bad_option);
    return g.error().message;
  };
  EXPECT_NE(message({}).find("batch, length"), std::string::npos);
  EXPECT_NE(message({{"batch", 9}, {"length", 3}}).find("1 to 8"), std::string::npos);
  EXPECT_NE(message({{"batch", 1}, {"length", 1}}).find("'length' cannot be 1"), std::string::npos);
  EXPECT_NE(message({{"batch", 1}, {"length", 3}, {"width", 3}}).find("no dimension 'width'"), std::string::npos);
  const auto g = optimize(s.graph, {{{"batch", 3}, {"length", 5}}});
  ASSERT_TRUE(g.ok()) << g.error().message;
  EXPECT_EQ(to_string(g->value(g->outputs[0]).shape), "3x5");
  EXPECT_EQ(g->value(g->outputs[0]).name, "y");
  s.graph.symbols[0].min = 0;
  const auto none = optimize(s.graph, {{{"batch", 0}, {"length", 5}}});
  ASSERT_TRUE(none.ok()) << none.error().message;
  EXPECT_EQ(to_string(none->value(none->outputs[0]).shape), "0x5");
  EXPECT_TRUE(none->nodes.empty());
}

TEST(GraphText, NamesNodesShapesAndAttributes) {
  SourceGraph s;
  const ValueId x = s.input({1, 3, 8, 8}), w = s.weight({4, 3, 3, 3}, "stem.weight");
  s.output(s.op("aten.convolution.default", {x, w, kNoValue}, {1, 4, 8, 8}, {{"padding", Ints{1, 1}}}), "y");
  const auto g = legalize(s.graph);
  ASSERT_TRUE(g.ok());
  const std::string text = to_string(*g);
  EXPECT_NE(text.find("weight stem.weight:float32[4x3x3x3]"), std::string::npos) << text;
  EXPECT_NE(text.find("conv("), std::string::npos) << text;
  EXPECT_NE(text.find("pad=[1,1][1,1]"), std::string::npos) << text;
}

}  // namespace
}  // namespace kiln::testing
