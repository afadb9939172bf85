// Functions of floats in PyTorch's words, emitted for every target, against what PyTorch 2.13 answered in float32.
// (Where it is wrong itself, what is right: log1p of the smallest numbers, GELU of 3e38 and infinity.)
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "ir/passes/canonical.h"
#include "jit/expr_emit.h"
#include "tests/support/elementwise.h"
#include "tests/support/source_graph.h"

namespace kiln {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Row {
  const char* op;
  testing::Attrs attrs;
  std::vector<float> expected;
};

/// NaN, infinities and zeros with their sign exactly; others to a few units of the last place, or of the least normal
/// number's, since some functions flush what is smaller. GELU also loses digits next to 1 + erf = 0.
bool agrees(const Row& row, float x, float got, float expected) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  if (expected == 0) return got == 0 && std::signbit(got) == std::signbit(expected);
  const float lost = std::strcmp(row.op, "aten.gelu.default") ? 0 : 3e-7f * std::fabs(x);
  return std::fabs(got - expected) <= 1e-6f * std::fabs(expected) + 1.2e-38f + lost;
}

/// Runs the row's operator over `inputs`.
void judge(const Row& row, const std::vector<std::vector<float>>& inputs) {
  testing::SourceGraph s;
  const auto n = static_cast<int64_t>(row.expected.size());
  std::vector<ValueId> ids;
  for (size_t i = 0; i < inputs.size(); ++i) ids.push_back(s.input({n}));
  s.output(s.op(row.op, ids, {n}, row.attrs));
  const auto graph = legalize(s.graph);
  ASSERT_TRUE(graph.ok()) << row.op << ": " << graph.error().message;
  ASSERT_EQ(graph->nodes.size(), 1u) << row.op;
  ASSERT_EQ(graph->nodes[0].inputs, ids) << row.op;
  const Expr expr = simplify(graph->nodes[0].expr);
  for (const Target& target : testing::targets()) {
    testing::Elementwise run(target, [&](Emitter& e, Vec a, Vec b) { return emit_expr(e, expr, {a, b}); });
    const std::vector<float> y = run(inputs[0], inputs.size() > 1 ? inputs[1] : std::vector<float>{});
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_TRUE(agrees(row, inputs[0][i], y[i], row.expected[i]))
          << row.op << "(" << inputs[0][i] << (inputs.size() > 1 ? ", " + std::to_string(inputs[1][i]) : "")
          << ") = " << y[i] << ", not " << row.expected[i] << " on " << to_string(target);
  }
}

// clang-format off
const float kX[] = {kNan, kInf, -kInf, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f, -9.99999997e-7f,
    0.5f, -0.5f, 1, -1, 1.5f, -1.5f, 2.5f, -2.5f, 10, -10, 100, -100, 8192, 1.7e9f, -1.7e9f, 3.00000001e38f,
    -3.00000001e38f};

