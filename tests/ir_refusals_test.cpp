// What the operators refuse: nodes that nobody has, contradictions, and graphs made at random, which must end in words.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/builder.h"
#include "ir/legalizer.h"
#include "ir/optimize.h"
#include "ir/passes/passes.h"
#include "tests/support/source_graph.h"

namespace kiln::testing {
namespace {

TEST(Unsupported, OneErrorListsEveryNode) {
  SourceGraph s;
  const ValueId x = s.input({2, 3});
  const ValueId a = s.op("aten.made_up.default", {x, kNoValue}, {2, 3});
  const ValueId b = s.op("aten.relu.default", {a}, {2, 3});
  const ValueId c =
      s.op("aten.avg_pool2d.default", {s.input({1, 1, 5, 5})}, {1, 1, 3, 3},
           {{"kernel_size", Ints{2, 2}}, {"padding", Ints{1, 1}}, {"stride", Ints{2, 2}}, {"ceil_mode", true}});
  s.output(s.op("aten.other.default", {b, c}, {1}));
  s.output(c);
  const auto graph = legalize(s.graph);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().code, ErrorCode::unsupported_operator);
  const std::string& m = graph.error().message;
  EXPECT_NE(m.find("aten.made_up.default(float32[2x3], none)  model.py:1"), std::string::npos) << m;
  EXPECT_NE(m.find("aten.other.default"), std::string::npos) << m;
  EXPECT_EQ(m.find("aten.relu"), std::string::npos) << m;
  EXPECT_FALSE(check_supported(s.graph).ok());
}

TEST(Unsupported, AReadOutputThatIsNotComputedIsNamed) {
  SourceGraph s;
  const auto out = s.ops("aten.max_pool2d_with_indices.default", {s.input({1, 1, 4, 4})}, {{1, 1, 2, 2}, {1, 1, 2, 2}},
                         {{"kernel_size", Ints{2, 2}}});
  s.output(out[0]);
  EXPECT_EQ(error_of(s), "");
  s.output(s.op("aten.add.Tensor", {out[1], out[1]}, {1, 1, 2, 2}));
  EXPECT_NE(error_of(s).find("output 1 is read"), std::string::npos) << error_of(s);
}

TEST(Unsupported, ExtremesOfNothingAndTooManyDims) {
  const auto expect = [](const SourceGraph& s, const char* what) {
    const auto graph = legalize(s.graph);
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().code, ErrorCode::unsupported_operator);
    EXPECT_NE(graph.error().message.find(what), std::string::npos) << graph.error().message;
  };
  SourceGraph greatest, dims, output;
  greatest.output(greatest.op("aten.amax.default", {greatest.input({0, 3})}, {3}, {{"dim", Ints{0}}}));
  expect(greatest, "no elements");
  const ValueId many = dims.input(Ints(17, 1));
  dims.output(dims.op("aten.relu.default", {many}, Ints(17, 1)));
  expect(dims, "'in0' has 17 dims, at most 16");
  const auto pooled = output.ops("aten.max_pool2d_with_indices.default", {output.input({1, 1, 4, 4})},
                                 {{1, 1, 2, 2}, {1, 1, 2, 2}}, {{"kernel_size", Ints{2, 2}}});
  output.output(pooled[1]);
  expect(output, "output 1 is read");
}

