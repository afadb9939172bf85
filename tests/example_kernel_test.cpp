// The kernel that docs/write-a-kernel.md walks through.
#include <gtest/gtest.h>

#include "jit/kernels/loops.h"
#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln {
namespace {

using namespace testing;

// [example]
/// out[r, i] = max(in[r, i] + bias[i], 0) for `rows` rows of `n` floats. Operands: out, in, bias.
Func emit_add_relu(Emitter& e, int64_t rows, int64_t n, const std::string& name) {
  const int64_t bytes = size_of(DType::f32);

  const Func row = e.begin_function(name + "_row", 3);  // the hot loop: one row
  {
    const Int out = e.param(0), in = e.param(1), bias = e.param(2);
    const Vec zero = e.vec(), x = e.vec(), b = e.vec();
    e.splat(zero, 0);
    for_vectors(e, n, 4, {out, in, bias}, {bytes, bytes, bytes}, [&](int64_t element, int lanes) {
      e.load(x, {in, element * bytes}, DType::f32, lanes);
      e.load(b, {bias, element * bytes}, DType::f32, lanes);
      e.op(VecBinary::add, x, x, b);
      e.op(VecBinary::max, x, x, zero);
      e.store({out, element * bytes}, x, DType::f32, lanes);
    });
  }
  e.end_function();

  const Func entry = e.begin_function(name, 3 + 3, true);  // begin, end, scratch; out, in, bias
  {
    UnitOperands operands(e, {rows});
    operands.add(3, bytes, {n});  // moves by n floats from row to row
    operands.add(4, bytes, {n});
    operands.add(5, bytes);  // stays
    for_units(e, [&](Int unit) { e.call(row, operands.at(unit)); });
  }
  e.end_function();
  return entry;
}
// [/example]

TEST(ExampleKernel, DoesWhatItSays) {
  constexpr int64_t kRows = 5;
  for (const Target& target : targets())
    for (const int64_t n : {1, 3, 8, 31, 64, 70}) {
      auto machine = load(target, [&](Emitter& e) { emit_add_relu(e, kRows, n, "add_relu"); });
      ASSERT_TRUE(machine.ok()) << machine.error().message;
      Guarded<float> in(kRows * n), out(kRows * n), bias(n);
      for (int64_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i % 7 - 3);
      for (int64_t i = 0; i < n; ++i) bias[i] = static_cast<float>(i % 3) - 1;
      for (const auto& [begin, end] : {std::pair{0, 2}, std::pair{2, 5}}) {  // as two threads would
        const Status status = (*machine)->call(
            "add_relu", {begin, end, 0, address(out.data()), address(in.data()), address(bias.data())});
        ASSERT_TRUE(status.ok()) << status.error().message << " " << to_string(target);
      }
      for (int64_t i = 0; i < in.size(); ++i)
        ASSERT_EQ(out[i], std::max(in[i] + bias[i % n], 0.0f)) << i << " of " << n << " " << to_string(target);
    }
}

TEST(ExampleKernel, MoreThanSixteenParametersAreAnErrorNatively) {
  for (const Target& target : targets())
    for (const int params : {kMaxNativeParams, kMaxNativeParams + 1}) {
      const auto machine = load(target, [&](Emitter& e) {
        e.begin_function("many", params, true);
        e.end_function();
      });
      const bool limited = target.isa != Isa::reference && target.isa != Isa::wasm;
      EXPECT_EQ(machine.ok(), !limited || params == kMaxNativeParams) << to_string(target);
    }
}

}  // namespace
}  // namespace kiln
