// What small graphs may ask for (support/budget.h): more is refused, with a code, before it is made.
#include <gtest/gtest.h>

#include "ir/optimize.h"
#include "ir/plan.h"
#include "tests/support/source_graph.h"

namespace kiln {
namespace {

using namespace testing;

Result<Plan> plan_of(SourceGraph source) {
  auto graph = optimize(std::move(source.graph), {});
  if (!graph.ok()) return graph.error();
  return lower(*graph);
}

void expect_refused(SourceGraph source, const char* why) {
  const auto plan = plan_of(std::move(source));
  ASSERT_FALSE(plan.ok()) << why;
  EXPECT_EQ(plan.error().code, ErrorCode::unsupported_operator);
  EXPECT_NE(plan.error().message.find(why), std::string::npos) << plan.error().message;
}

ValueId causal(SourceGraph& g, ValueId q, ValueId k, const Ints& shape) {
  return g.op("aten.scaled_dot_product_attention.default", {q, k, k}, shape, {{"is_causal", true}});
}

TEST(Budget, CausalMasks) {
  SourceGraph large;
  const int64_t n = 1 << 20;
  const ValueId x = large.input({1, 1, 1, 8});
  const ValueId wide = large.op("aten.expand.default", {x}, {1, 1, n, 8}, {{"size", Ints{1, 1, n, 8}}});
  large.output(causal(large, wide, wide, {1, 1, n, 8}));
  expect_refused(std::move(large), "a causal mask of more than 64 MB");

  SourceGraph layers;  // share one
  ValueId y = layers.input({1, 2, 16, 8});
  for (int i = 0; i < 10; ++i) y = causal(layers, y, y, {1, 2, 16, 8});
  layers.output(y);
  const auto plan = plan_of(std::move(layers));
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  ASSERT_EQ(plan->constants.size(), 1u);
  EXPECT_EQ(plan->constants[0].bytes.size(), 256u);
}

TEST(Budget, ConstantsOfAllNodesTogether) {
  SourceGraph g;
  const ValueId x = g.input({1, 1, 1, 30000});
  for (int i = 0; i < 40; ++i)  // 2 MB of taps each
    g.output(g.op("aten.upsample_bicubic2d.vec", {x}, {1, 1, 1, 65536},
                  {{"output_size", Ints{1, 65536}}, {"align_corners", i % 2 == 0}}),
             "o" + std::to_string(i));
  expect_refused(std::move(g), "more than 64 MB of constants");
}

TEST(Budget, OperationsOfOneNode) {
  SourceGraph g;
  g.output(g.op("aten.roll.default", {g.input({4, 4})}, {4, 4}, {{"shifts", Ints(1000, 1)}, {"dims", Ints(1000, 0)}}));
  expect_refused(std::move(g), "stands for too many operations");
}

TEST(Budget, StepsOfAPlan) {
  SourceGraph g;
  const Ints dims(16, 2);  // more than a map has loops: one for each index of ten of them
  Ints backwards;
  for (int64_t i = 16; i-- > 0;) backwards.push_back(i);
  const ValueId x = g.input(dims), y = g.op("aten.permute.default", {x}, dims, {{"dims", backwards}});
  const auto sum = [&](int i) {
    const ValueId z = g.op("aten.add.Tensor", {x, y}, dims);
    g.output(g.op("aten.mul.Tensor", {z}, dims, {{"other", static_cast<double>(i)}}), "o" + std::to_string(i));
  };
  sum(2);
  SourceGraph one = g;
  const auto plan = plan_of(std::move(one));
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  for (int i = 3; i < 40; ++i) sum(i);
  expect_refused(std::move(g), "more steps than are planned");
}

/// Folding stops where it would look at too much; what is left is computed when the model is loaded.
TEST(Budget, Folding) {
  SourceGraph g;
  const ValueId ramp =
      g.op("aten.arange.start_step", {}, {60000}, {{"start", int64_t{0}}, {"end", int64_t{60000}}}, DType::i64);
  ValueId sum = g.input({}, DType::i64);
  for (int64_t i = 0; i < 500; ++i)
    sum = g.op("aten.add.Tensor",
               {sum, g.op("aten.select.int", {ramp}, {}, {{"dim", int64_t{0}}, {"index", i}}, DType::i64)}, {}, {},
               DType::i64);
  g.output(sum);
  const auto plan = plan_of(std::move(g));
  ASSERT_TRUE(plan.ok()) << plan.error().message;
}

TEST(Budget, WorkAtLoad) {
  const int64_t much = int64_t{1} << 36;
  for (const char* op : {"aten.sum.dim_IntList", "aten.cumsum.default"}) {
    SourceGraph g;
    const bool sums = op[5] == 's';
    const ValueId x =
        g.op("aten.expand.default", {g.number(1, DType::i64)}, {much}, {{"size", Ints{much}}}, DType::i64);
    const Attrs attrs = sums ? Attrs{{"dim", Ints{0}}} : Attrs{{"dim", int64_t{0}}};
    g.output(g.op(op, {x}, sums ? Ints{} : Ints{much}, attrs, DType::i64));
    g.output(g.op("aten.relu.default", {g.input({2})}, {2}), "y");
    const ValueId w = g.weight({2});
    g.graph.segments.back() = {0, 8};
    g.output(g.op("aten.neg.default", {w}, {2}), "z");
    expect_refused(std::move(g), "computes too much of constants when it is loaded");
  }
}

TEST(Budget, AnErrorListsAHundredNodes) {
  SourceGraph g;
  const ValueId x = g.input({2});
  for (int i = 0; i < 5000; ++i) g.op("aten.no_such_operator.default", {x}, {2});
  g.output(g.op("aten.relu.default", {x}, {2}));
  const std::string said = error_of(g);
  EXPECT_NE(said.find("and perhaps more"), std::string::npos);
  EXPECT_LT(said.size(), 20000u);
}

}  // namespace
}  // namespace kiln
