// Models drawn from bytes are what fuzzers live on: they must be valid, various, and the same for the same bytes.
#include "tests/support/drawn_model.h"

#include <gtest/gtest.h>

#include <set>

#include "format/kiln_file.h"
#include "ir/optimize.h"
#include "ir/plan.h"
#include "tests/support/kiln_writer.h"
#include "tests/support/source_graph.h"

namespace kiln::testing {
namespace {

Graph drawn(uint64_t seed, bool extremes) {
  const auto bytes = bytes_of_seed(seed, 160);
  Choices choices(bytes.data(), bytes.size());
  return draw_model(choices, {extremes, 8});
}

TEST(DrawnModel, IsReadAsItWasWritten) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Graph graph = drawn(seed, seed % 2 == 1);
    const auto head = write_head(graph);
    const auto read = read_kiln(head.data(), static_cast<int64_t>(head.size()));
    ASSERT_TRUE(read.ok()) << read.error().message << "\n" << to_string(graph);
    EXPECT_EQ(to_string(*read), to_string(graph));
    EXPECT_EQ(to_string(drawn(seed, seed % 2 == 1)), to_string(graph));
  }
}

TEST(DrawnModel, CompilesWithoutExtremesAndIsVarious) {
  std::set<std::string> operators;
  size_t nodes = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Graph graph = drawn(seed, false);
    for (const Node& node : graph.nodes) operators.insert(node.source);
    nodes += graph.nodes.size();
    const auto optimized = optimize(graph, {});
    ASSERT_TRUE(optimized.ok()) << optimized.error().message << "\n" << to_string(graph);
    const auto plan = lower(*optimized);
    ASSERT_TRUE(plan.ok()) << plan.error().message << "\n" << to_string(graph);
  }
  EXPECT_GT(operators.size(), 100u);
  EXPECT_GT(nodes, 600u);
}

TEST(DrawnModel, OfNoBytesIsTheSimplest) {
  Choices choices(nullptr, 0);
  const Graph graph = draw_model(choices, {});
  EXPECT_EQ(graph.inputs.size(), 1u);
  EXPECT_LE(graph.nodes.size(), 1u);
}

// What the fuzzer found.

TEST(DrawnModel, PaddingsOfMinusTwoToThe63AreRefused) {
  SourceGraph source;
  source.output(source.op("aten.constant_pad_nd.default", {source.input({2, 3})}, {2, 3},
                          {{"pad", Ints{INT64_MIN, 0}}, {"value", 0.0}}));
  EXPECT_NE(error_of(source).find("a padding is out of range"), std::string::npos) << error_of(source);
}

TEST(DrawnModel, WindowsOfSeveralSizesAreNotCountedOneByOne) {
  constexpr int64_t kSize = int64_t{1} << 20, kWindows = kSize - 1;
  SourceGraph source;
  source.output(source.op("aten.adaptive_avg_pool2d.default", {source.input({1, 1, 1, kSize})}, {1, 1, 1, kWindows},
                          {{"output_size", Ints{1, kWindows}}}));
  EXPECT_NE(error_of(source).find("windows that do not fit the input"), std::string::npos) << error_of(source);
}

}  // namespace
}  // namespace kiln::testing
