// Plans against the definitions: random canonical graphs are lowered, emitted for the reference interpreter
// and run, with the steps between two barriers in any order, over memory that is poisoned wherever nothing
// was written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/builder.h"
#include "ir/passes/passes.h"
#include "ir/plan.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/laid_out_model.h"
#include "tests/support/random_graph.h"

namespace kiln::testing {
namespace {

/// The plan's outputs against the graph's: float32 sums of up to a few hundred products of numbers of order
/// one to ten stand against double precision, so 1e-4 of the largest output; integers and booleans exactly
/// (they are small).
void check(const Graph& graph, uint32_t seed) {
  const Bindings bindings = random_bindings(graph, seed);
  const auto expected = interpret(graph, bindings);
  ASSERT_TRUE(expected.ok()) << expected.error().message;
  const auto plan = lower(graph);
  ASSERT_TRUE(plan.ok()) << plan.error().message << " " << plan.error().where << "\n" << to_string(graph);
  EXPECT_GE(plan->arena_bytes, plan->arena_lower_bound);
  Random random(seed);
  for (int round = 0; round < 2; ++round) {
    Model model(*plan, reference_target(4 << (seed + static_cast<uint32_t>(round)) % 3), random, round == 1);
    const auto got = model.run(bindings);
    ASSERT_TRUE(got.ok()) << got.error().message << ", seed " << seed << "\n" << to_string(graph) << to_string(*plan);
    ASSERT_EQ(got->size(), expected->size());
    for (size_t i = 0; i < got->size(); ++i) {
      double scale = 1;
      for (double v : (*expected)[i].data)
        if (std::isfinite(v)) scale = std::max(scale, std::fabs(v));
      ASSERT_LE(max_difference({(*got)[i]}, {(*expected)[i]}), 1e-4 * scale)
          << "output " << i << ", seed " << seed << "\n"
          << to_string(graph) << to_string(*plan);
    }
  }
}

TEST(Lower, RandomGraphsComputeWhatTheyMean) {
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    check(random_graph(seed, 3 + static_cast<int>(seed % 9)), seed);
    if (HasFatalFailure()) return;
  }
}

TEST(Lower, FusedGraphsToo) {
  for (uint32_t seed = 1001; seed <= 1100; ++seed) {
    auto fused = fuse(random_graph(seed, 4 + static_cast<int>(seed % 9)));
    ASSERT_TRUE(fused.ok());
    check(*fused, seed);
    if (HasFatalFailure()) return;
  }
}

/// A graph under construction by hand.
struct Sketch {
  Graph graph;
  Builder build{graph};
  ValueId input(const Shape& shape) {
    graph.inputs.push_back(graph.add_value("x", DType::f32, shape));
    return graph.inputs.back();
  }
  ValueId weight(const Shape& shape) {
    const ValueId id = graph.add_value("w", DType::f32, shape);
    graph.value(id).segment = static_cast<int>(graph.segments.size());
    Segment s;
    s.offset = graph.weights_bytes, s.size = element_count(shape) * 4;
    s.rows = shape[0].value, s.row_spread = s.column_spread = 1;
    graph.weights_bytes += round_up(s.size, 64);
    graph.segments.push_back(s);
    return id;
  }
  ValueId numbers(const Shape& shape) {
    std::vector<double> values;
    for (int64_t i = 0; i < element_count(shape); ++i) values.push_back(0.25 * static_cast<double>(i % 7) - 0.5);
    return build.constant(DType::f32, shape, write_constant(values, DType::f32));
  }
};

ConvAttrs padded(int64_t by) {
  ConvAttrs a;
  a.pad_begin = a.pad_end = {by, by};
  return a;
}

TEST(Lower, ProducersWriteIntoTheHalo) {
  Sketch s;
  ValueId x = s.input({1, 3, 9, 7});
  for (int64_t c : {3, 5, 4})
    x = *s.build.conv(x, s.weight({c + (c == 3 ? 2 : 0) - (c == 5 ? 1 : 0), c, 3, 3}), kNoValue, padded(1));
  s.graph.outputs = {x};
  check(s.graph, 1);
  const auto plan = lower(s.graph);
  ASSERT_TRUE(plan.ok());
  int copies = 0, barriers = 0;
  for (const PlanStep& step : plan->steps) copies += step.label == "copy", barriers += step.barrier_before;
  EXPECT_EQ(copies, 1);    // the image alone, to channels last
  EXPECT_EQ(barriers, 4);  // before each convolution and before the output's copy; filling zeros costs none
}

struct Transposed {
  const char* name;
  Sizes x, w;  ///< [N, C, H, W], [O, C/g, KH, KW]
  std::array<int64_t, 2> stride, pad, extra{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  int steps = 1;              ///< products, of which each is one phase or several
  int64_t taps_a_pixel = -1;  ///< where it is the same for all pixels
};
constexpr int kAsLong = 4;
const Transposed kTransposed[] = {
    {"HiFi-GAN", {1, 16, 1, 20}, {8, 16, 1, 16}, {1, 8}, {0, 4}, {}, {1, 1}, 1, 2, 2},
    {"U-Net", {1, 5, 6, 7}, {4, 5, 4, 4}, {2, 2}, {1, 1}, {}, {1, 1}, 1, 4, 4},
    {"no overlap", {2, 5, 6, 7}, {4, 5, 2, 2}, {2, 2}, {0, 0}, {}, {1, 1}, 1, 1, 1},
    {"odd kernel", {1, 5, 6, 7}, {9, 5, 3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 1, 4},
    {"holes", {1, 5, 3, 4}, {4, 5, 1, 2}, {3, 3}, {0, 0}, {}, {1, 1}, 1, 1},
    {"dilated", {1, 5, 5, 4}, {4, 5, 3, 3}, {3, 2}, {2, 1}, {}, {2, 3}, 1, 6},
    {"dilated by the stride", {1, 5, 5, 4}, {4, 5, 3, 3}, {2, 2}, {2, 2}, {}, {2, 2}, 1, 1},
    {"more padding than kernel", {1, 3, 8, 9}, {4, 3, 2, 2}, {2, 2}, {3, 5}, {}, {1, 1}, 1, kAsLong},
    {"groups", {2, 6, 5, 4}, {8, 3, 4, 3}, {2, 2}, {1, 0}, {}, {1, 1}, 2, 4},
    {"depthwise", {2, 8, 5, 4}, {8, 1, 4, 4}, {2, 2}, {1, 1}, {}, {1, 1}, 8, 4, 4},
    {"stride 1", {1, 5, 6, 7}, {4, 5, 3, 3}, {1, 1}, {1, 1}, {}, {1, 1}, 1, 1, 9},
};

ConvAttrs attrs_of(const Transposed& t) {
  ConvAttrs a;
  a.transposed = true;
  a.stride = t.stride, a.dilation = t.dilation, a.pad_begin = a.pad_end = t.pad, a.groups = t.groups;
  for (size_t i = 0; i < 2; ++i) a.pad_end[i] -= t.extra[i];
  return a;
}

TEST(Lower, TransposedConvolutionsMultiplyNoZeros) {
  for (const Transposed& t : kTransposed) {
    SCOPED_TRACE(t.name);
    Sketch s;
    const auto shape = [](const Sizes& sizes) { return Shape(sizes.begin(), sizes.end()); };
    const ValueId y = *s.build.conv(s.input(shape(t.x)), s.weight(shape(t.w)), s.weight({t.w[0]}), attrs_of(t));
    s.graph.outputs = {y};
    const auto plan = lower(s.graph);
    ASSERT_TRUE(plan.ok());
    int steps = 0;
    double flops = 0;
    for (const PlanStep& step : plan->steps)
      if (!std::holds_alternative<MapSpec>(step.spec)) ++steps, flops += flops_of(step.spec);
    EXPECT_EQ(steps, t.steps);
    const auto pixels = static_cast<double>(element_count(s.graph.value(y).shape));
    if (t.taps_a_pixel >= 0) {
      EXPECT_EQ(flops, 2 * pixels * static_cast<double>(t.taps_a_pixel * t.w[1]));
    }
    check(s.graph, 1);
  }
}

/// The result is part of a concatenation, added to an image, or read with padding.
TEST(Lower, TransposedConvolutionsWriteWhereTheResultIsWanted) {
  for (const Transposed& t : kTransposed) {
    SCOPED_TRACE(t.name);
    Sketch s;
    const auto shape = [](const Sizes& sizes) { return Shape(sizes.begin(), sizes.end()); };
    ValueId y = *s.build.conv(s.input(shape(t.x)), s.weight(shape(t.w)), s.weight({t.w[0]}), attrs_of(t));
    const Shape image = s.graph.value(y).shape;
    Fx f;
    const ValueId scale = s.weight({image[1], 1, 1}), row = s.weight({1, image[2], 1}), skip = s.input(image);
    const Expr expr = f.finish(f.un(PointOp::tanh, f.in(0)) * f.in(1) + f.in(2) + f.in(3));
    y = *s.build.map(expr, {y, scale, row, skip}, DType::f32);
    const ValueId joined = *s.build.concat({y, s.input(image)}, 1);
    s.graph.outputs = {*s.build.conv(joined, s.weight({3, 2 * t.w[0], 3, 3}), kNoValue, padded(1)), y};
    check(*fuse(s.graph), 1);
  }
}

/// A 1×1 convolution to 64 channels, a depthwise one of stride 2, a 1×1 one: `between` is added behind the first,
/// `wide` says whether that result leaves the graph.
Graph inverted_residual(int64_t side, bool between, bool wide) {
  Sketch s;
  const auto relu = [&](ValueId v) {
    Expr e;
    e.binary(PointOp::max, e.input(0), e.constant(0));
    return *s.build.map(e, {v}, DType::f32);
  };
  ConvAttrs depthwise = padded(1);
  depthwise.groups = 64, depthwise.stride = {2, 2};
  ValueId x = *s.build.conv(s.input({1, 3, side, side}), s.weight({64, 3, 1, 1}), s.weight({64}), {});
  if (between) {
    Expr sum;
    sum.binary(PointOp::add, sum.input(0), sum.input(1));
    x = *s.build.map(sum, {x, s.input({1, 64, side, side})}, DType::f32);
  }
  const ValueId expanded = x = relu(x);
  x = relu(*s.build.conv(x, s.weight({64, 1, 3, 3}), s.weight({64}), depthwise));
  s.graph.outputs = {*s.build.conv(x, s.weight({5, 64, 1, 1}), s.weight({5}), {})};
  if (wide) s.graph.outputs.push_back(expanded);
  return *fuse(s.graph);
}

TEST(Lower, InvertedResidualsOfLargeImagesAreOneStep) {
  const auto steps = [](const Graph& graph) {
    const auto plan = lower(graph);
    EXPECT_TRUE(plan.ok());
    const auto is_one = [](const PlanStep& step) { return std::holds_alternative<InvertedResidualSpec>(step.spec); };
    return std::count_if(plan->steps.begin(), plan->steps.end(), is_one);
  };
  const Graph large = inverted_residual(65, false, false);
  EXPECT_EQ(steps(large), 1);
  check(large, 7);
  EXPECT_EQ(steps(inverted_residual(40, false, false)), 0) << "a cache holds the image";
  EXPECT_EQ(steps(inverted_residual(65, true, false)), 0) << "what is added is no matter of channels";
  EXPECT_EQ(steps(inverted_residual(65, false, true)), 0) << "somebody else reads the image";
}

int count_copies(const Graph& graph) {
  const auto plan = lower(graph);
  EXPECT_TRUE(plan.ok());
  const auto moves = [](const PlanStep& step) {
    const auto* map = std::get_if<MapSpec>(&step.spec);
    return map && map->inputs.size() == 1 && map->expr.insts.size() == 1;
  };
  return static_cast<int>(std::count_if(plan->steps.begin(), plan->steps.end(), moves));
}

/// Halves of a convolution's result, one of which goes on through padded convolutions, joined again: YOLO's C2f.
TEST(Lower, ConcatenationsHaveTheZerosThatTheirPartsNeed) {
  Sketch s;
  const ValueId x = *s.build.conv(s.input({1, 3, 6, 5}), s.weight({8, 3, 1, 1}), kNoValue, {});
  ValueId part = *s.build.slice_axis(x, 1, 4, 4);
  std::vector<ValueId> parts{x};
  for (int i = 0; i < 2; ++i) parts.push_back(part = *s.build.conv(part, s.weight({4, 4, 3, 3}), kNoValue, padded(1)));
  const ValueId joined = *s.build.concat(parts, 1);
  s.graph.outputs = {*s.build.conv(joined, s.weight({5, 16, 1, 1}), kNoValue, {})};
  check(s.graph, 9);
  EXPECT_EQ(count_copies(s.graph), 2);  // the image to channels last, the output back
}

/// Levels of a pyramid as one list of cells, each of two heads: concatenations in a concatenation, behind reshapes.
TEST(Lower, ViewsOfResultsAreWrittenIntoTheirPlace) {
  Sketch s;
  std::vector<ValueId> levels;
  for (const int64_t side : {4, 2}) {
    const ValueId x = s.input({1, 3, side, side});
    std::vector<ValueId> heads;
    for (const int64_t channels : {5, 2})
      heads.push_back(*s.build.conv(x, s.weight({channels, 3, 1, 1}), kNoValue, {}));
    levels.push_back(*s.build.reshape(*s.build.concat(heads, 1), {1, 7, side * side}));
  }
  Fx f;
  const ValueId cells = *s.build.permute(*s.build.concat(levels, 2), {0, 2, 1});
  s.graph.outputs = {*s.build.map(f.finish(f.in(0) * 2.0), {cells}, DType::f32)};
  check(s.graph, 10);
  EXPECT_EQ(count_copies(s.graph), 2);  // the images to channels last
}

TEST(Lower, UpsamplingWritesWhereItsResultIsWanted) {
  Sketch s;
  const ValueId image = s.input({1, 3, 6, 4});
  const ValueId small = *s.build.conv(image, s.weight({4, 3, 1, 1}), kNoValue, [] {
    ConvAttrs a;
    a.stride = {2, 2};
    return a;
  }());
  const ValueId lifted = *s.build.reshape(small, {1, 4, 3, 1, 2, 1});
  const ValueId wide = *s.build.reshape(*s.build.expand(lifted, {1, 4, 3, 2, 2, 2}), {1, 4, 6, 4});
  const ValueId joined = *s.build.concat({wide, *s.build.conv(image, s.weight({4, 3, 1, 1}), kNoValue, {})}, 1);
  s.graph.outputs = {*s.build.conv(joined, s.weight({5, 8, 3, 3}), kNoValue, padded(1))};
  check(s.graph, 11);
  EXPECT_EQ(count_copies(s.graph), 3);  // the image to channels last, the upsampling, the output back
}

TEST(Lower, ConcatReadsASliceOfItsOwnOperand) {
  Sketch s;
  const ValueId x = *s.build.conv(s.input({2, 3, 4, 5}), s.weight({6, 3, 1, 1}), kNoValue, {});
  s.graph.outputs = {*s.build.concat({x, *s.build.slice_axis(x, 1, 2, 3)}, 1)};
  check(s.graph, 2);
}

TEST(Lower, GathersIntoConcatenations) {
  Sketch s;
  const ValueId index = s.build.integers({2, 0, -1, 1}, {4}), table = s.weight({3, 5});
  const ValueId a = *s.build.gather(s.input({3, 5}), index, 0), b = *s.build.gather(table, index, 0);
  s.graph.outputs = {*s.build.concat({a, b, a}, 1)};
  check(s.graph, 3);
}

/// Tables and indices in any order of dims, indices broadcast over some of them, results inside others.
TEST(Lower, GathersAlongAnyAxisForEachOfTheOthers) {
  for (uint32_t seed = 1; seed <= 80; ++seed) {
    Random random(seed);
    Sketch s;
    const int64_t rank = pick(random, 1, 4), axis = pick(random, 0, rank - 1), batch = pick(random, 0, 1) ? axis : 0;
    std::vector<int64_t> order;
    Sizes in_memory, dims(static_cast<size_t>(rank)), given, wanted;
    for (int64_t i = 0; i < rank; ++i)
      order.insert(order.begin() + pick(random, 0, i), i), in_memory.push_back(pick(random, 1, 5));
    for (size_t i = 0; i < order.size(); ++i) dims[i] = in_memory[static_cast<size_t>(order[i])];
    for (int64_t i = 0; i < batch; ++i) wanted.push_back(dims[static_cast<size_t>(i)]);
    for (int64_t i = pick(random, 1, 2); i > 0; --i) wanted.push_back(pick(random, 1, 5));
    for (const int64_t d : wanted) given.push_back(pick(random, 0, 2) ? d : 1);
    int64_t count = 1;
    for (const int64_t d : given) count *= d;
    std::vector<int64_t> rows;
    const int64_t size = dims[static_cast<size_t>(axis)];
    for (int64_t i = 0; i < count; ++i) rows.push_back(pick(random, -size, size - 1));
    const auto shape = [](const Sizes& sizes) { return Shape(sizes.begin(), sizes.end()); };
    const ValueId table = *s.build.permute(s.input(shape(in_memory)), order),
                  index = *s.build.expand(s.build.integers(rows, shape(given), DType::i64), shape(wanted)),
                  y = *s.build.gather(table, index, axis, batch);
    s.graph.outputs = {y};
    if (pick(random, 0, 1)) s.graph.outputs = {*s.build.concat({y, y}, pick(random, 0, s.build.rank(y) - 1))};
    check(s.graph, seed);
    if (HasFatalFailure()) return;
  }
}

TEST(Lower, ConstantsWithoutWeightsAndBeforeThem) {
  for (const bool weights : {false, true}) {
    Sketch s;
    if (weights) s.weight({4});  // nothing reads it: no transfer, and nothing may wait for it
    ValueId x = *s.build.conv(s.input({1, 4, 6, 5}), s.numbers({4, 1, 3, 3}), s.numbers({4}), [] {
      ConvAttrs a = padded(1);
      a.groups = 4;
      return a;
    }());
    x = *s.build.matmul(x, s.numbers({5, 3}));
    if (weights) x = *s.build.matmul(x, s.weight({3, 8}));
    s.graph.outputs = {x};
    check(s.graph, 4);
    const auto plan = lower(s.graph);
    ASSERT_TRUE(plan.ok());
    for (const PlanStep& step : plan->steps) EXPECT_FALSE(std::get_if<PackSpec>(&step.spec)) << "in every run";
  }
}

TEST(Lower, OutputsThatAreInputsWeightsOrRepeated) {
  Sketch s;
  const ValueId x = s.input({2, 3}), w = s.weight({3, 2});
  const ValueId y = *s.build.permute(w, {1, 0});
  s.graph.outputs = {x, w, y, x, *s.build.matmul(x, w)};
  check(s.graph, 5);
}

TEST(Lower, SharedWeightsArePackedOnceForEqualConsumers) {
  Sketch s;
  const ValueId w = s.weight({8, 8});
  ValueId x = s.input({5, 8});
  for (int i = 0; i < 3; ++i) x = *s.build.matmul(x, w);
  s.graph.outputs = {x};
  check(s.graph, 6);
  const auto plan = lower(s.graph);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->init.size(), 1u);
  EXPECT_EQ(plan->init[0].size(), 1u);
  ASSERT_EQ(plan->transfers.size(), 1u);
  EXPECT_EQ(plan->buffers[static_cast<size_t>(plan->transfers[0].dst.buffer)].space, Space::staging);
}

/// Sums may begin with a bias only where nothing else reads it: drawn by tests/fuzz/differential.
TEST(Lower, ABiasIsAddedToTheSumAndReadAgain) {
  Sketch s;
  const ValueId bias = s.weight({5});
  const ValueId y = *s.build.matmul(s.input({7, 3}), s.weight({3, 5}));
  Fx f;
  const Expr twice = f.finish(f.un(PointOp::abs, f.in(0) + f.in(1)) * f.in(1));
  s.graph.outputs = {*s.build.map(twice, {y, bias}, DType::f32)};
  check(*fuse(s.graph), 12);
}

/// Weights that each of several steps reads in its own way: packed as they lie, turned, in part, reduced, mapped,
/// gathered from, or as they are.
TEST(Lower, WeightsThatSeveralStepsReadAreWrittenOverByTheLast) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const auto pick = [&](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    Sketch s;
    for (int64_t weights = pick(1, 3); weights > 0; --weights) {
      const int64_t rows = pick(4, 40), columns = pick(4, 40);
      const ValueId w = s.weight({rows, columns});
      for (int64_t readers = pick(1, 3); readers > 0; --readers) {
        ReduceAttrs sum;
        sum.axes = {pick(0, 1)};
        Fx f;
        const auto product = [&](ValueId of, int64_t k, bool turned) {
          return *s.build.matmul(s.input({pick(1, 5), k}), of, turned);
        };
        const int64_t first = pick(0, rows - 1), some = pick(1, rows - first);
        const auto part = [&] { return *s.build.slice_axis(w, 0, first, some); };
        const auto read = [&] {
          switch (pick(0, 7)) {
            case 0:
              return product(w, rows, false);
            case 1:
              return product(w, columns, true);
            case 2:
              return product(part(), columns, true);
            case 3:
              return product(part(), some, false);
            case 4:
              return *s.build.reduce(w, sum);
            case 5:
              return *s.build.map(f.finish(f.in(0) * 2.0), {w}, DType::f32);
            case 6:
              return *s.build.gather(w, s.build.integers({2, 0, 1}, {3}), 0);
            default:
              return w;
          }
        };
        s.graph.outputs.push_back(read());
      }
    }
    check(s.graph, seed);
    if (HasFatalFailure()) return;
  }
}

/// Three layers of `side` × `side` weights by one algorithm, laid out over the file in several ways.
void check_over_file(int64_t side, Precision precision, Algorithm algorithm, double tolerance,
                     FunctionRef<void(const Model&)> look) {
  Sketch s;
  ValueId x = s.input({8, side});
  for (int i = 0; i < 3; ++i) x = *s.build.matmul(x, s.weight({side, side}), true);
  s.graph.outputs = {x};
  const Bindings bindings = random_bindings(s.graph, 12);
  const auto expected = interpret(s.graph, bindings);
  const auto plan = lower(s.graph, precision);
  ASSERT_TRUE(expected.ok() && plan.ok());
  Schedule schedule;
  schedule.algorithm = algorithm, schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    Random random(seed);
    Model model(*plan, reference_target(4), random, true, schedule);
    look(model);
    const auto got = model.run(bindings);
    ASSERT_TRUE(got.ok()) << got.error().message;
    const std::vector<double>& wanted = expected->front().data;
    const double scale = std::abs(
        *std::max_element(wanted.begin(), wanted.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
    for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got->front().data[i], wanted[i], tolerance * scale);
  }
}

/// Strassen's algorithm wants its panels as others do, so they follow closely what they are made of.
TEST(Lower, StrassensWeightsArePackedOverThemselves) {
  check_over_file(32, Precision::balanced, Algorithm::strassen, 1e-4, [](const Model& model) {
    if (model.landed_whole()) {
      EXPECT_EQ(model.lead(), 4 * 32 * 4) << "a panel";
    }
  });
}

/// Weights that become integers take half the room of theirs in the file, and never that of what is still to be read.
TEST(Lower, WeightsBecomeIntegersOverTheFile) {
  check_over_file(64, Precision::fast, Algorithm::int16, 1e-3, [](const Model& model) {
    if (model.landed_whole()) {
      EXPECT_EQ(model.lead(), 64 * 64 * 2 + 64 * 4) << "the first layer's; then they fall behind";
    }
  });
}

TEST(Lower, OnlyLinearLayersOfFastMayBeIntegers) {
  Sketch s;
  ConvAttrs pixelwise;
  const ValueId rows = s.input({4, 64}), image = s.input({1, 64, 4, 4});
  s.graph.outputs = {*s.build.matmul(rows, s.weight({64, 64}), true), *s.build.matmul(rows, s.weight({64, 64})),
                     *s.build.matmul(rows, s.input({64, 64})),
                     *s.build.matmul(s.input({1, 64}), s.weight({64, 64}), true),
                     *s.build.conv(image, s.weight({64, 64, 1, 1}), kNoValue, pixelwise)};
  const auto allowed = [&](Precision precision) {
    const auto plan = lower(s.graph, precision);
    EXPECT_TRUE(plan.ok());
    std::vector<bool> out;
    for (const PlanStep& step : plan->steps)
      if (const auto* c = std::get_if<ContractionSpec>(&step.spec)) out.push_back(c->int16);
    return out;
  };
  EXPECT_EQ(allowed(Precision::fast), (std::vector<bool>{true, true, false, false, false}));
  EXPECT_EQ(allowed(Precision::balanced), std::vector<bool>(5, false));
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

/// What integers would cost shows in the weights alone: the file says how far apart they are, or nothing is rounded.
TEST(Lower, WeightsThatAreFarApartStayFloats) {
  const auto integers = [](bool one_row, bool turned, Precision precision, const Segment& told) {
    Sketch s;
    const ValueId w = s.weight({512, 520});
    Segment& segment = s.graph.segments[0];
    segment.rows = told.rows, segment.row_spread = told.row_spread, segment.column_spread = told.column_spread;
    s.graph.outputs = {*s.build.matmul(s.input({one_row ? 1 : 8, turned ? 520 : 512}), w, turned)};
    const auto plan = lower(s.graph, precision);
    EXPECT_TRUE(plan.ok());
    const auto& spec = *std::get_if<ContractionSpec>(&plan->steps[0].spec);
    const float spread = turned ? told.column_spread : told.row_spread;
    const bool near = told.rows == 512 && spread > 0 && spread <= 100 && precision != Precision::exact;
    EXPECT_EQ(spec.strassen, near && (!one_row || !turned)) << spread;
    return one_row ? spec.rounded : spec.int16;
  };
  for (const bool one_row : {true, false})
    for (const bool turned : {true, false}) {
      const auto told = [&](float spread, float other = kInf) {
        return turned ? Segment{0, 0, 512, other, spread} : Segment{0, 0, 512, spread, other};
      };
      const bool either = turned || !one_row;  // a single row needs rows that lie there as they are read
      for (const float little : {1.F, 3.F}) {
        EXPECT_EQ(integers(one_row, turned, Precision::balanced, told(little)), one_row && either);
        EXPECT_EQ(integers(one_row, turned, Precision::fast, told(little)), either);
      }
      EXPECT_FALSE(integers(one_row, turned, Precision::balanced, told(3.1F, 1)));
      EXPECT_EQ(integers(one_row, turned, Precision::fast, told(30)), either);
      for (const float much : {30.1F, 100.F, 100.1F, kInf, kNan, 0.F, -1.F})
        for (const Precision precision : {Precision::balanced, Precision::fast})
          EXPECT_FALSE(integers(one_row, turned, precision, told(much, 1)));
      EXPECT_FALSE(integers(one_row, turned, Precision::exact, told(1)));
      EXPECT_FALSE(integers(one_row, turned, Precision::fast, {0, 0, 256, 1, 1})) << "it says so of another matrix";
    }
}

/// With 'exact' a result is made of what its sum has and nothing else, so what is not finite stays where it belongs.
TEST(Lower, ExactKeepsNaNAndInfinityWhereTheyBelong) {
  for (const int64_t stride : {1, 2})
    for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Sketch s;
      ConvAttrs a = padded(1);
      a.stride = {stride, stride};
      const ValueId x = s.input({1, 16, 13, 14});
      s.graph.outputs = {*s.build.conv(x, s.weight({8, 16, 3, 3}), kNoValue, a)};
      Bindings bindings = random_bindings(s.graph, 3);
      const auto plan = lower(s.graph, Precision::exact);
      ASSERT_TRUE(plan.ok());
      constexpr int64_t kRow = 6, kColumn = 8;
      bindings.inputs[0].data[(5 * 13 + kRow) * 14 + kColumn] = value;
      const auto expected = interpret(s.graph, bindings);
      ASSERT_TRUE(expected.ok());
      Schedule wanted;
      wanted.algorithm = Algorithm::winograd4, wanted.mr = 4, wanted.nv = 1, wanted.unroll = 1;
      for (const Algorithm algorithm : {Algorithm::winograd2, Algorithm::winograd4}) {
        wanted.algorithm = algorithm;
        Random random(1);
        Model model(*plan, reference_target(4), random, false, wanted);
        const auto got = model.run(bindings);
        ASSERT_TRUE(got.ok()) << got.error().message;
        int others = 0;
        for (size_t i = 0; i < got->front().data.size(); ++i) {
          const double g = got->front().data[i], e = expected->front().data[i];
          others += !std::isfinite(g);
          EXPECT_TRUE(g == e || (std::isnan(g) && std::isnan(e)) || std::abs(g - e) <= 1e-4) << g << ' ' << e;
        }
        EXPECT_EQ(others, 8 * (stride == 1 ? 9 : 1));
      }
    }
}

/// A single row's weights are rounded, and whoever else reads their rows reads them rounded; not if they are read in
/// any other way, nor where arithmetic is exact.
TEST(Lower, RowsOfWeightsAreRoundedOnce) {
  const auto tied = [](bool read_otherwise) {
    Sketch s;
    ReduceAttrs greatest;
    greatest.kind = ReduceKind::argmax, greatest.axes = {1};
    const ValueId table = s.weight({301, 250}), index = *s.build.reduce(s.input({2, 301}), greatest);
    const ValueId rows = *s.build.gather(table, index, 0);
    const ValueId row = *s.build.slice(rows, {{1, 0}, {1, 1}}, {1, 250});
    s.graph.outputs = {rows, *s.build.matmul(row, table, true)};
    if (read_otherwise) s.graph.outputs.push_back(*s.build.matmul(rows, table, true));
    return s.graph;
  };
  const auto space_of_weights = [](const Graph& graph, Precision precision, size_t init_steps) {
    const auto plan = lower(graph, precision);
    EXPECT_TRUE(plan.ok());
    EXPECT_EQ(plan->init.empty() ? 0 : plan->init[0].size(), init_steps);
    return plan->buffers[static_cast<size_t>(plan->transfers[0].dst.buffer)].space;
  };
  for (const bool read_otherwise : {false, true}) check(tied(read_otherwise), 9);
  for (const Precision rounding : {Precision::balanced, Precision::fast})
    EXPECT_EQ(space_of_weights(tied(false), rounding, 1), Space::staging);
  EXPECT_EQ(space_of_weights(tied(false), Precision::exact, 0), Space::weights);
  EXPECT_EQ(space_of_weights(tied(true), Precision::balanced, 1),
            Space::weights);  // packed for the product of two rows
}

TEST(Lower, LargeWeightsAreRoundedPartByPart) {
  Sketch s;
  const ValueId w = s.weight({2200, 1001});
  s.graph.outputs = {*s.build.matmul(s.input({1, 1001}), w, true)};
  const auto plan = lower(s.graph);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->transfers.size(), 3u);
  EXPECT_LE(plan->staging_bytes, 4 << 20);
  EXPECT_LE(plan->weights_bytes, 2200 * 1001 * 2.2);
  check(s.graph, 10);
}

