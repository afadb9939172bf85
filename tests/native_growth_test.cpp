// What the compiler takes of long, wide and deep graphs: time and memory grow with them, not with their squares, and no
// depth of theirs is a depth of the stack.
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <ctime>

#include "jit/backends/native_code.h"
#include "runtime/compile.h"
#include "runtime/native_device.h"
#include "runtime/native_executable.h"
#include "tests/support/source_graph.h"

namespace kiln {
namespace {

using namespace testing;

using Make = SourceGraph (*)(int64_t n);

SourceGraph chain(int64_t n) {  // of what is not fused
  SourceGraph g;
  ValueId x = g.input({4});
  for (int64_t i = 0; i < n; ++i) x = g.op("aten.cumsum.default", {x}, {4}, {{"dim", int64_t{0}}});
  g.output(x);
  return g;
}

SourceGraph maps_in_a_row(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({4});
  for (int64_t i = 0; i < n; ++i) x = g.op("aten.sin.default", {x}, {4});
  g.output(x);
  return g;
}

SourceGraph fan(int64_t n) {
  SourceGraph g;
  const ValueId x = g.input({4});
  for (int64_t i = 0; i < n; ++i)
    g.output(g.op("aten.add.Tensor", {x}, {4}, {{"other", static_cast<double>(i)}}), "o" + std::to_string(i));
  return g;
}

SourceGraph fan_in(int64_t n) {
  SourceGraph g;
  const ValueId x = g.input({1, 4});
  std::vector<ValueId> parts;
  for (int64_t i = 0; i < n; ++i)
    parts.push_back(g.op("aten.add.Tensor", {x}, {1, 4}, {{"other", static_cast<double>(i)}}));
  g.output(g.op("aten.cat.default", parts, {n, 4}, {{"dim", int64_t{0}}}));
  return g;
}

SourceGraph same_output(int64_t n) {
  SourceGraph g;
  const ValueId x = g.input({4});
  for (int64_t i = 0; i < n; ++i) g.output(g.op("aten.alias.default", {x}, {4}), "o" + std::to_string(i));
  return g;
}

SourceGraph inputs(int64_t n) {
  SourceGraph g;
  ValueId sum = g.input({4});
  for (int64_t i = 1; i < n; ++i) sum = g.op("aten.add.Tensor", {sum, g.input({4})}, {4});
  g.output(sum);
  return g;
}

/// Views that do not merge, before a concatenation.
SourceGraph views(int64_t n) {
  SourceGraph g;
  ValueId x = g.op("aten.sin.default", {g.input({2, 6})}, {2, 6});
  for (int64_t i = 0; i < n; ++i) {
    x = g.op("aten.t.default", {x}, {6, 2});
    x = g.op("aten.view.default", {x}, {2, 6}, {{"size", Ints{2, 6}}});
  }
  g.output(g.op("aten.cat.default", {x, g.input({2, 6})}, {4, 6}, {{"dim", int64_t{0}}}));
  return g;
}

/// Of an input: views that each concatenation meets again.
SourceGraph views_of_an_input(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({2, 6});
  for (int64_t i = 0; i < n; ++i) {
    x = g.op("aten.t.default", {x}, {6, 2});
    x = g.op("aten.view.default", {x}, {2, 6}, {{"size", Ints{2, 6}}});
    g.output(g.op("aten.cat.default", {x, x}, {4, 6}, {{"dim", int64_t{0}}}), "o" + std::to_string(i));
  }
  return g;
}

SourceGraph concatenations(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({2, 4});
  for (int64_t i = 0; i < n; ++i) {
    const ValueId y = g.op("aten.sin.default", {x}, {2, 4});
    const ValueId both = g.op("aten.cat.default", {x, y}, {4, 4}, {{"dim", int64_t{0}}});
    x = g.op("aten.slice.Tensor", {both}, {2, 4}, {{"dim", int64_t{0}}, {"start", int64_t{1}}, {"end", int64_t{3}}});
  }
  g.output(x);
  return g;
}

/// Each in the next, so that all of them lie in the last.
SourceGraph nested_concatenations(int64_t n) {
  SourceGraph g;
  const ValueId x = g.input({1, 4});
  ValueId all = g.op("aten.sin.default", {x}, {1, 4});
  for (int64_t i = 2; i <= n; ++i) {
    const ValueId more = g.op("aten.add.Tensor", {x}, {1, 4}, {{"other", static_cast<double>(i)}});
    all = g.op("aten.cat.default", {all, more}, {i, 4}, {{"dim", int64_t{0}}});
  }
  g.output(all);
  return g;
}

SourceGraph taken_apart_and_joined(int64_t n) {
  SourceGraph g;
  const ValueId x = g.input({1, 4});
  std::vector<ValueId> parts;
  for (int64_t i = 0; i < n; ++i)
    parts.push_back(g.op("aten.add.Tensor", {x}, {1, 4}, {{"other", static_cast<double>(i)}}));
  const ValueId all = g.op("aten.cat.default", parts, {n, 4}, {{"dim", int64_t{0}}});
  std::vector<ValueId> rows = g.ops("aten.unbind.int", {all}, std::vector<Ints>(static_cast<size_t>(n), {4}));
  std::reverse(rows.begin(), rows.end());
  g.output(g.op("aten.stack.default", rows, {n, 4}));
  return g;
}

SourceGraph weights(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({4});
  for (int64_t i = 0; i < n; ++i) {
    const ValueId w = g.weight({4});
    g.graph.segments.back() = {64 * i, 16};
    x = g.op("aten.cumsum.default", {g.op("aten.mul.Tensor", {x, w}, {4})}, {4}, {{"dim", int64_t{0}}});
  }
  g.graph.weights_bytes = 64 * n;
  g.output(x);
  return g;
}

SourceGraph products(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({8, 8});
  for (int64_t i = 0; i < n; ++i) {
    const ValueId w = g.weight({8, 8});
    g.graph.segments.back() = {256 * i, 256, 8, 2, 2};
    x = g.op("aten.mm.default", {x, w}, {8, 8});
  }
  g.graph.weights_bytes = 256 * n;
  g.output(x);
  return g;
}

SourceGraph resizes(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({1, 1, 4});
  for (int64_t i = 0; i < n; ++i) {
    const int64_t size = i % 2 ? 4 : 6;
    x = g.op("aten.upsample_linear1d.vec", {x}, {1, 1, size}, {{"output_size", Ints{size}}, {"align_corners", false}});
  }
  g.output(x);
  return g;
}

SourceGraph convolutions(int64_t n) {
  SourceGraph g;
  ValueId x = g.input({1, 4, 4, 4});
  const ValueId w = g.weight({4, 4, 3, 3});
  g.graph.segments.back() = {0, 576};
  g.graph.weights_bytes = 576;
  for (int64_t i = 0; i < n; ++i) {
    const ValueId y =
        g.op("aten.conv2d.default", {x, w}, {1, 4, 4, 4},
             {{"stride", Ints{1, 1}}, {"padding", Ints{1, 1}}, {"dilation", Ints{1, 1}}, {"groups", int64_t{1}}});
    const ValueId both = g.op("aten.cat.default", {x, y}, {1, 8, 4, 4}, {{"dim", int64_t{1}}});
    x = g.op("aten.slice.Tensor", {both}, {1, 4, 4, 4},
             {{"dim", int64_t{1}}, {"start", int64_t{2}}, {"end", int64_t{6}}});
  }
  g.output(x);
  return g;
}

struct Case {
  const char* name;
  Make make;
  int64_t n;  ///< and four times as many
};
const Case kCases[] = {{"chain", chain, 1000},
                       {"maps in a row", maps_in_a_row, 2000},
                       {"fan", fan, 1000},
                       {"fan in", fan_in, 1000},
                       {"same output", same_output, 1000},
                       {"inputs", inputs, 2000},
                       {"views", views, 1000},
                       {"views of an input", views_of_an_input, 500},
                       {"concatenations", concatenations, 500},
                       {"nested concatenations", nested_concatenations, 1000},
                       {"taken apart and joined", taken_apart_and_joined, 500},
                       {"weights", weights, 500},
                       {"products", products, 500},
                       {"resizes", resizes, 1000},
                       {"convolutions", convolutions, 300}};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// All but the loading of weights.
Status compile(SourceGraph source, bool emit) {
  CompileOptions options;
  options.target = host_target();
  options.threads = 2;
  KILN_ASSIGN(const Planned planned, plan_model(std::move(source.graph), options));
  KILN_ASSIGN(const Compiled compiled, lay_out_model(planned, {}, options));
  if (!emit) return ok();
  const auto code = load_executable(options.target, [&](Emitter& e) { return emit_program(e, compiled.program); });
  return code.ok() ? ok() : Status(code.error());
}

double seconds_for(const Case& c, int64_t n) {
  SourceGraph source = c.make(n);
  const double start = cpu_seconds();
  const Status done = compile(std::move(source), true);
  EXPECT_TRUE(done.ok()) << c.name << ": " << (done.ok() ? "" : done.error().message);
  return cpu_seconds() - start;
}

/// Of four times as many nodes: some 4 to 6, where it were a square 16. Processor time of this thread, the least of a
/// few, so that what else the machine does shows little.
TEST(Growth, OfTimeIsNoSquare) {
  constexpr double kMost = 10;
  for (const Case& c : kCases) {
    double once = 1e9, four_times = 1e9;
    for (int attempt = 0; attempt < 4 && (attempt == 0 || four_times > kMost * once); ++attempt) {
      once = std::min(once, seconds_for(c, c.n));
      four_times = std::min(four_times, seconds_for(c, 4 * c.n));
    }
    EXPECT_LT(four_times / once, kMost) << c.name;
  }
}

/// A stack of a quarter of what a page's compiler has, and graphs of what would overflow it if any pass recursed.
TEST(Growth, TakesNoStack) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  ASSERT_EQ(pthread_attr_setstacksize(&small, 256 << 10), 0);
  for (const Case& c : kCases) {
    pthread_t thread;
    const auto body = [](void* at) -> void* {
      const auto* own = static_cast<const Case*>(at);
      const Status done = compile(own->make(5000), false);
      EXPECT_TRUE(done.ok()) << own->name << ": " << (done.ok() ? "" : done.error().message);
      return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &small, body, const_cast<Case*>(&c)), 0);
    pthread_join(thread, nullptr);
  }
}

}  // namespace
}  // namespace kiln
