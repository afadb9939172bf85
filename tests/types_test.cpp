// Every type of elements: its loads and stores on every backend, its constants, and 16-bit floats.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ir/builder.h"
#include "ir/optimize.h"
#include "ir/passes/passes.h"
#include "support/half.h"
#include "tests/support/machine.h"
#include "tests/support/source_graph.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

/// out = cast(in) of n elements that lie `from` and `to` apart.
template <class Out, class In>
std::vector<Out> cast(const Target& target, DType out_type, DType in_type, const std::vector<In>& in, int64_t from = 1,
                      int64_t to = 1) {
  const auto n = static_cast<int64_t>(in.size());
  MapSpec s;
  s.dims = {n};
  s.out = {out_type, {to}};
  s.inputs = {{in_type, {from}}};
  Fx f;
  s.expr = f.finish(f.to(f.in(0, lane_of(in_type)), lane_of(out_type)));
  Guarded<In> x(from == 0 ? 1 : n * from);
  Guarded<Out> y(n * to);
  for (int64_t i = 0; i < n; ++i) x[i * from] = in[from == 0 ? 0 : static_cast<size_t>(i)];
  Kernel kernel(target, s);
  kernel.allow(x.data(), x.bytes());
  kernel.allow(y.data(), y.bytes());
  const Status status = kernel.run({y.data(), x.data()}, 2);
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_TRUE(y.intact());
  std::vector<Out> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(y[i * to]);
  return out;
}

/// Widened to T's lane and cut again, whatever lies between the elements, for all numbers of vectors and lanes.
template <class T>
void check_moves(DType type, DType wide) {
  for (const Target& target : targets())
    for (int64_t n = 1; n < 40; ++n)
      for (const auto& [from, to] : {std::pair<int64_t, int64_t>{1, 1}, {3, 1}, {1, 2}, {0, 1}}) {
        std::vector<T> in;
        for (int64_t i = 0; i < n; ++i) in.push_back(static_cast<T>(i * 0x9e3779b97f4a7c15 >> (64 - 8 * sizeof(T))));
        const auto widened = cast<int64_t>(target, wide, type, in, from, to);
        for (size_t i = 0; i < in.size(); ++i)
          ASSERT_EQ(widened[i], static_cast<int64_t>(in[from ? i : 0])) << name_of(type) << " on " << to_string(target);
        if (from == 0) continue;
        ASSERT_EQ(cast<T>(target, type, wide, widened, from, to), in) << name_of(type) << " on " << to_string(target);
      }
}

TEST(Types, AreWidenedAndCut) {
  check_moves<int8_t>(DType::i8, DType::i64);
  check_moves<uint8_t>(DType::u8, DType::i64);
  check_moves<int16_t>(DType::i16, DType::i64);
  check_moves<uint16_t>(DType::u16, DType::i64);
  check_moves<int32_t>(DType::i32, DType::i64);
  check_moves<uint32_t>(DType::u32, DType::i64);
  check_moves<int64_t>(DType::i64, DType::u64);
  check_moves<uint64_t>(DType::u64, DType::i64);
}

/// What PyTorch makes of them: torch.tensor(x).to(torch.float16) and .to(torch.bfloat16), as bits.
struct Rounded {
  float x;
  uint16_t f16, bf16;
};
const Rounded kRounded[] = {
    {0.0f, 0x0000, 0x0000},           {-0.0f, 0x8000, 0x8000},
    {1.0f, 0x3c00, 0x3f80},           {-2.5f, 0xc100, 0xc020},
    {0.1f, 0x2e66, 0x3dcd},           {3.14159274f, 0x4248, 0x4049},
    {65504.0f, 0x7bff, 0x4780},       {65519.996f, 0x7bff, 0x4780},
    {65520.0f, 0x7c00, 0x4780},       {1e10f, 0x7c00, 0x5015},
    {3.4028235e38f, 0x7c00, 0x7f80},  {1.00048828125f, 0x3c00, 0x3f80},
    {1.00146484375f, 0x3c02, 0x3f80}, {1.00390625f, 0x3c04, 0x3f80},
    {1.01171875f, 0x3c0c, 0x3f82},    {6.1035156e-05f, 0x0400, 0x3880},
    {6.097555e-05f, 0x03ff, 0x3880},  {5.9604645e-08f, 0x0001, 0x3380},
    {2.9802322e-08f, 0x0000, 0x3300}, {2.98023259e-08f, 0x0001, 0x3300},
    {8.9406967e-08f, 0x0002, 0x33c0}, {1e-40f, 0x0000, 0x0001},
    {-1e-8f, 0x8000, 0xb22c},         {INFINITY, 0x7c00, 0x7f80},
    {-INFINITY, 0xfc00, 0xff80},
};