/// What a decoder's step adds to a cache is read where it was computed; what anybody else asks for is joined after all.
TEST(Lower, KeysOfAStepNeedNotJoinTheCache) {
  for (const bool asked_for : {false, true})
    for (const int64_t queries : {1, 3, 4}) {
      Sketch s;
      const ValueId x = s.input({queries, 24}), past = s.input({1, 3, 6, 8}),
                    mask = s.input({1, 1, queries, queries + 6});
      const auto heads = [&](ValueId row) {
        return *s.build.permute(*s.build.reshape(row, {1, queries, 3, 8}), {0, 2, 1, 3});
      };
      const auto join = [&] { return *s.build.concat({past, heads(*s.build.matmul(x, s.weight({24, 24})))}, 2); };
      const ValueId k = join(), v = join();
      AttentionAttrs a;
      a.scale = 0.3;
      s.graph.outputs = {*s.build.attention(heads(x), k, v, mask, a)};
      if (asked_for) s.graph.outputs.push_back(k);
      check(s.graph, 11);
      const auto plan = lower(s.graph);
      ASSERT_TRUE(plan.ok());
      const auto joins = [](const PlanStep& step) { return step.label.rfind("concat", 0) == 0; };
      EXPECT_EQ(std::any_of(plan->steps.begin(), plan->steps.end(), joins), asked_for || queries == 4)
          << queries << "\n"
          << to_string(*plan);
    }
}

TEST(Lower, BatchesThatDoNotMerge) {
  Sketch s;
  const ValueId a = s.input({2, 4, 3, 5, 7}), b = s.input({2, 1, 3, 7, 6}), c = s.input({5, 6, 2, 4, 3});
  Fx f;
  const ValueId product = *s.build.matmul(a, b);
  s.graph.outputs = {
      *s.build.map(f.finish(f.in(0) + f.in(1)), {product, *s.build.permute(c, {2, 3, 4, 0, 1})}, DType::f32)};
  check(s.graph, 7);
  auto fused = fuse(s.graph);
  ASSERT_TRUE(fused.ok());
  check(*fused, 7);
}

TEST(Lower, EightDimsInAnyOrder) {
  Sketch s;
  const ValueId x = s.input({2, 3, 2, 2, 3, 2, 2, 3});
  Fx f;
  s.graph.outputs = {
      *s.build.map(f.finish(f.in(0) - f.in(1)), {x, *s.build.permute(x, {3, 4, 2, 0, 1, 6, 5, 7})}, DType::f32)};
  check(s.graph, 8);
}

}  // namespace
}  // namespace kiln::testing
