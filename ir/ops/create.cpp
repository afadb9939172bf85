// Tensors that are made without data: constant fills, ramps, triangles.
#include <algorithm>
#include <cmath>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// A ramp longer than this is not made at compile time.
constexpr int64_t kMaxRamp = 65536;

/// Of the sizes that are asked for, else of the operand's; of the type that is asked for, else of the operand's, else
/// of `fallback`.
Status fill(Legalizer& l, const Node& node, const Number& value, DType fallback = DType::f32) {
  const ValueId like = l.in(node, 0);
  const DType dtype = l.stored_dtype(node, "dtype", like == kNoValue ? fallback : l.b.value(like).dtype);
  Shape shape = like == kNoValue || l.has(node, "size") ? Shape() : l.b.shape(like);
  for (int64_t size : l.integers(node, "size")) shape.push_back(Dim(size));
  const Number typed = dtype == DType::boolean ? Number{0, value.real != 0} : value;
  KILN_ASSIGN(const ValueId y, l.b.expand(l.b.constant(dtype, {}, write_numbers({typed}, dtype)), shape));
  return l.set(node, y);
}

Status full(Legalizer& l, const Node& node) {
  return fill(l, node, l.any_number(node, "fill_value"), l.number_type(node, "fill_value"));
}
Status scalar_tensor(Legalizer& l, const Node& node) { return fill(l, node, l.any_number(node, "s")); }
Status zeros(Legalizer& l, const Node& node) { return fill(l, node, {}); }
Status ones(Legalizer& l, const Node& node) { return fill(l, node, {1, 1}); }

/// fill(self, value): value a number or a 0-d tensor.
Status fill_like(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId value, l.tensor_or_number(node, 1, "value"));
  KILN_ASSIGN(const ValueId typed, l.b.cast(value, l.b.value(x).dtype));
  KILN_ASSIGN(const ValueId y, l.b.expand(typed, l.b.shape(x)));
  return l.set(node, y);
}

Status arange(Legalizer& l, const Node& node) {
  const double start = l.number(node, "start", 0), end = l.number(node, "end", 0), step = l.number(node, "step", 1);
  if (!std::isfinite(start) || !std::isfinite(end) || !std::isfinite(step) || step == 0)
    return misfit(node.source + ": bounds that make no range");
  const double count = std::ceil((end - start) / step);
  if (!(count >= 0 && count <= static_cast<double>(kMaxRamp)))
    return l.unsupported(node, "a range of " + std::to_string(whole_part(count)) + " elements; up to " +
                                   std::to_string(kMaxRamp) + " are supported");
  const bool real = l.number_type(node, "start") == DType::f32 || l.number_type(node, "end") == DType::f32 ||
                    l.number_type(node, "step") == DType::f32;
  const DType dtype = l.stored_dtype(node, "dtype", real ? DType::f32 : DType::i64);
  // Of integers PyTorch adds integers, of reals that go into integers it truncates each bound.
  const auto first = static_cast<uint64_t>(l.any_number(node, "start").whole),
             by = static_cast<uint64_t>(l.has(node, "step") ? l.any_number(node, "step").whole : 1);
  std::vector<Number> values;
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i)
    values.push_back(
        {start + static_cast<double>(i) * step, static_cast<int64_t>(first + static_cast<uint64_t>(i) * by)});
  return l.set(node, l.b.constant(dtype, Shape{static_cast<int64_t>(values.size())}, write_numbers(values, dtype)));
}

ValueId ramp(Legalizer& l, int64_t count, const Shape& shape) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(i);
  return l.b.integers(values, shape, DType::i32);
}

/// The part of the last two dims on one side of a diagonal, zeros elsewhere.
template <bool kUpper>
Status triangle(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape s = l.b.shape(x);
  if (s.size() < 2) return misfit(node.source + ": at least 2 dims are needed");
  const int64_t rows = s[s.size() - 2].value, cols = s.back().value;
  if (rows > kMaxRamp || cols > kMaxRamp) return l.unsupported(node, "at most 65536 rows and columns are supported");
  const DType dtype = l.b.value(x).dtype;
  const Lane lane = lane_of(dtype);
  Fx f;
  const Term distance = f.in(2, Lane::i32) - f.in(1, Lane::i32),
             diagonal = f.whole(std::clamp<int64_t>(l.integer(node, "diagonal", 0), -kMaxRamp, kMaxRamp), Lane::i32);
  const Term inside = f.bin(kUpper ? PointOp::ge : PointOp::le, distance, diagonal);
  const Term t = f.where(inside, f.in(0, lane), f.c(0, lane));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x, ramp(l, rows, {rows, 1}), ramp(l, cols, {cols})}, dtype));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> create_ops() {
  return {
      {"aten.arange.default", arange},
      {"aten.arange.start", arange},
      {"aten.arange.start_step", arange},
      {"aten.empty.memory_format", zeros},
      {"aten.fill.Scalar", fill_like},
      {"aten.fill.Tensor", fill_like},
      {"aten.full.default", full},
      {"aten.full_like.default", full},
      {"aten.new_full.default", full},
      {"aten.new_ones.default", ones},
      {"aten.new_zeros.default", zeros},
      {"aten.ones.default", ones},
      {"aten.ones_like.default", ones},
      {"aten.scalar_tensor.default", scalar_tensor},
      {"aten.tril.default", triangle<false>},
      {"aten.triu.default", triangle<true>},
      {"aten.zeros.default", zeros},
      {"aten.zeros_like.default", zeros},
  };
}

}  // namespace kiln