const Row kUnary[] = {
    {"aten.acos.default", {}, {kNan, kNan, kNan, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f, 1.5707953f,
     1.57079732f, 1.04719758f, 2.09439516f, 0, 3.14159274f, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan}},
    {"aten.asin.default", {}, {kNan, kNan, kNan, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.52359879f, -0.52359879f, 1.57079637f, -1.57079637f, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan}},
    {"aten.atan.default", {}, {kNan, 1.57079637f, -1.57079637f, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f,
     9.99999997e-7f, -9.99999997e-7f, 0.463647604f, -0.463647604f, 0.785398185f, -0.785398185f, 0.982793689f,
     -0.982793689f, 1.19028997f, -1.19028997f, 1.47112763f, -1.47112763f, 1.56079662f, -1.56079662f, 1.5706743f,
     1.57079637f, -1.57079637f, 1.57079637f, -1.57079637f}},
    {"aten.ceil.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 1, -0.0f, 1, -0.0f, 1, -0.0f, 1, -1, 2, -1, 3, -2, 10,
     -10, 100, -100, 8192, 1.7e9f, -1.7e9f, 3.00000001e38f, -3.00000001e38f}},
    {"aten.celu.default", {{"alpha", 0.7}}, {kNan, kInf, -0.699999988f, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f,
     9.99999997e-7f, -9.99999202e-7f, 0.5f, -0.357320845f, 1, -0.532244265f, 1.5f, -0.617876589f, 2.5f,
     -0.680319071f, 10, -0.699999571f, 100, -0.699999988f, 8192, 1.7e9f, -0.699999988f, 3.00000001e38f,
     -0.699999988f}},
    {"aten.clamp.default", {{"min", -2.0}, {"max", 2.0}}, {kNan, 2, -2, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f,
     9.99999997e-7f, -9.99999997e-7f, 0.5f, -0.5f, 1, -1, 1.5f, -1.5f, 2, -2, 2, -2, 2, -2, 2, 2, -2, 2, -2}},
    {"aten.cos.default", {}, {kNan, kNan, kNan, 1, 1, 1, 1, 1, 1, 0.87758255f, 0.87758255f, 0.540302336f,
     0.540302336f, 0.070737198f, 0.070737198f, -0.801143587f, -0.801143587f, -0.839071512f, -0.839071512f,
     0.862318873f, 0.862318873f, 0.292801827f, -0.039084468f, -0.039084468f, -0.484294772f, -0.484294772f}},
    {"aten.cosh.default", {}, {kNan, kInf, kInf, 1, 1, 1, 1, 1, 1, 1.12762594f, 1.12762594f, 1.54308057f,
     1.54308057f, 2.3524096f, 2.3524096f, 6.13228941f, 6.13228941f, 11013.2324f, 11013.2324f, kInf, kInf, kInf,
     kInf, kInf, kInf, kInf}},
    {"aten.elu.default", {}, {kNan, kInf, -1, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999543e-7f, 0.5f, -0.393469334f, 1, -0.63212055f, 1.5f, -0.776869833f, 2.5f, -0.917914987f, 10,
     -0.999954581f, 100, -1, 8192, 1.7e9f, -1, 3.00000001e38f, -1}},
    {"aten.erf.default", {}, {kNan, 1, -1, 0, -0.0f, 1.12944656e-42f, -1.12944656e-42f, 1.12837915e-6f,
     -1.12837915e-6f, 0.520499885f, -0.520499885f, 0.842700779f, -0.842700779f, 0.966105163f, -0.966105163f,
     0.999593019f, -0.999593019f, 1, -1, 1, -1, 1, 1, -1, 1, -1}},
    {"aten.exp.default", {}, {kNan, kInf, 0, 1, 1, 1, 1, 1.00000095f, 0.999998987f, 1.64872122f, 0.606530666f,
     2.71828175f, 0.36787945f, 4.48168898f, 0.223130167f, 12.1824942f, 0.0820849985f, 22026.4648f, 4.5399931e-5f,
     kInf, 3.78350585e-44f, kInf, kInf, 0, kInf, 0}},
    {"aten.exp2.default", {}, {kNan, kInf, 0, 1, 1, 1, 1, 1.00000072f, 0.999999285f, 1.41421354f, 0.707106769f, 2,
     0.5f, 2.82842708f, 0.353553385f, 5.65685415f, 0.176776692f, 1024, 0.0009765625f, 1.2676506e30f,
     7.88860905e-31f, kInf, kInf, 0, kInf, 0}},
    {"aten.expm1.default", {}, {kNan, kInf, -1, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 1.00000045e-6f,
     -9.99999543e-7f, 0.648721278f, -0.393469334f, 1.71828187f, -0.63212055f, 3.48168898f, -0.776869833f,
     11.1824942f, -0.917914987f, 22025.4648f, -0.999954581f, kInf, -1, kInf, kInf, -1, kInf, -1}},
    {"aten.floor.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 0, -1, 0, -1, 0, -1, 1, -1, 1, -2, 2, -3, 10, -10, 100,
     -100, 8192, 1.7e9f, -1.7e9f, 3.00000001e38f, -3.00000001e38f}},
    {"aten.frac.default", {}, {kNan, kNan, kNan, 0, 0, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.5f, -0.5f, 0, 0, 0.5f, -0.5f, 0.5f, -0.5f, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"aten.gelu.default", {}, {kNan, kInf, kNan, 0, -0.0f, 5.00263552e-43f, -5.00263552e-43f, 5.00000397e-7f,
     -4.99999601e-7f, 0.345731229f, -0.154268771f, 0.841344714f, -0.158655256f, 1.39978909f, -0.10021086f,
     2.48447585f, -0.0155241787f, 10, -0.0f, 100, -0.0f, 8192, 1.7e9f, -0.0f, 3.00000001e38f, -0.0f}},
    {"aten.gelu.default", {{"approximate", std::string("tanh")}}, {kNan, kInf, kNan, 0, -0.0f, 5.00263552e-43f,
     -5.00263552e-43f, 5.00000397e-7f, -4.99999601e-7f, 0.345714003f, -0.154285997f, 0.841192007f, -0.158807993f,
     1.39957154f, -0.100428432f, 2.48491573f, -0.0150842965f, 10, -0.0f, 100, -0.0f, 8192, 1.7e9f, -0.0f,
     3.00000001e38f, -0.0f}},
    {"aten.hardsigmoid.default", {}, {kNan, 1, 0, 0.5f, 0.5f, 0.5f, 0.5f, 0.500000179f, 0.499999851f, 0.583333313f,
     0.416666657f, 0.666666687f, 0.333333343f, 0.75f, 0.25f, 0.916666687f, 0.0833333358f, 1, 0, 1, 0, 1, 1, 0, 1,
     0}},
    {"aten.hardswish.default", {}, {kNan, kInf, kNan, 0, -0.0f, 5.00263552e-43f, -5.00263552e-43f, 5.00000169e-7f,
     -4.99999828e-7f, 0.291666657f, -0.208333328f, 0.666666687f, -0.333333343f, 1.125f, -0.375f, 2.29166675f,
     -0.208333328f, 10, -0.0f, 100, -0.0f, 8192, 1.70000013e9f, -0.0f, kInf, -0.0f}},
    {"aten.leaky_relu.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 1.0005271e-42f, -9.80908925e-45f, 9.99999997e-7f,
     -9.99999994e-9f, 0.5f, -0.00499999989f, 1, -0.00999999978f, 1.5f, -0.0149999997f, 2.5f, -0.0249999985f, 10,
     -0.099999994f, 100, -1, 8192, 1.7e9f, -17000000.0f, 3.00000001e38f, -3.00000004e36f}},
    {"aten.log.default", {}, {kNan, kInf, kNan, -kInf, -kInf, -96.708046f, kNan, -13.8155107f, kNan, -0.693147182f,
     kNan, 0, kNan, 0.405465126f, kNan, 0.91629076f, kNan, 2.30258512f, kNan, 4.60517025f, kNan, 9.0109129f,
     21.2538948f, kNan, 88.5968475f, kNan}},
    {"aten.log10.default", {}, {kNan, kInf, kNan, -kInf, -kInf, -41.9997711f, kNan, -6, kNan, -0.30103001f, kNan, 0,
     kNan, 0.176091254f, kNan, 0.39794001f, kNan, 1, kNan, 2, kNan, 3.91338992f, 9.23044872f, kNan, 38.4771194f,
     kNan}},
    {"aten.log1p.default", {}, {kNan, kInf, kNan, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999543e-7f,
     -1.00000045e-6f, 0.405465096f, -0.693147182f, 0.693147182f, -kInf, 0.91629076f, kNan, 1.25276291f, kNan,
     2.39789534f, kNan, 4.61512041f, kNan, 9.01103497f, 21.2538948f, kNan, 88.5968475f, kNan}},
    {"aten.log2.default", {}, {kNan, kInf, kNan, -kInf, -kInf, -139.520218f, kNan, -19.9315681f, kNan, -1, kNan, 0,
     kNan, 0.584962487f, kNan, 1.32192814f, kNan, 3.32192802f, kNan, 6.64385605f, kNan, 13, 30.6628876f, kNan,
     127.81823f, kNan}},
    {"aten.log_sigmoid.default", {}, {kNan, 0, -kInf, -0.693147182f, -0.693147182f, -0.693147182f, -0.693147182f,
     -0.693146646f, -0.693147659f, -0.474076986f, -0.974076986f, -0.313261688f, -1.31326175f, -0.201413289f,
     -1.70141327f, -0.078889735f, -2.57888985f, -4.53989014e-5f, -10.0000458f, -3.9236357e-44f, -100, 0, 0, -1.7e9f,
     0, -3.00000001e38f}},
    {"aten.mish.default", {}, {kNan, kInf, kNan, 0, -0.0f, 5.99755743e-43f, -5.99755743e-43f, 6.00000305e-7f,
     -5.9999968e-7f, 0.375245243f, -0.22074376f, 0.865098357f, -0.30340144f, 1.40337825f, -0.298099756f,
     2.47139239f, -0.196816191f, 10, -0.000453989021f, 100, -3.78350585e-42f, 8192, 1.7e9f, -0.0f, 3.00000001e38f,
     -0.0f}},
    {"aten.neg.default", {}, {kNan, -kInf, kInf, -0.0f, 0, -1.0005271e-42f, 1.0005271e-42f, -9.99999997e-7f,
     9.99999997e-7f, -0.5f, 0.5f, -1, 1, -1.5f, 1.5f, -2.5f, 2.5f, -10, 10, -100, 100, -8192, -1.7e9f, 1.7e9f,
     -3.00000001e38f, 3.00000001e38f}},
    {"aten.reciprocal.default", {}, {kNan, 0, -0.0f, kInf, -kInf, kInf, -kInf, 1000000.0f, -1000000.0f, 2, -2, 1,
     -1, 0.666666687f, -0.666666687f, 0.400000006f, -0.400000006f, 0.100000001f, -0.100000001f, 0.00999999978f,
     -0.00999999978f, 0.000122070312f, 5.88235294e-10f, -5.88235294e-10f, 3.33333312e-39f, -3.33333312e-39f}},
    {"aten.relu.default", {}, {kNan, kInf, 0, 0, -0.0f, 1.0005271e-42f, 0, 9.99999997e-7f, 0, 0.5f, 0, 1, 0, 1.5f,
     0, 2.5f, 0, 10, 0, 100, 0, 8192, 1.7e9f, 0, 3.00000001e38f, 0}},
    {"aten.round.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f, 1, -1, 2, -2, 2, -2, 10,
     -10, 100, -100, 8192, 1.7e9f, -1.7e9f, 3.00000001e38f, -3.00000001e38f}},
    {"aten.rsqrt.default", {}, {kNan, 0, kNan, kInf, -kInf, 9.99736559e20f, kNan, 999.999939f, kNan, 1.41421354f,
     kNan, 1, kNan, 0.816496551f, kNan, 0.632455528f, kNan, 0.316227764f, kNan, 0.100000001f, kNan, 0.0110485433f,
     2.42535643e-5f, kNan, 5.77350289e-20f, kNan}},
    {"aten.selu.default", {}, {kNan, kInf, -1.75809932f, 0, -0.0f, 1.05097385e-42f, -1.75862957e-42f,
     1.05070103e-6f, -1.75809851e-6f, 0.525350511f, -0.691758156f, 1.05070102f, -1.11133075f, 1.57605147f,
     -1.36581433f, 2.62675261f, -1.61378574f, 10.5070105f, -1.75801945f, 105.070099f, -1.75809932f, 8607.34277f,
     1.78619174e9f, -1.75809932f, 3.15210307e38f, -1.75809932f}},
    {"aten.sigmoid.default", {}, {kNan, 1, 0, 0.5f, 0.5f, 0.5f, 0.5f, 0.500000238f, 0.499999762f, 0.622459352f,
     0.377540678f, 0.731058598f, 0.268941432f, 0.817574441f, 0.182425529f, 0.924141824f, 0.0758581758f,
     0.999954581f, 4.53978719e-5f, 1, 0, 1, 1, 0, 1, 0}},
    {"aten.sign.default", {}, {0, 1, -1, 0, 0, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, 1, -1, 1,
     -1}},
    {"aten.silu.default", {}, {kNan, kInf, kNan, 0, -0.0f, 5.00263552e-43f, -5.00263552e-43f, 5.00000226e-7f,
     -4.99999771e-7f, 0.311229676f, -0.188770339f, 0.731058598f, -0.268941432f, 1.22636163f, -0.273638278f,
     2.31035447f, -0.189645454f, 9.99954605f, -0.000453978719f, 100, -0.0f, 8192, 1.7e9f, -0.0f, 3.00000001e38f,
     -0.0f}},
    {"aten.sin.default", {}, {kNan, kNan, kNan, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.47942555f, -0.47942555f, 0.841470957f, -0.841470957f, 0.997494996f, -0.997494996f,
     0.598472118f, -0.598472118f, -0.54402113f, 0.54402113f, -0.506365657f, 0.506365657f, -0.956173182f,
     0.999235928f, -0.999235928f, 0.874904871f, -0.874904871f}},
    {"aten.sinh.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.521095276f, -0.521095276f, 1.17520118f, -1.17520118f, 2.12927938f, -2.12927938f,
     6.05020475f, -6.05020475f, 11013.2324f, -11013.2324f, kInf, -kInf, kInf, kInf, -kInf, kInf, -kInf}},
    {"aten.softplus.default", {}, {kNan, kInf, 0, 0.693147182f, 0.693147182f, 0.693147182f, 0.693147182f,
     0.693147659f, 0.693146646f, 0.974076986f, 0.474076986f, 1.31326163f, 0.313261688f, 1.70141327f, 0.201413289f,
     2.57888985f, 0.078889735f, 10.0000458f, 4.53989014e-5f, 100, 3.78350585e-44f, 8192, 1.7e9f, 0, 3.00000001e38f,
     0}},
    {"aten.softsign.default", {}, {kNan, kNan, kNan, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999088e-7f,
     -9.99999088e-7f, 0.333333343f, -0.333333343f, 0.5f, -0.5f, 0.600000024f, -0.600000024f, 0.714285731f,
     -0.714285731f, 0.909090936f, -0.909090936f, 0.990099013f, -0.990099013f, 0.99987793f, 1, -1, 1, -1}},
    {"aten.sqrt.default", {}, {kNan, kInf, kNan, 0, -0.0f, 1.00026351e-21f, kNan, 0.00100000005f, kNan,
     0.707106769f, kNan, 1, kNan, 1.22474492f, kNan, 1.58113885f, kNan, 3.1622777f, kNan, 10, kNan, 90.5096664f,
     41231.0547f, kNan, 1.73205088e19f, kNan}},
    {"aten.tan.default", {}, {kNan, kNan, kNan, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.546302497f, -0.546302497f, 1.55740774f, -1.55740774f, 14.1014194f, -14.1014194f,
     -0.747022331f, 0.747022331f, 0.648360848f, -0.648360848f, -0.587213933f, 0.587213933f, -3.2655983f,
     -25.5660629f, 25.5660629f, -1.80655444f, 1.80655444f}},
    {"aten.tanh.default", {}, {kNan, 1, -1, 0, -0.0f, 1.0005271e-42f, -1.0005271e-42f, 9.99999997e-7f,
     -9.99999997e-7f, 0.462117165f, -0.462117165f, 0.761594176f, -0.761594176f, 0.905148268f, -0.905148268f,
     0.986614287f, -0.986614287f, 1, -1, 1, -1, 1, 1, -1, 1, -1}},
    {"aten.threshold.default", {{"threshold", 0.5}, {"value", 7.0}}, {kNan, kInf, 7, 7, 7, 7, 7, 7, 7, 7, 7, 1, 7,
     1.5f, 7, 2.5f, 7, 10, 7, 100, 7, 8192, 1.7e9f, 7, 3.00000001e38f, 7}},
    {"aten.trunc.default", {}, {kNan, kInf, -kInf, 0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f, 1, -1, 1, -1, 2, -2, 10,
     -10, 100, -100, 8192, 1.7e9f, -1.7e9f, 3.00000001e38f, -3.00000001e38f}},
};
// clang-format on

