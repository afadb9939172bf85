// The operator table, and what each operator computes once it is canonical: against formulas written here.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <set>

#include "ir/legalizer.h"
#include "ir/passes/passes.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/source_graph.h"

namespace kiln::testing {
namespace {

/// Legalizes, verifies and evaluates on seeded numbers; with the inputs it ran on.
struct Evaluation {
  Bindings bindings;
  std::vector<Array> outputs;
};

Evaluation run(const SourceGraph& source, uint32_t seed = 7, int64_t int_limit = 4) {
  Evaluation result;
  auto graph = legalize(source.graph);
  if (!graph.ok()) {
    ADD_FAILURE() << graph.error().message;
    return result;
  }
  const Status sound = verify(*graph);
  EXPECT_TRUE(sound.ok()) << sound.error().message << "\n" << to_string(*graph);
  result.bindings = random_bindings(*graph, seed, int_limit);
  auto outputs = interpret(*graph, result.bindings);
  if (outputs.ok()) {
    result.outputs = *outputs;
  } else {
    ADD_FAILURE() << outputs.error().message;
  }
  return result;
}

TEST(OpTable, RowsAreUniqueAndSorted) {
  std::set<std::string_view> names;
  const OpRow* before = nullptr;
  for (const OpRow& row : op_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " appears twice";
    EXPECT_FALSE(row.family.empty()) << row.name;
    EXPECT_EQ(find_op(row.name), &row);
    const bool in_order = !before || std::tie(before->family, before->name) < std::tie(row.family, row.name);
    EXPECT_TRUE(in_order) << row.name;
    before = &row;
  }
  EXPECT_NE(op_table_text().find("  aten.relu.default\n"), std::string::npos);
}

#ifndef __EMSCRIPTEN__  // reads the source tree, in which CTest runs
TEST(OpTable, TheExportersListIsTheTable) {
  std::ifstream file("py-sdk/wasmkiln/opset.txt");
  ASSERT_TRUE(file.good()) << "run from the root of the source tree";
  std::set<std::string, std::less<>> listed;
  for (std::string name; file >> name;) listed.insert(name);
  size_t rows = 0;
  for (const OpRow& row : op_table()) {
    if (row.family == "onnx") continue;  // of another front end
    ++rows;
    EXPECT_TRUE(listed.count(row.name)) << row.name << " is missing in py-sdk/wasmkiln/opset.txt";
  }
  EXPECT_EQ(listed.size(), rows) << "py-sdk/wasmkiln/opset.txt lists operators that the table does not have";
}
#endif

struct UnaryCase {
  const char* name;
  Attrs attrs;
  std::function<double(double)> f;
};

TEST(PointwiseOps, UnaryFormulas) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  const auto clip = [](double x, double low, double high) { return std::min(std::max(x, low), high); };
  const UnaryCase cases[] = {
      {"aten.relu.default", {}, [](double x) { return std::max(x, 0.0); }},
      {"aten.relu6.default", {}, [&](double x) { return clip(x, 0, 6); }},
      {"aten.gelu.default",
       {{"approximate", std::string("none")}},
       [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
      {"aten.gelu.default",
       {{"approximate", std::string("tanh")}},
       [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
      {"aten.silu.default", {}, [&](double x) { return x * sigmoid(x); }},
      {"aten.hardswish.default", {}, [&](double x) { return x * clip(x + 3, 0, 6) / 6; }},
      {"aten.hardsigmoid.default", {}, [&](double x) { return clip(x + 3, 0, 6) / 6; }},
      {"aten.hardtanh.default", {{"min_val", -0.5}, {"max_val", 0.25}}, [&](double x) { return clip(x, -0.5, 0.25); }},
      {"aten.clamp.default",
       {{"min", int64_t{0}}, {"max", std::monostate{}}},
       [](double x) { return std::max(x, 0.0); }},
      {"aten.leaky_relu.default", {{"negative_slope", 0.2}}, [](double x) { return x > 0 ? x : 0.2 * x; }},
      {"aten.elu.default", {{"alpha", 1.5}}, [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }},
      {"aten.selu.default",
       {},
       [](double x) { return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x)); }},
      {"aten.celu.default",
       {{"alpha", 2.0}},
       [](double x) { return std::max(x, 0.0) + std::min(0.0, 2 * std::expm1(x / 2)); }},
      {"aten.softplus.default", {{"beta", 2.0}}, [](double x) { return std::log1p(std::exp(2 * x)) / 2; }},
      {"aten.mish.default", {}, [&](double x) { return x * std::tanh(softplus(x)); }},
      {"aten.log_sigmoid.default", {}, [&](double x) { return std::log(sigmoid(x)); }},
      {"aten.sign.default", {}, [](double x) { return (x > 0) - (x < 0); }},
      {"aten.square.default", {}, [](double x) { return x * x; }},
      {"aten.exp2.default", {}, [](double x) { return std::exp2(x); }},
      {"aten.tan.default", {}, [](double x) { return std::tan(x); }},
      {"aten.acos.default", {}, [](double x) { return std::acos(x); }},
      {"aten.asin.default", {}, [](double x) { return std::asin(x); }},
      {"aten.atan.default", {}, [](double x) { return std::atan(x); }},
      {"aten.frac.default", {}, [](double x) { return x - std::trunc(x); }},
      {"aten.softsign.default", {}, [](double x) { return x / (1 + std::fabs(x)); }},
      {"aten.pow.Tensor_Scalar", {{"exponent", int64_t{3}}}, [](double x) { return x * x * x; }},
      {"aten.threshold.default", {{"threshold", 0.1}, {"value", -7.0}}, [](double x) { return x > 0.1 ? x : -7; }},
      {"aten.round.default", {}, [](double x) { return std::nearbyint(x); }},
  };
  for (const UnaryCase& c : cases) {
    SourceGraph s;
    s.output(s.op(c.name, {s.input({3, 5, 7})}, {3, 5, 7}, c.attrs));
    const Evaluation r = run(s);
    ASSERT_EQ(r.outputs.size(), 1u) << c.name;
    for (size_t i = 0; i < r.outputs[0].data.size(); ++i) {
      const double x = r.bindings.inputs[0].data[i];
      // constants of expressions are float32
      const double want = c.f(x), got = r.outputs[0].data[i];
      if (std::isnan(want))
        EXPECT_TRUE(std::isnan(got)) << c.name << " at " << x;
      else
        EXPECT_NEAR(got, want, 1e-6 * (1 + std::fabs(want))) << c.name << " at " << x;
    }
  }
}

TEST(PointwiseOps, PromotionFollowsPyTorch) {
  SourceGraph s;
  const ValueId f = s.input({2, 3}), i = s.input({3}, DType::i64), b = s.input({2, 1}, DType::boolean);
  s.output(s.op("aten.add.Tensor", {f, i}, {2, 3}, {{"alpha", int64_t{2}}}));
  s.output(s.op("aten.mul.Tensor", {i, s.number(3, DType::i64)}, {3}, {}, DType::i64));
  s.output(s.op("aten.mul.Tensor", {i, s.number(0.5)}, {3}));
  s.output(s.op("aten.div.Tensor", {i, s.number(2, DType::i64)}, {3}));
  s.output(s.op("aten.add.Tensor", {b, i}, {2, 3}, {}, DType::i64));
  s.output(s.op("aten.ge.Scalar", {i}, {3}, {{"other", int64_t{2}}}, DType::boolean));
  s.output(s.op("aten.where.ScalarOther", {b, f}, {2, 3}, {{"other", -1.5}}));
  s.output(s.op("aten.masked_fill.Scalar", {f, b}, {2, 3}, {{"value", 9.0}}));
  s.output(s.op("aten.rsub.Scalar", {f}, {2, 3}, {{"other", 1.0}, {"alpha", 2.0}}));
  s.output(s.op("aten.bitwise_and.Tensor",
                {b, s.op("aten.lt.Tensor", {i, s.number(2, DType::i64)}, {3}, {}, DType::boolean)}, {2, 3}, {},
                DType::boolean));
  const ValueId bytes = s.input({3}, DType::u8), three = s.number(3, DType::i32);
  s.output(s.op("aten.sub.Tensor", {kNoValue, bytes}, {3}, {{"self", int64_t{255}}}, DType::u8));
  s.output(s.op("aten.add.Tensor", {bytes, s.number(3, DType::i64)}, {3}, {}, DType::u8));
  s.output(s.op("aten.sub.Tensor", {kNoValue, three}, {}, {{"self", int64_t{1}}}, DType::i32));
  s.output(s.op("aten.eq.Tensor", {bytes, kNoValue}, {3}, {{"other", int64_t{256}}}, DType::boolean));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 14u);
  const auto &fd = r.bindings.inputs[0].data, &id = r.bindings.inputs[1].data, &bd = r.bindings.inputs[2].data;
  for (size_t n = 0; n < 6; ++n) {
    const double x = fd[n], k = id[n % 3], m = bd[n / 3];
    EXPECT_NEAR(r.outputs[0].data[n], x + 2 * k, 1e-12);
    EXPECT_EQ(r.outputs[4].data[n], m + k);
    EXPECT_EQ(r.outputs[6].data[n], m != 0 ? x : -1.5);
    EXPECT_EQ(r.outputs[7].data[n], m != 0 ? 9 : x);
    EXPECT_NEAR(r.outputs[8].data[n], 1 - 2 * x, 1e-12);
    EXPECT_EQ(r.outputs[9].data[n], m != 0 && k < 2);
  }
  for (size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(r.outputs[1].data[n], 3 * id[n]);
    EXPECT_EQ(r.outputs[2].data[n], 0.5 * id[n]);
    EXPECT_EQ(r.outputs[3].data[n], id[n] / 2);
    EXPECT_EQ(r.outputs[5].data[n], id[n] >= 2);
    const double byte = r.bindings.inputs[3].data[n];
    EXPECT_EQ(r.outputs[10].data[n], 255 - byte);
    EXPECT_EQ(r.outputs[11].data[n], byte + 3);
    EXPECT_EQ(r.outputs[12].data[0], -2);
    EXPECT_EQ(r.outputs[13].data[n], byte == 0) << "256 is 0 beside bytes";
  }
}

TEST(LayoutOps, SlicesCountFromTheEnd) {
  SourceGraph s;
  const ValueId x = s.input({4, 7});
  s.output(s.op("aten.slice.Tensor", {x}, {4, 3},
                {{"dim", int64_t{-1}}, {"start", int64_t{-6}}, {"end", int64_t{-1}}, {"step", int64_t{2}}}));
  s.output(s.op("aten.select.int", {x}, {7}, {{"dim", int64_t{0}}, {"index", int64_t{-1}}}));
  s.output(s.op("aten.flip.default", {x}, {4, 7}, {{"dims", Ints{1}}}));
  s.output(s.op("aten.constant_pad_nd.default", {x}, {5, 6}, {{"pad", Ints{-2, 1, 0, 1}}, {"value", 3.0}}));
  s.output(s.op("aten.repeat.default", {x}, {2, 8, 7}, {{"repeats", Ints{2, 2, 1}}}));
  s.output(s.op("aten.view.default", {x}, {2, 14}, {{"size", Ints{2, -1}}}));
  s.output(s.op("aten.roll.default", {x}, {4, 7}, {{"shifts", Ints{-3}}, {"dims", Ints{1}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 7u);
  const auto at = [&](int64_t i, int64_t j) { return r.bindings.inputs[0].data[static_cast<size_t>(i * 7 + j)]; };
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 3; ++j) EXPECT_EQ(r.outputs[0].data[static_cast<size_t>(i * 3 + j)], at(i, 1 + 2 * j));
  for (int64_t j = 0; j < 7; ++j) {
    EXPECT_EQ(r.outputs[1].data[static_cast<size_t>(j)], at(3, j));
    EXPECT_EQ(r.outputs[2].data[static_cast<size_t>(j)], at(0, 6 - j));
    EXPECT_EQ(r.outputs[4].data[static_cast<size_t>(56 + 28 + j)], at(0, j));
    EXPECT_EQ(r.outputs[6].data[static_cast<size_t>(j)], at(0, (j + 3) % 7));
  }
  EXPECT_EQ(r.outputs[3].data[0], at(0, 2));
  EXPECT_EQ(r.outputs[3].data[5], 3);
  EXPECT_EQ(r.outputs[3].data[29], 3);
}

TEST(LayoutOps, SplitsComputeOnlyWhatIsRead) {
  SourceGraph s;
  const ValueId x = s.input({5, 4});
  const auto parts =
      s.ops("aten.split.Tensor", {x}, {{2, 4}, {2, 4}, {1, 4}}, {{"split_size", int64_t{2}}, {"dim", int64_t{0}}});
  s.output(s.op("aten.cat.default", {parts[2], parts[0]}, {3, 4}, {{"dim", int64_t{-2}}}));
  const auto graph = legalize(s.graph);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(graph->nodes.size(), 3u);
  const Evaluation r = run(s);
  EXPECT_EQ(r.outputs[0].data[0], r.bindings.inputs[0].data[16]);
  EXPECT_EQ(r.outputs[0].data[4], r.bindings.inputs[0].data[0]);
}

/// Direct definition of a transposed convolution: every input pixel adds the kernel to the output.
TEST(ContractionOps, TransposedConvolutionScatters) {
  const int64_t h = 4, w = 3, k = 3, stride = 2, pad = 1, extra = 1, groups = 2, ci = 2, co = 3;
  const int64_t oh = (h - 1) * stride - 2 * pad + k + extra, ow = (w - 1) * stride - 2 * pad + k + extra;
  SourceGraph s;
  const ValueId x = s.input({1, groups * ci, h, w}), weight = s.weight({groups * ci, co, k, k});
  s.output(s.op("aten.convolution.default", {x, weight, kNoValue}, {1, groups * co, oh, ow},
                {{"stride", Ints{stride, stride}},
                 {"padding", Ints{pad, pad}},
                 {"dilation", Ints{1, 1}},
                 {"transposed", true},
                 {"output_padding", Ints{extra, extra}},
                 {"groups", groups}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 1u);
  std::vector<double> expected(static_cast<size_t>(groups * co * oh * ow), 0);
  const auto& xd = r.bindings.inputs[0].data;
  const auto& wd = r.bindings.weights.begin()->second.data;
  for (int64_t c = 0; c < groups * ci; ++c)
    for (int64_t o = 0; o < co; ++o)
      for (int64_t i = 0; i < h * w; ++i)
        for (int64_t t = 0; t < k * k; ++t) {
          const int64_t y = i / w * stride - pad + t / k, xx = i % w * stride - pad + t % k;
          if (y < 0 || y >= oh || xx < 0 || xx >= ow) continue;
          const int64_t channel = c / ci * co + o;
          expected[static_cast<size_t>((channel * oh + y) * ow + xx)] +=
              xd[static_cast<size_t>(c * h * w + i)] * wd[static_cast<size_t>((c * co + o) * k * k + t)];
        }
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(r.outputs[0].data[i], expected[i], 1e-9);
}

TEST(ContractionOps, VectorsAndScaledSums) {
  SourceGraph s;
  const ValueId a = s.input({3, 4}), v = s.input({4}), b = s.input({4, 5}), c = s.input({5});
  s.output(s.op("aten.mv.default", {a, v}, {3}));
  s.output(s.op("aten.dot.default", {v, v}, {}));
  s.output(s.op("aten.addmm.default", {c, a, b}, {3, 5}, {{"beta", 0.5}, {"alpha", int64_t{2}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 3u);
  const auto &A = r.bindings.inputs[0].data, &V = r.bindings.inputs[1].data, &B = r.bindings.inputs[2].data,
             &C = r.bindings.inputs[3].data;
  double dot = 0, mv = 0, mm = 0;
  for (size_t k = 0; k < 4; ++k) dot += V[k] * V[k], mv += A[8 + k] * V[k], mm += A[4 + k] * B[k * 5 + 3];
  EXPECT_NEAR(r.outputs[0].data[2], mv, 1e-12);
  EXPECT_NEAR(r.outputs[1].data[0], dot, 1e-12);
  EXPECT_NEAR(r.outputs[2].data[8], 2 * mm + 0.5 * C[3], 1e-12);
}

TEST(GatherOps, IndexingWithSeveralTensors) {
  SourceGraph s;
  const ValueId x = s.input({4, 4, 5}), i = s.input({2, 1}, DType::i64), j = s.input({3}, DType::i64),
                g = s.input({4, 2, 5}, DType::i64);
  s.output(s.op("aten.index.Tensor", {x, i, j}, {2, 3, 5}));
  s.output(s.op("aten.index.Tensor", {x, j, kNoValue, i}, {2, 3, 4}));
  s.output(s.op("aten.gather.default", {x, g}, {4, 2, 5}, {{"dim", int64_t{1}}}));
  s.output(s.op("aten.index_select.default", {x, j}, {4, 3, 5}, {{"dim", int64_t{1}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 4u);
  const auto at = [&](int64_t a, int64_t b, int64_t c) {
    return r.bindings.inputs[0].data[static_cast<size_t>((a * 4 + b) * 5 + c)];
  };
  const auto whole = [&](int input, int64_t n) {
    return static_cast<int64_t>(r.bindings.inputs[static_cast<size_t>(input)].data[static_cast<size_t>(n)]);
  };
  for (int64_t p = 0; p < 2; ++p)
    for (int64_t q = 0; q < 3; ++q) {
      for (int64_t c = 0; c < 5; ++c)
        EXPECT_EQ(r.outputs[0].data[static_cast<size_t>((p * 3 + q) * 5 + c)], at(whole(1, p), whole(2, q), c));
      for (int64_t c = 0; c < 4; ++c)
        EXPECT_EQ(r.outputs[1].data[static_cast<size_t>((p * 3 + q) * 4 + c)], at(whole(2, q), c, whole(1, p)));
    }
  for (int64_t n = 0; n < 40; ++n) EXPECT_EQ(r.outputs[2].data[static_cast<size_t>(n)], at(n / 10, whole(3, n), n % 5));
  for (int64_t n = 0; n < 60; ++n)
    EXPECT_EQ(r.outputs[3].data[static_cast<size_t>(n)], at(n / 15, whole(2, n / 5 % 3), n % 5));
}

TEST(NormOps, BatchGroupAndVariance) {
  SourceGraph s;
  const ValueId x = s.input({2, 6, 3, 5});
  const ValueId gamma = s.weight({6}, "gamma"), beta = s.weight({6}, "beta"), mean = s.weight({6}, "mean"),
                var = s.weight({6}, "var");
  s.output(s.ops("aten._native_batch_norm_legit_no_training.default", {x, gamma, beta, mean, var},
                 {{2, 6, 3, 5}, {0}, {0}}, {{"momentum", 0.1}, {"eps", 1e-3}})[0]);
  s.output(
      s.op("aten.group_norm.default", {x, gamma, kNoValue}, {2, 6, 3, 5}, {{"num_groups", int64_t{3}}, {"eps", 1e-5}}));
  s.output(
      s.op("aten.var.correction", {x}, {2, 6}, {{"dim", Ints{2, 3}}, {"correction", int64_t{1}}, {"keepdim", false}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 3u);
  const auto& xd = r.bindings.inputs[0].data;
  const auto w = [&](int segment, int64_t c) { return r.bindings.weights.at(segment).data[static_cast<size_t>(c)]; };
  for (int64_t n = 0; n < 180; ++n) {
    const int64_t c = n / 15 % 6;
    EXPECT_NEAR(r.outputs[0].data[static_cast<size_t>(n)],
                (xd[static_cast<size_t>(n)] - w(2, c)) / std::sqrt(w(3, c) + 1e-3) * w(0, c) + w(1, c), 1e-6);
    double sum = 0, squares = 0;
    const int64_t group = n / 30 * 30;
    for (int64_t k = 0; k < 30; ++k) sum += xd[static_cast<size_t>(group + k)] / 30;
    for (int64_t k = 0; k < 30; ++k) squares += std::pow(xd[static_cast<size_t>(group + k)] - sum, 2) / 30;
    EXPECT_NEAR(r.outputs[1].data[static_cast<size_t>(n)],
                (xd[static_cast<size_t>(n)] - sum) / std::sqrt(squares + 1e-5) * w(0, c), 1e-6);
  }
  double m = 0, v = 0;
  for (size_t k = 0; k < 15; ++k) m += xd[15 + k] / 15;
  for (size_t k = 0; k < 15; ++k) v += std::pow(xd[15 + k] - m, 2) / 14;
  EXPECT_NEAR(r.outputs[2].data[1], v, 1e-6);
}

TEST(WindowOps, CeilModeAndAdaptive) {
  SourceGraph s;
  const ValueId x = s.input({1, 2, 6, 5});
  s.output(s.op("aten.max_pool2d.default", {x}, {1, 2, 3, 2},
                {{"kernel_size", Ints{3, 3}}, {"stride", Ints{2, 2}}, {"ceil_mode", true}}));
  s.output(s.op("aten.avg_pool2d.default", {x}, {1, 2, 3, 3},
                {{"kernel_size", Ints{2}}, {"stride", Ints{}}, {"ceil_mode", true}}));
  s.output(s.op("aten.adaptive_avg_pool2d.default", {x}, {1, 2, 3, 5}, {{"output_size", Ints{3, 5}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 3u);
  const auto& d = r.bindings.inputs[0].data;
  EXPECT_EQ(r.outputs[0].data[4],
            *std::max_element(d.begin() + 20, d.begin() + 23) > *std::max_element(d.begin() + 25, d.begin() + 28)
                ? *std::max_element(d.begin() + 20, d.begin() + 23)
                : *std::max_element(d.begin() + 25, d.begin() + 28));
  EXPECT_NEAR(r.outputs[1].data[2], (d[4] + d[9]) / 2, 1e-12);  // a column over the end does not count
  EXPECT_NEAR(r.outputs[2].data[1], (d[1] + d[6]) / 2, 1e-12);
}

TEST(WindowOps, UnequalWindowsAndOneImage) {
  SourceGraph s;
  const ValueId x = s.input({2, 6, 5}), row = s.input({3, 7});
  s.output(s.op("aten.adaptive_avg_pool2d.default", {x}, {2, 4, 3}, {{"output_size", Ints{4, 3}}}));
  s.output(s.op("aten.max_pool2d.default", {x}, {2, 3, 2}, {{"kernel_size", Ints{2}}}));
  s.output(s.op("aten.adaptive_avg_pool1d.default", {row}, {3, 2}, {{"output_size", Ints{2}}}));
  s.output(s.op("aten.adaptive_max_pool2d.default", {x}, {2, 4, 3}, {{"output_size", Ints{4, 3}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 4u);
  const auto &d = r.bindings.inputs[0].data, &e = r.bindings.inputs[1].data;
  // Row 1 of 4 covers rows 1 and 2 of 6, column 2 of 3 columns 3 and 4 of 5.
  EXPECT_NEAR(r.outputs[0].data[5], (d[8] + d[9] + d[13] + d[14]) / 4, 1e-6);
  // Column 1 covers columns 1 to 3.
  EXPECT_NEAR(r.outputs[0].data[12 + 1], (d[31] + d[32] + d[33] + d[36] + d[37] + d[38]) / 6, 1e-6);
  EXPECT_EQ(r.outputs[1].data[0], std::max({d[0], d[1], d[5], d[6]}));
  EXPECT_NEAR(r.outputs[2].data[3], (e[10] + e[11] + e[12] + e[13]) / 4, 1e-6);
  EXPECT_EQ(r.outputs[3].data[5], std::max({d[8], d[9], d[13], d[14]}));
}

TEST(WindowOps, GreatestOfUnequalWindows) {
  SourceGraph most;
  most.output(most.op("aten.adaptive_max_pool2d.default", {most.input({1, 1, 5, 5})}, {1, 1, 2, 2},
                      {{"output_size", Ints{2, 2}}}));
  const Evaluation m = run(most);
  const auto& f = m.bindings.inputs[0].data;
  EXPECT_EQ(m.outputs[0].data[1], std::max({f[2], f[3], f[4], f[7], f[8], f[9], f[12], f[13], f[14]}));
}

/// What PyTorch answers where there is nothing: sums, products, means and so on, parts without elements.
TEST(EmptyOps, IdentitiesAndPartsThatAreLeftOut) {
  SourceGraph s;
  const ValueId none = s.input({0, 3}), some = s.input({2, 3});
  const ValueId flags = s.op("aten.gt.Scalar", {none}, {0, 3}, {{"other", int64_t{0}}}, DType::boolean);
  s.output(s.op("aten.sum.dim_IntList", {none}, {3}, {{"dim", Ints{0}}}));
  s.output(s.op("aten.prod.dim_int", {none}, {3}, {{"dim", int64_t{0}}}));
  s.output(s.op("aten.mean.dim", {none}, {3}, {{"dim", Ints{0}}}));
  s.output(s.op("aten.logsumexp.default", {none}, {3}, {{"dim", Ints{0}}}));
  s.output(s.op("aten.any.dim", {flags}, {3}, {{"dim", int64_t{0}}}, DType::boolean));
  s.output(s.op("aten.all.dim", {flags}, {3}, {{"dim", int64_t{0}}}, DType::boolean));
  s.output(s.op("aten.mm.default", {s.op("aten.t.default", {none}, {3, 0}), none}, {3, 3}));
  s.output(s.op("aten.scaled_dot_product_attention.default", {some, none, none}, {2, 3}));
  s.output(s.op("aten.constant_pad_nd.default", {none}, {1, 3}, {{"pad", Ints{0, 0, 0, 1}}, {"value", 5.0}}));
  s.output(s.op("aten.cat.default", {none, some, none}, {2, 3}));
  s.output(s.op("aten.cat.default", {none, none}, {0, 3}));
  s.output(s.op("aten.relu.default", {none}, {0, 3}));
  s.output(none);
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 13u);
  const double wanted[] = {0, 1, NAN, -INFINITY, 0, 1, 0, 0, 5};
  for (size_t i = 0; i < std::size(wanted); ++i)
    for (double got : r.outputs[i].data) EXPECT_TRUE(got == wanted[i] || (got != got && i == 2)) << i << ": " << got;
  EXPECT_EQ(r.outputs[9].data, r.bindings.inputs[1].data);
  for (size_t i = 10; i < 13; ++i) EXPECT_TRUE(r.outputs[i].data.empty());
}

TEST(AttentionOps, GroupedHeadsAndMasks) {
  SourceGraph s;
  const ValueId q = s.input({1, 4, 3, 8}), k = s.input({1, 2, 5, 8}), v = s.input({1, 2, 5, 6}), mask = s.input({3, 5});
  s.output(s.op("aten.scaled_dot_product_attention.default", {q, k, v, mask}, {1, 4, 3, 6},
                {{"scale", std::monostate{}}, {"enable_gqa", true}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 1u);
  const auto& in = r.bindings.inputs;
  const int64_t head = 3, row = 2;  // reads key head 1
  double sum = 0, mixed = 0;
  for (int64_t j = 0; j < 5; ++j) {
    double dot = 0;
    for (int64_t e = 0; e < 8; ++e)
      dot +=
          in[0].data[static_cast<size_t>((head * 3 + row) * 8 + e)] * in[1].data[static_cast<size_t>((5 + j) * 8 + e)];
    const double p = std::exp(dot / std::sqrt(8.0) + in[3].data[static_cast<size_t>(row * 5 + j)]);
    sum += p, mixed += p * in[2].data[static_cast<size_t>((5 + j) * 6 + 4)];
  }
  EXPECT_NEAR(r.outputs[0].data[static_cast<size_t>((head * 3 + row) * 6 + 4)], mixed / sum, 1e-6);
}

TEST(CreateOps, RampsFillsAndTriangles) {
  SourceGraph s;
  s.output(s.op("aten.arange.start_step", {}, {4}, {{"start", int64_t{3}}, {"end", int64_t{-4}}, {"step", int64_t{-2}}},
                DType::i64));
  s.output(s.op("aten.full.default", {}, {2, 3}, {{"size", Ints{2, 3}}, {"fill_value", true}}, DType::boolean));
  s.output(s.op("aten.tril.default", {s.op("aten.ones.default", {}, {3, 4}, {{"size", Ints{3, 4}}})}, {3, 4},
                {{"diagonal", int64_t{1}}}));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 3u);
  EXPECT_EQ(r.outputs[0].data, (std::vector<double>{3, 1, -1, -3}));
  EXPECT_EQ(r.outputs[1].data, std::vector<double>(6, 1));
  EXPECT_EQ(r.outputs[2].data, (std::vector<double>{1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1}));
}

TEST(AxisOps, RunningSumsOfIntegersAreExact) {
  SourceGraph s;
  const ValueId i = s.input({2, 5, 3}, DType::i64), b = s.input({7}, DType::boolean);
  const ValueId large = s.op("aten.add.Scalar", {i}, {2, 5, 3}, {{"other", int64_t{1} << 24}}, DType::i64);
  s.output(s.op("aten.cumsum.default", {large}, {2, 5, 3}, {{"dim", int64_t{-2}}}, DType::i64));
  s.output(s.op("aten.cumsum.default", {b}, {7}, {{"dim", int64_t{0}}}, DType::i64));
  const Evaluation r = run(s);
  ASSERT_EQ(r.outputs.size(), 2u);
  const auto &id = r.bindings.inputs[0].data, &bd = r.bindings.inputs[1].data;
  for (size_t n = 0; n < 30; ++n) {
    const size_t row = n / 3 % 5;
    double sum = 0;
    for (size_t back = 0; back <= row; ++back) sum += id[n - back * 3] + (1 << 24);
    EXPECT_EQ(r.outputs[0].data[n], sum);
  }
  double sum = 0;
  for (size_t n = 0; n < 7; ++n) EXPECT_EQ(r.outputs[1].data[n], sum += bd[n]);
}

/// The pixels that `op` names of a row of `in`, which holds 0, 1, 2, …; factors may be given.
std::vector<double> resized(const char* op, int64_t in, int64_t out, std::vector<double> factors) {
  SourceGraph s;
  const auto dims = static_cast<size_t>(op[std::string_view(op).find("d.vec") - 1] - '0');
  Ints from(2 + dims, 1), to = from;
  from.back() = in, to.back() = out;
  std::vector<SourceAttr> attrs;
  if (!factors.empty()) {
    factors.insert(factors.begin(), dims - 1, 1.0);
    attrs.push_back({"scale_factors", factors});
  } else {
    attrs.push_back({"output_size", Ints(to.begin() + 2, to.end())});
  }
  s.output(s.op(op, {s.input(from)}, to, std::move(attrs)));
  const Evaluation r = run(s);
  std::vector<double> places;  // inputs are random and all different
  for (double v : r.outputs.at(0).data) {
    const auto& x = r.bindings.inputs[0].data;
    places.push_back(static_cast<double>(std::find(x.begin(), x.end(), v) - x.begin()));
  }
  return places;
}

/// As PyTorch answers, with its odd case: an image of which 2.2 times as many pixels are asked for is doubled where its
/// size doubles.
TEST(ResizeOps, NearestPixels) {
  using Places = std::vector<double>;
  EXPECT_EQ(resized("aten.upsample_nearest2d.vec", 4, 6, {1.5}), (Places{0, 0, 1, 2, 2, 3}));
  EXPECT_EQ(resized("aten.upsample_nearest2d.vec", 5, 11, {2.2}), (Places{0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4}));
  EXPECT_EQ(resized("aten.upsample_nearest2d.vec", 2, 4, {2.2}), (Places{0, 0, 1, 1}));
  EXPECT_EQ(resized("aten.upsample_nearest1d.vec", 2, 4, {2.2}), (Places{0, 0, 0, 1}));
  EXPECT_EQ(resized("aten.upsample_nearest2d.vec", 4, 4, {1.2}), (Places{0, 1, 2, 3}));
  EXPECT_EQ(resized("aten.upsample_nearest1d.vec", 4, 4, {1.2}), (Places{0, 0, 1, 2}));
  EXPECT_EQ(resized("aten._upsample_nearest_exact2d.vec", 4, 4, {1.2}), (Places{0, 1, 2, 2}));
  EXPECT_EQ(resized("aten._upsample_nearest_exact2d.vec", 2, 4, {2.2}), (Places{0, 0, 1, 1}));
  EXPECT_EQ(resized("aten.upsample_nearest3d.vec", 7, 3, {}), (Places{0, 2, 4}));
  EXPECT_EQ(resized("aten._upsample_nearest_exact1d.vec", 7, 3, {}), (Places{1, 3, 5}));
}

}  // namespace
}  // namespace kiln::testing
