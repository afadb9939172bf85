// Graphs whose attributes are what a hostile file would say. They are computed right, or refused in words; under UBSan
// (./dev sanitize) nothing on the way may overflow.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ir/builder.h"
#include "ir/infer.h"
#include "ir/passes/passes.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/laid_out_model.h"

namespace kiln::testing {
namespace {

constexpr int64_t kMostElements = 1 << 12;  ///< of what is run
constexpr double kMostFlops = 1e6;

class Extremes {
 public:
  explicit Extremes(uint32_t seed) : random_(seed) {}

  Graph grow() {
    ValueId x = graph_.add_value("x", DType::f32, shape());
    graph_.inputs.push_back(x);
    if (pick(2)) keep(b_.expand(x, spread(x)), x);
    for (int64_t steps = 1 + pick(3); steps-- > 0;) step(x);
    graph_.outputs.push_back(x);
    return std::move(graph_);
  }
  std::map<std::string, int> refused;  ///< what was not added, by error

 private:
  int64_t pick(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  int64_t small() { return 1 + pick(4); }
  int64_t number() {
    const int64_t power = int64_t{1} << pick(63);
    const int64_t numbers[] = {0, 1, -1, 3, power, power - 1, power + 1, -power, INT32_MAX, INT64_MAX, INT64_MIN};
    return pick(3) ? small() : pick(2) ? int64_t{1} << pick(34) : numbers[pick(11)];
  }
  std::array<int64_t, 2> pair() { return {number(), pick(2) ? small() : number()}; }
  /// Often 0.
  std::array<int64_t, 2> padding() {
    std::array<int64_t, 2> p = pair();
    for (int64_t& side : p)
      if (pick(3)) side = 0;
    return p;
  }
  Shape shape() { return {Dim(1), Dim(small()), Dim(small()), Dim(small())}; }
  Shape spread(ValueId x) {
    Shape s = graph_.value(x).shape;
    for (Dim& d : s)
      if (d.value == 1 && pick(2)) d = Dim(std::clamp<int64_t>(number(), 1, int64_t{1} << 36));
    return s;
  }
  void keep(const Result<ValueId>& made, ValueId& x) {
    if (made.ok() && !is_empty(graph_.value(*made).shape)) x = *made;
    if (!made.ok()) ++refused[error_code_name(made.error().code)];
  }
  ValueId weight(const Shape& to) {
    const ValueId one = graph_.add_value("w", DType::f32, Shape(to.size(), Dim(1)));
    graph_.value(one).segment = static_cast<int>(graph_.segments.size());
    Segment s;
    s.offset = graph_.weights_bytes, s.size = 4;
    graph_.weights_bytes += 64;
    graph_.segments.push_back(s);
    const auto wide = b_.expand(one, to);
    return wide.ok() ? *wide : one;
  }
  int64_t size(ValueId x, size_t dim) { return graph_.value(x).shape[dim].value; }

  /// A kernel that is no larger than what it meets, mostly.
  int64_t kernel(int64_t in, int64_t pad) {
    return pick(4) ? 1 + pick(std::min<int64_t>(in + std::clamp<int64_t>(pad, 0, 9), 5)) : number();
  }

  void step(ValueId& x) {
    switch (pick(8)) {
      case 0:
      case 1: {
        ConvAttrs a;
        a.stride = pair(), a.dilation = pair(), a.pad_begin = padding(), a.pad_end = padding();
        a.transposed = pick(4) == 0;
        a.groups = pick(2) ? 1 : size(x, 1);
        const int64_t out = a.groups * (pick(2) ? 1 : small());
        return keep(b_.conv(x,
                            weight({Dim(out), Dim(size(x, 1) / a.groups), Dim(kernel(size(x, 2), a.pad_begin[0])),
                                    Dim(kernel(size(x, 3), a.pad_begin[1]))}),
                            kNoValue, a),
                    x);
      }
      case 2:
      case 3: {
        PoolAttrs a;
        a.kind = pick(2) ? WindowKind::max : WindowKind::average;
        a.stride = pair(), a.dilation = pair(), a.pad_begin = padding(), a.pad_end = padding();
        if (a.kind == WindowKind::average) a.dilation = {1, 1};
        for (size_t i = 0; i < 2; ++i) a.kernel[i] = kernel(size(x, 2 + i), a.pad_begin[i]);
        return keep(b_.pool(x, a), x);
      }
      case 4: {
        PadAttrs a;
        for (int i = 0; i < 4; ++i) {
          const auto by = padding();
          a.before.push_back(by[0]), a.after.push_back(by[1]);
        }
        return keep(b_.pad(x, a), x);
      }
      case 5: {
        const auto axis = static_cast<size_t>(pick(4));
        const int64_t in = size(x, axis), step = pick(2) ? 1 + pick(3) : number(), start = pick(in);
        const int64_t most = step > 0 ? (in - start - 1) / step + 1 : 1;
        return keep(b_.slice_axis(x, static_cast<int64_t>(axis), start, pick(4) ? most : number(), step), x);
      }
      case 6: {
        ReduceAttrs a;
        a.kind = pick(2) ? ReduceKind::mean : ReduceKind::max;
        a.axes = {pick(4)};
        a.keepdim = true;
        return keep(b_.reduce(x, a), x);
      }
      default:
        return keep(b_.concat({x, x}, pick(4)), x);
    }
  }

  Graph graph_;
  Builder b_{graph_};
  Random random_;
};

Result<Graph> optimized(Graph graph) {
  KILN_TRY(verify(graph));
  KILN_ASSIGN(graph, fold_constants(drop_dead(std::move(graph))));
  KILN_ASSIGN(graph, canonicalize(std::move(graph)));
  return fuse(drop_dead(std::move(graph)));
}

double elements_of(const Graph& graph) {
  double most = 0;
  for (const Value& v : graph.values) most = std::max(most, static_cast<double>(element_count(v.shape)));
  return most;
}

/// The graph as far as it goes, up to machine code.
Status emitted(const Graph& grown, const Target& target) {
  KILN_ASSIGN(const Graph graph, optimized(grown));
  Planned planned;
  KILN_ASSIGN(planned.plan, lower(graph));
  for (const PlanStep& step : planned.plan.steps) {
    planned.step_spec.push_back(static_cast<int>(planned.specs.size()));
    planned.specs.push_back(step.spec);
  }
  CompileOptions options;
  options.target = target;
  KILN_ASSIGN(const Compiled compiled, lay_out_model(planned, {}, options));
  KILN_TRY(emit_part(compiled, options, ProgramPart::load));
  KILN_TRY(emit_part(compiled, options, ProgramPart::run));
  return ok();
}

/// Its padded image has 2^76 elements, of which 64 bits would keep few.
TEST(Extremes, APaddedImageIsAsLargeAsItIs) {
  Graph graph;
  Builder b(graph);
  const ValueId x = graph.add_value("x", DType::f32, Shape(4, Dim(1))), w = b.scalar(1, DType::f32);
  graph.inputs = {x};
  ConvAttrs a;
  a.stride = {1 << 30, 1 << 30}, a.pad_begin = a.pad_end = {1073741820, 1 << 30};
  const auto conv = b.conv(*b.expand(x, {1, 16384, 1, 7}), *b.expand(w, {1, 16384, 1, 1}), kNoValue, a);
  ASSERT_FALSE(conv.ok());
  EXPECT_EQ(conv.error().code, ErrorCode::unsupported_operator);
  EXPECT_NE(conv.error().message.find("the padded input is too large"), std::string::npos) << conv.error().message;
}

TEST(Extremes, AreComputedRightOrRefused) {
  Random random(1);
  std::map<std::string, int> ends;
  std::vector<Target> targets = real_targets();
  targets.push_back(wasm_target(true, true));
  for (uint32_t seed = 1; seed <= 1000; ++seed) {
    Extremes extremes(seed);
    const Graph graph = extremes.grow();
    for (const auto& [code, times] : extremes.refused) ends[code] += times;
    const Status status = emitted(graph, targets[seed % targets.size()]);
    const ErrorCode code = status.ok() ? ErrorCode::aborted : status.error().code;
    ++ends[status.ok() ? "emitted" : error_code_name(code)];
    EXPECT_NE(code, ErrorCode::internal) << status.error().message << " " << status.error().where << ", seed " << seed
                                         << "\n"
                                         << to_string(graph);
    if (!status.ok() || elements_of(graph) > kMostElements) continue;
    const auto small = optimized(graph);
    const auto plan = lower(*small);
    double flops = 0;
    for (const PlanStep& step : plan->steps) flops += flops_of(step.spec);
    if (flops > kMostFlops || plan->arena_bytes + plan->weights_bytes > 1 << 24) continue;
    ++ends["run"];
    const Bindings bindings = random_bindings(graph, seed);
    const auto expected = interpret(graph, bindings);
    Model model(*plan, reference_target(8), random, false);
    const auto got = model.run(bindings);
    ASSERT_TRUE(expected.ok() && got.ok()) << got.error().message << ", seed " << seed;
    // Sums of up to a few thousand products of numbers of order one.
    double scale = 1;
    for (double v : (*expected)[0].data) scale = std::max(scale, std::isfinite(v) ? std::fabs(v) : 0);
    EXPECT_LE(max_difference(*got, *expected), 1e-4 * scale) << "seed " << seed << "\n" << to_string(graph);
    if (HasFailure()) return;
  }
  EXPECT_EQ(ends["internal"], 0);
  for (const char* end : {"emitted", "run", "bad-file", "unsupported-operator", "out-of-memory"})
    EXPECT_GE(ends[end], 10) << end;
}

}  // namespace
}  // namespace kiln::testing