TEST(Pointwise, OfOneFloatAsPyTorch) {
  for (const Row& row : kUnary) judge(row, {{std::begin(kX), std::end(kX)}});
}

// clang-format off
const float kLeft[] = {kNan, kInf, -kInf, 0, -0.0f, 1, -1, 0.5f, -7.5f, 1e10f, 16777215.0f};
const float kRight[] = {kNan, kInf, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f, 1,
    -1, 2, -2, 3, 1e10f, -1e10f};

/// Each of kLeft with each of kRight.
const Row kBinary[] = {
    {"aten.pow.Tensor_Tensor", {}, {kNan, kNan, kNan, 1, 1, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kInf, 0, 1, 1, kInf, 0, kInf, kInf, 0, kInf, 0, kInf, 0, kInf, kInf, 0, kNan, kInf, 0,
     1, 1, kInf, 0, kInf, kInf, 0, -kInf, -0.0f, kInf, 0, -kInf, kInf, 0, kNan, 0, kInf, 1, 1, 0, kInf, 0, 0, kInf,
     0, kInf, 0, kInf, 0, 0, kInf, kNan, 0, kInf, 1, 1, 0, kInf, 0, 0, kInf, -0.0f, -kInf, 0, kInf, -0.0f, 0, kInf,
     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, kNan, 1, 1, 1, 1, kNan, kNan, kNan, kNan, kNan, -1, -1, 1,
     1, -1, 1, 1, kNan, 0, kInf, 1, 1, 1, 1.07177341f, 0.93303299f, 0.707106769f, 1.41421354f, 0.5f, 2, 0.25f, 4,
     0.125f, 0, kInf, kNan, kInf, 0, 1, 1, kNan, kNan, kNan, kNan, kNan, -7.5f, -0.13333334f, 56.25f, 0.0177777782f,
     -421.875f, kInf, 0, kNan, kInf, 0, 1, 1, 1, 0.099999994f, 10, 100000, 9.99999975e-6f, 1e10f, 1.00000001e-10f,
     1.00000002e20f, 9.99999968e-21f, 1.00000002e30f, kInf, 0, kNan, kInf, 0, 1, 1, 1, 0.189464569f, 5.27803183f,
     4095.99976f, 0.000244140625f, 16777215.0f, 5.96046519e-8f, 2.81474943e14f, 3.5527141e-15f, 4.72236564e21f,
     kInf, 0}},
    {"aten.atan2.default", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, 0.785398185f, 2.3561945f, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f,
     1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f, 1.57079637f,
     1.57079637f, 1.57079637f, kNan, -0.785398185f, -2.3561945f, -1.57079637f, -1.57079637f, -1.57079637f,
     -1.57079637f, -1.57079637f, -1.57079637f, -1.57079637f, -1.57079637f, -1.57079637f, -1.57079637f, -1.57079637f,
     -1.57079637f, -1.57079637f, -1.57079637f, kNan, 0, 3.14159274f, 0, 3.14159274f, 0, 3.14159274f, 0, 0,
     3.14159274f, 0, 3.14159274f, 0, 3.14159274f, 0, 0, 3.14159274f, kNan, -0.0f, -3.14159274f, -0.0f, -3.14159274f,
     -0.0f, -3.14159274f, -0.0f, -0.0f, -3.14159274f, -0.0f, -3.14159274f, -0.0f, -3.14159274f, -0.0f, -0.0f,
     -3.14159274f, kNan, 0, 3.14159274f, 1.57079637f, 1.57079637f, 1.57079637f, 1.67046499f, 1.47112763f,
     1.10714877f, 2.03444386f, 0.785398126f, 2.3561945f, 0.463647604f, 2.67794514f, 0.321750551f, 1.00000001e-10f,
     3.14159274f, kNan, -0.0f, -3.14159274f, -1.57079637f, -1.57079637f, -1.57079637f, -1.67046499f, -1.47112763f,
     -1.10714877f, -2.03444386f, -0.785398126f, -2.3561945f, -0.463647604f, -2.67794514f, -0.321750551f,
     -1.00000001e-10f, -3.14159274f, kNan, 0, 3.14159274f, 1.57079637f, 1.57079637f, 1.57079637f, 1.76819193f,
     1.37340081f, 0.785398126f, 2.3561945f, 0.463647604f, 2.67794514f, 0.244978666f, 2.89661407f, 0.165148675f,
     5.00000007e-11f, 3.14159274f, kNan, -0.0f, -3.14159274f, -1.57079637f, -1.57079637f, -1.57079637f,
     -1.58412886f, -1.55746377f, -1.50422812f, -1.63736451f, -1.43824482f, -1.7033478f, -1.3101939f, -1.83139873f,
     -1.19028997f, -7.50000007e-10f, -3.14159274f, kNan, 0, 3.14159274f, 1.57079637f, 1.57079637f, 1.57079637f,
     1.57079637f, 1.57079637f, 1.57079637f, 1.57079625f, 1.57079637f, 1.57079625f, 1.57079637f, 1.57079625f,
     1.57079637f, 0.785398185f, 2.3561945f, kNan, 0, 3.14159274f, 1.57079637f, 1.57079637f, 1.57079637f,
     1.57079625f, 1.57079637f, 1.57079625f, 1.57079637f, 1.57079625f, 1.57079637f, 1.57079625f, 1.57079637f,
     1.57079613f, 0.00167771988f, 3.13991499f}},
    {"aten.fmod.Tensor", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, 0, 0, kNan, kNan, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kNan, -0.0f, -0.0f, kNan, kNan, -0.0f, -0.0f,
     -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, kNan, 1, 1, kNan, kNan, 3.02941975e-22f,
     0.0999999866f, 0.0999999866f, 0, 0, 0, 0, 1, 1, 1, 1, 1, kNan, -1, -1, kNan, kNan, -3.02941975e-22f,
     -0.0999999866f, -0.0999999866f, -0.0f, -0.0f, -0.0f, -0.0f, -1, -1, -1, -1, -1, kNan, 0.5f, 0.5f, kNan, kNan,
     1.51470987e-22f, 0.099999994f, 0.099999994f, 0, 0, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, kNan, -7.5f,
     -7.5f, kNan, kNan, -2.27206481e-21f, -0.0999998897f, -0.0999998897f, -0.0f, -0.0f, -0.5f, -0.5f, -1.5f, -1.5f,
     -1.5f, -7.5f, -7.5f, kNan, 1e10f, 1e10f, kNan, kNan, 2.64180808e-21f, 0.0883902833f, 0.0883902833f, 0, 0, 0, 0,
     0, 0, 1, 0, 0, kNan, 16777215.0f, 16777215.0f, kNan, kNan, 2.80252669e-21f, 0.0500000194f, 0.0500000194f, 0, 0,
     0, 0, 1, 1, 0, 16777215.0f, 16777215.0f}},
    {"aten.remainder.Tensor", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, 0, 0, kNan, kNan, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kNan, -0.0f, -0.0f, kNan, kNan, -0.0f,
     -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, -0.0f, kNan, 1, -kInf, kNan, kNan,
     3.02941975e-22f, -1.49011612e-8f, 0.0999999866f, 0, 0, 0, 0, 1, -1, 1, 1, -1e10f, kNan, kInf, -1, kNan, kNan,
     9.69705771e-21f, -0.0999999866f, 1.49011612e-8f, -0.0f, -0.0f, -0.0f, -0.0f, 1, -1, 2, 1e10f, -1, kNan, 0.5f,
     -kInf, kNan, kNan, 1.51470987e-22f, -7.4505806e-9f, 0.099999994f, 0, 0, 0.5f, -0.5f, 0.5f, -1.5f, 0.5f, 0.5f,
     -1e10f, kNan, kInf, -7.5f, kNan, kNan, 7.72793487e-21f, -0.0999998897f, 1.11758709e-7f, -0.0f, -0.0f, 0.5f,
     -0.5f, 0.5f, -1.5f, 1.5f, 1e10f, -7.5f, kNan, 1e10f, -kInf, kNan, kNan, 2.64180808e-21f, -0.0116097182f,
     0.0883902833f, 0, 0, 0, 0, 0, 0, 1, 0, 0, kNan, 16777215.0f, -kInf, kNan, kNan, 2.80252669e-21f,
     -0.0499999821f, 0.0500000194f, 0, 0, 0, 0, 1, -1, 0, 16777215.0f, -9.98322278e9f}},
    {"aten.floor_divide.default", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, kNan, kInf, -kInf, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kNan, -kInf, kInf, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, 0, -0.0f, kNan, kNan, 0, -0.0f, 0, 0, -0.0f, 0, -0.0f, 0, -0.0f, 0, 0, -0.0f, kNan, -0.0f, 0,
     kNan, kNan, -0.0f, 0, -0.0f, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f, -0.0f, 0, kNan, 0, -1, kInf, -kInf,
     1.00000002e20f, -10, 9, 2, -2, 1, -1, 0, -1, 0, 0, -1, kNan, -1, 0, -kInf, kInf, -1.00000002e20f, 9, -10, -2,
     2, -1, 1, -1, 0, -1, -1, 0, kNan, 0, -1, kInf, -kInf, 5.0000001e19f, -5, 4, 1, -1, 0, -1, 0, -1, 0, 0, -1,
     kNan, -1, 0, -kInf, kInf, -7.49999997e20f, 74, -75, -15, 15, -8, 7, -4, 3, -3, -1, 0, kNan, 0, -1, kInf, -kInf,
     1.00000002e30f, -9.9999998e10f, 9.9999998e10f, 2e10f, -2e10f, 1e10f, -1e10f, 5e9f, -5e9f, 3.33333325e9f, 1, -1,
     kNan, 0, -1, kInf, -kInf, 1.67772149e27f, -167772144.0f, 167772144.0f, 33554430.0f, -33554430.0f, 16777215.0f,
     -16777215.0f, 8388607.0f, -8388608.0f, 5592405.0f, 0, -1}},
    {"aten.maximum.default", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf, kInf,
     kInf, kInf, kInf, kNan, kInf, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f, 1,
     -1, 2, -2, 3, 1e10f, -1e10f, kNan, kInf, 0, 0, -0.0f, 9.99999968e-21f, 0, 0.100000001f, 0.5f, 0, 1, 0, 2, 0, 3,
     1e10f, 0, kNan, kInf, -0.0f, 0, -0.0f, 9.99999968e-21f, -0.0f, 0.100000001f, 0.5f, -0.0f, 1, -0.0f, 2, -0.0f,
     3, 1e10f, -0.0f, kNan, kInf, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 3, 1e10f, 1, kNan, kInf, -1, 0, -0.0f,
     9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f, 1, -1, 2, -1, 3, 1e10f, -1, kNan, kInf, 0.5f, 0.5f,
     0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 1, 0.5f, 2, 0.5f, 3, 1e10f, 0.5f, kNan, kInf, -7.5f, 0, -0.0f,
     9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f, 1, -1, 2, -2, 3, 1e10f, -7.5f, kNan, kInf, 1e10f,
     1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, 1e10f, kNan, kInf,
     16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f,
     16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 16777215.0f, 1e10f, 16777215.0f}},
    {"aten.minimum.default", {}, {kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan, kNan,
     kNan, kNan, kNan, kNan, kNan, kInf, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f,
     1, -1, 2, -2, 3, 1e10f, -1e10f, kNan, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf,
     -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, kNan, 0, -kInf, 0, -0.0f, 0, -0.100000001f, 0, 0, -0.5f, 0, -1, 0,
     -2, 0, 0, -1e10f, kNan, -0.0f, -kInf, 0, -0.0f, -0.0f, -0.100000001f, -0.0f, -0.0f, -0.5f, -0.0f, -1, -0.0f,
     -2, -0.0f, -0.0f, -1e10f, kNan, 1, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f,
     1, -1, 1, -2, 1, 1, -1e10f, kNan, -1, -kInf, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -2, -1, -1, -1e10f, kNan,
     0.5f, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f, 0.5f, -1, 0.5f, -2, 0.5f,
     0.5f, -1e10f, kNan, -7.5f, -kInf, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f, -7.5f,
     -7.5f, -7.5f, -1e10f, kNan, 1e10f, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f, 0.100000001f, 0.5f, -0.5f,
     1, -1, 2, -2, 3, 1e10f, -1e10f, kNan, 16777215.0f, -kInf, 0, -0.0f, 9.99999968e-21f, -0.100000001f,
     0.100000001f, 0.5f, -0.5f, 1, -1, 2, -2, 3, 16777215.0f, -1e10f}},
};
// clang-format on

TEST(Pointwise, OfTwoFloatsAsPyTorch) {
  std::vector<float> a, b;
  for (const float left : kLeft)
    for (const float right : kRight) a.push_back(left), b.push_back(right);
  for (const Row& row : kBinary) judge(row, {a, b});
}

}  // namespace
}  // namespace kiln