TEST(Hostile, ContradictionsAreErrors) {
  const auto expect = [](const std::function<void(SourceGraph&)>& make, const char* what) {
    SourceGraph s;
    make(s);
    const std::string message = error_of(s);
    EXPECT_NE(message.find(what), std::string::npos) << "got: " << message;
  };
  expect([](SourceGraph& s) { s.output(s.op("aten.relu.default", {s.input({2})}, {3})); },
         "the file gives its output as");
  expect([](SourceGraph& s) { s.output(s.op("aten.relu.default", {}, {3})); }, "operand 0 is missing");
  expect(
      [](SourceGraph& s) {
        s.output(s.op("aten.linear.default", {s.input({2, 3}), s.input({4, 5}), kNoValue}, {2, 4}));
      },
      "inner sizes differ");
  expect(
      [](SourceGraph& s) {
        s.output(s.op("aten.permute.default", {s.input({2, 3})}, {3, 2}, {{"dims", Ints{0, 0}}}));
      },
      "appears twice");
  expect(
      [](SourceGraph& s) {
        s.output(s.op("aten.view.default", {s.input({2, 3})}, {7}, {{"size", Ints{7}}}));
      },
      "cannot view 2x3 as 7");
  expect(
      [](SourceGraph& s) {
        s.output(s.op("aten.gelu.default", {s.input({2})}, {2}, {{"approximate", int64_t{3}}}));
      },
      "should be a string");
  expect(
      [](SourceGraph& s) {
        s.input({int64_t{1} << 40, int64_t{1} << 40});
        s.output(s.op("aten.ones.default", {}, {1}));
      },
      "impossible shape");
  expect(
      [](SourceGraph& s) {
        s.output(s.op("aten.expand.default", {s.input({1})}, {int64_t{1} << 50}, {{"size", Ints{int64_t{1} << 50}}}));
      },
      "too large");
}

/// Random nodes of every operator: absurd attributes, wrong ranks and types. Anything but an answer is a failure (run
/// it under ASan, too).
/// Found by fuzz_pipeline: each was a sum or a cast that 64 bits do not hold.
TEST(Hostile, NumbersAtTheEndsOf64Bits) {
  SourceGraph range, convolution, gathered;
  range.output(range.op("aten.arange.start", {}, {1}, {{"start", int64_t{0}}, {"end", INT64_MAX}}, DType::i64));
  EXPECT_NE(error_of(range).find("a range of 9223372036854775807 elements"), std::string::npos) << error_of(range);

  convolution.output(convolution.op("aten.convolution.default",
                                    {convolution.input({1, 1, 2, 2}), convolution.weight({1, 1, 2, 2}), kNoValue},
                                    {1, 1, 3, 3},
                                    {{"stride", Ints{1, 1}},
                                     {"padding", Ints{INT64_MIN, INT64_MIN}},
                                     {"dilation", Ints{1, 1}},
                                     {"transposed", true},
                                     {"output_padding", Ints{1, 1}},
                                     {"groups", int64_t{1}}}));
  EXPECT_NE(error_of(convolution), "");

  const ValueId index = gathered.graph.add_value("c", DType::i64, Shape{2});
  gathered.graph.value(index).data = write_numbers({{0, INT64_MAX}, {0, INT64_MIN}}, DType::i64);
  gathered.output(
      gathered.op("aten.index_select.default", {gathered.input({3, 2}), index}, {2, 2}, {{"dim", int64_t{0}}}));
  const auto graph = optimize(gathered.graph, {});
  ASSERT_TRUE(graph.ok()) << graph.error().message;  // it stays a gather, whose status says in the run that it is wrong
  EXPECT_TRUE(std::any_of(graph->nodes.begin(), graph->nodes.end(), [](const Node& n) { return n.op == Op::gather; }));
}