TEST(Types, FloatsAreRoundedToHalves) {
  std::vector<float> x;
  for (const Rounded& r : kRounded) {
    EXPECT_EQ(float_to_half(r.x, DType::f16), r.f16) << r.x;
    EXPECT_EQ(float_to_half(r.x, DType::bf16), r.bf16) << r.x;
    x.push_back(r.x);
  }
  Random random(1);  // of all magnitudes, and halves between two
  for (int i = 0; i < 4000; ++i) {
    const auto bits = static_cast<uint32_t>(random()) & (i % 2 ? ~0u : 0xfffff000u);
    float v;
    std::memcpy(&v, &bits, 4);
    x.push_back(v);
  }
  for (const Target& target : targets())
    for (const DType type : {DType::f16, DType::bf16})
      for (const int64_t to : {1, 2}) {
        const auto halves = cast<uint16_t>(target, type, DType::f32, x, 1, to);
        for (size_t i = 0; i < x.size(); ++i)
          ASSERT_EQ(halves[i], float_to_half(x[i], type)) << x[i] << " on " << to_string(target);
      }
}

TEST(Types, HalvesAreExactFloats) {
  std::vector<uint16_t> all;
  for (int i = 0; i < 65536; ++i) all.push_back(static_cast<uint16_t>(i));
  for (const Target& target : targets())
    for (const DType type : {DType::f16, DType::bf16}) {
      const auto floats = cast<float>(target, DType::f32, type, all);
      const int fraction = type == DType::f16 ? 10 : 7, bias = type == DType::f16 ? 15 : 127;
      for (size_t i = 0; i < all.size(); ++i) {
        const int exponent = (all[i] & 0x7fff) >> fraction, digits = all[i] & ((1 << fraction) - 1);
        const double sign = all[i] & 0x8000 ? -1 : 1;
        const double value = exponent ? std::ldexp((1 << fraction) + digits, exponent - bias - fraction)
                                      : std::ldexp(digits, 1 - bias - fraction);
        const float got = floats[i], single = half_to_float(all[i], type);
        if (exponent == 2 * bias + 1 && digits) {
          ASSERT_TRUE(std::isnan(got) && std::isnan(single));
          continue;
        }
        const double expected = sign * (exponent == 2 * bias + 1 ? INFINITY : value);
        ASSERT_EQ(static_cast<double>(got), expected) << i << " on " << to_string(target);
        ASSERT_EQ(std::signbit(got), sign < 0);
        ASSERT_EQ(static_cast<double>(single), expected);
      }
      ASSERT_EQ(cast<uint16_t>(
                    target, type, DType::f32,
                    cast<float>(target, DType::f32, type, std::vector<uint16_t>(all.begin(), all.begin() + 0x7c00))),
                std::vector<uint16_t>(all.begin(), all.begin() + 0x7c00));
    }
}

TEST(Types, ConstantsAreReadAndWritten) {
  const auto through = [](double x, DType type) {
    Value v;
    v.dtype = type;
    v.data = write_constant({x}, type);
    EXPECT_EQ(static_cast<int64_t>(v.data.size()), size_of(type));
    return read_constant(v)[0];
  };
  EXPECT_EQ(through(-1, DType::i16), -1);
  EXPECT_EQ(through(-1, DType::u16), 65535);
  EXPECT_EQ(through(4294967295, DType::u32), 4294967295);
  EXPECT_EQ(through(-1, DType::u32), 4294967295);
  EXPECT_EQ(through(0x1.8p63, DType::u64), 0x1.8p63);
  EXPECT_EQ(through(0.1, DType::f16), 0.0999755859375);
  EXPECT_EQ(through(0.1, DType::bf16), 0.10009765625);
}

/// Inputs, weights and outputs keep their types, and what lies between is float32; a cast rounds.
TEST(Types, HalvesAreComputedInFloat32) {
  SourceGraph g;
  const ValueId x = g.input({2, 3}, DType::f16), w = g.weight({3}, "w", DType::bf16);
  const ValueId sum = g.op("aten.add.Tensor", {x, w}, {2, 3}, {}, DType::f32);
  const ValueId half = g.op("aten._to_copy.default", {sum}, {2, 3}, {{"dtype", std::string("float16")}}, DType::f16);
  g.output(g.op("aten.relu.default", {half}, {2, 3}, {}, DType::f16));
  g.output(x);
  const auto made = legalize(g.graph);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_TRUE(verify(*made).ok());
  EXPECT_EQ(made->value(made->inputs[0]).dtype, DType::f16);
  EXPECT_EQ(made->value(made->outputs[0]).dtype, DType::f16);
  EXPECT_EQ(made->value(made->outputs[1]).dtype, DType::f16);
  EXPECT_NE(made->outputs[1], made->inputs[0]);
  int rounded = 0;
  for (const Node& node : made->nodes) {
    ASSERT_EQ(node.op, Op::map);
    const DType to = made->value(node.outputs[0]).dtype;
    rounded += to == DType::f16;
    EXPECT_TRUE(to == DType::f16 || to == DType::f32);
  }
  EXPECT_EQ(rounded, 3);  // the cast, and two outputs
}

}  // namespace
}  // namespace kiln