TEST(Hostile, RandomNodesNeverCrash) {
  std::mt19937_64 random(11);
  const auto pick = [&](auto n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  const Ints numbers{
      0,         1,        2, 3, -1, -2, 5, 7, 64, 65535, int64_t{1} << 31, -(int64_t{1} << 31), int64_t{1} << 62,
      INT64_MAX, INT64_MIN};
  const char* names[] = {"dim",
                         "dims",
                         "size",
                         "start",
                         "end",
                         "step",
                         "stride",
                         "padding",
                         "dilation",
                         "groups",
                         "kernel_size",
                         "output_size",
                         "index",
                         "pad",
                         "value",
                         "alpha",
                         "other",
                         "keepdim",
                         "ceil_mode",
                         "transposed",
                         "output_padding",
                         "exponent",
                         "normalized_shape",
                         "split_size",
                         "split_sizes",
                         "chunks",
                         "repeats",
                         "shifts",
                         "upscale_factor",
                         "downscale_factor",
                         "num_groups",
                         "diagonal",
                         "fill_value",
                         "scale",
                         "is_causal",
                         "enable_gqa",
                         "eps",
                         "correction",
                         "ord",
                         "length",
                         "dim0",
                         "dim1",
                         "start_dim",
                         "end_dim",
                         "divisor_override",
                         "self",
                         "min",
                         "max",
                         "approximate",
                         "rounding_mode",
                         "scale_factors",
                         "axis",
                         "axes",
                         "perm",
                         "to",
                         "keepdims",
                         "pads",
                         "strides",
                         "kernel_shape",
                         "dilations",
                         "group",
                         "output_shape",
                         "blocksize",
                         "batch_dims",
                         "num_heads",
                         "q_num_heads",
                         "kv_num_heads",
                         "start",
                         "k",
                         "p",
                         "epsilon",
                         "opset"};
  const auto shape = [&] {
    Ints s;
    for (int64_t rank = pick(6); rank > 0; --rank)
      s.push_back(pick(20) == 0 ? int64_t{1} << (10 + pick(20)) : pick(25) == 0 ? 0 : 1 + pick(6));
    return s;
  };
  int accepted = 0;
  for (const OpRow& row : op_table()) {
    const bool onnx = row.family == "onnx";  // states no types, and is refused for an attribute that it does not know
    for (int trial = 0; trial < (onnx ? 120 : 60); ++trial) {
      SourceGraph s;
      std::vector<ValueId> inputs;
      const Ints common = shape();
      for (int64_t n = pick(5); n > 0; --n) {
        const DType dtype = static_cast<DType>(pick(3) ? 0 : pick(8));
        const Ints its = pick(2) ? common : shape();
        inputs.push_back(pick(8) == 0 ? kNoValue : pick(2) ? s.input(its, dtype) : s.weight(its, "w", dtype));
        if (onnx && inputs.back() != kNoValue && pick(3) == 0) {  // sizes and axes, which the compiler looks at
          std::vector<double> data;
          for (int64_t i = pick(5); i >= 0; --i)
            data.push_back(
                static_cast<double>(pick(4) ? pick(7) - 2 : numbers[static_cast<size_t>(pick(numbers.size()))]));
          inputs.back() = s.constant(data, {static_cast<int64_t>(data.size())}, DType::i64);
        }
      }
      Attrs attrs;
      for (const char* name : names) {
        if (onnx ? pick(24) != 0 : pick(3) == 0) continue;
        SourceAttr attr{name, std::monostate{}};
        switch (pick(6)) {
          case 0:
            attr.value = numbers[static_cast<size_t>(pick(numbers.size()))];
            break;
          case 1:
            attr.value = pick(4);
            break;
          case 2:
            attr.value = static_cast<double>(pick(9)) - 4.5;
            break;
          case 3:
            attr.value = pick(2) == 0;
            break;
          case 4:
            attr.value = std::string("floor");
            break;
          default: {
            Ints list;
            for (int64_t n = pick(5); n > 0; --n)
              list.push_back(pick(3) ? pick(4) : numbers[static_cast<size_t>(pick(numbers.size()))]);
            attr.value = list;
          }
        }
        attrs.push_back(attr);
      }
      const auto out = s.ops(std::string(row.name), inputs, {pick(2) ? common : shape(), shape()}, attrs,
                             static_cast<DType>(pick(4) ? 0 : pick(8)));
      if (onnx)
        for (ValueId id : out) s.graph.value(id).typed = false;
      s.output(out[0]);
      accepted += optimize(s.graph, {}).ok();
    }
  }
  EXPECT_GT(accepted, 100);  // the generator is not only noise
}

}  // namespace
}  // namespace kiln::testing
