// ONNX: what indices name.
#include <algorithm>
#include <cstdint>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Status gather(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar has nothing to gather from");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, index, axis));
  return l.set(node, y);
}

Status gather_elements(Legalizer& l, const Node& node) {
  return as(l, node, "aten.gather.default", {{"dim", l.integer(node, "axis", 0)}});
}

}  // namespace

Result<NamedParts> parts_named(Legalizer& l, const Node& node, ValueId index, Shape of, size_t batch) {
  const Shape si = l.b.shape(index);
  if (si.empty() || batch >= si.size() || batch > of.size()) return misfit(node.source + ": batch_dims out of range");
  const auto depth = static_cast<size_t>(si.back().value);
  if (depth < 1 || batch + depth > of.size()) return misfit(node.source + ": the index does not fit the data");
  int64_t merged = 1;
  for (size_t i = 0; i < batch + depth; ++i)
    if (__builtin_mul_overflow(merged, of[i].value, &merged) || merged >= (int64_t{1} << 31))
      return l.unsupported(node, "the indexed tensor is too large");
  Fx f;
  std::vector<ValueId> operands;
  const DType dtype = l.b.value(index).dtype;
  const Lane own = lane_of(dtype);
  Term flat = f.whole(0, Lane::i32), outside = f.to(f.whole(0, Lane::i32), Lane::mask);
  int64_t stride = merged;
  for (size_t i = 0; i < batch + depth; ++i) {
    stride /= std::max<int64_t>(of[i].value, 1);
    Shape along(si.size() - 1, Dim(1));
    if (i < batch) along[i] = si[i];
    ValueId part = kNoValue;
    if (i < batch) {
      KILN_ASSIGN(part, ramp(l, si[i].value, along, dtype));
    } else {
      KILN_ASSIGN(part, l.b.slice_axis(index, l.b.rank(index) - 1, static_cast<int64_t>(i - batch), 1));
      KILN_ASSIGN(part, l.b.reshape(part, Shape(si.begin(), si.end() - 1)));
    }
    const Term end = f.whole(of[i].value, own), zero = f.whole(0, own),
               given = f.in(static_cast<int>(operands.size()), own);
    const Term at = f.where(f.bin(PointOp::lt, given, zero), given + end, given);
    outside = f.bin(PointOp::logical_or, outside,
                    f.bin(PointOp::logical_or, f.bin(PointOp::lt, at, zero), f.bin(PointOp::ge, at, end)));
    flat = flat + f.to(at, Lane::i32) * f.whole(stride, Lane::i32);
    operands.push_back(part);
  }
  NamedParts parts;
  KILN_ASSIGN(parts.index,
              l.b.map(f.finish(f.where(outside, f.whole(INT32_MIN, Lane::i32), flat)), operands, DType::i32));
  parts.table.assign(of.begin() + static_cast<std::ptrdiff_t>(batch + depth), of.end());
  parts.table.insert(parts.table.begin(), Dim(merged));
  return parts;
}

namespace {

/// Each vector along the last axis of the index names an element, or a slice: one gather of the flattened axes.
Status gather_nd(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  const auto batch = static_cast<size_t>(std::max<int64_t>(l.integer(node, "batch_dims", 0), 0));
  KILN_ASSIGN(const NamedParts parts, parts_named(l, node, index, l.b.shape(x), batch));
  KILN_ASSIGN(x, l.b.reshape(x, parts.table));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, parts.index, 0));
  return l.set(node, y);
}

/// Of each sequence the first so many steps turned round.
Status reverse_sequence(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId lengths, l.need(node, 1));
  const int64_t steps_axis = l.integer(node, "time_axis", 0), batch_axis = l.integer(node, "batch_axis", 1);
  const Shape s = l.b.shape(x);
  if (s.size() < 2 || steps_axis + batch_axis != 1 || steps_axis * batch_axis != 0)
    return misfit(node.source + ": the axes are 0 and 1");
  const Dim steps = s[static_cast<size_t>(steps_axis)], batch = s[static_cast<size_t>(batch_axis)];
  if (l.b.shape(lengths) != Shape{batch}) return misfit(node.source + ": there is not one length for each sequence");
  std::vector<int64_t> order = all_axes(l.b.rank(x));
  order[0] = batch_axis, order[1] = steps_axis;
  KILN_ASSIGN(x, l.b.permute(x, order));
  KILN_ASSIGN(lengths, l.b.cast(lengths, DType::i64));
  KILN_ASSIGN(lengths, l.b.reshape(lengths, {batch, Dim(1)}));
  KILN_ASSIGN(const ValueId numbers, ramp(l, steps.value, {steps}));
  Fx f;
  const Term step = f.in(0, Lane::i64), length = f.in(1, Lane::i64);
  const Term from = f.where(f.bin(PointOp::lt, step, length), length - step - f.whole(1, Lane::i64), step);
  KILN_ASSIGN(const ValueId index, l.b.map(f.finish(from), {numbers, lengths}, DType::i64));
  KILN_ASSIGN(x, l.b.gather(x, index, 1, 1));
  KILN_ASSIGN(x, l.b.permute(x, order));
  return l.set(node, x);
}

/// An index that counts from the end may; one out of range is nowhere hot.
Status one_hot(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId given, l.need(node, 0));
  KILN_ASSIGN(const std::vector<Number> depths, l.elements(node, 1, "the depth"));
  KILN_ASSIGN(const ValueId values, l.need(node, 2));
  if (depths.size() != 1) return misfit(node.source + ": the depth is one number");
  const Value& depth_value = l.b.value(l.in(node, 1));
  const int64_t depth = depth_value.dtype == DType::f32 ? whole_part(depths[0].real) : depths[0].whole;
  if (depth < 1 || depth > kMaxWritten) return l.unsupported(node, "a depth of 1 to 65536 is supported");
  KILN_ASSIGN(ValueId index, l.b.cast(given, DType::i64));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -1), l.b.rank(index) + 1));
  Shape lifted = l.b.shape(index), along(lifted.size() + 1, Dim(1));
  lifted.insert(lifted.begin() + axis, Dim(1));
  along[static_cast<size_t>(axis)] = Dim(depth);
  KILN_ASSIGN(index, l.b.reshape(index, lifted));
  KILN_ASSIGN(ValueId off, l.b.slice_axis(values, 0, 0, 1));
  KILN_ASSIGN(ValueId on, l.b.slice_axis(values, 0, 1, 1));
  KILN_ASSIGN(off, l.b.reshape(off, {}));
  KILN_ASSIGN(on, l.b.reshape(on, {}));
  const DType dtype = l.b.value(values).dtype;
  Fx f;
  const Term at = f.in(0, Lane::i64),
             positive = f.where(f.bin(PointOp::lt, at, f.whole(0, Lane::i64)), at + f.whole(depth, Lane::i64), at);
  const Term hot = f.bin(PointOp::eq, positive, f.in(1, Lane::i64));
  const Term t = f.where(hot, f.in(3, lane_of(dtype)), f.in(2, lane_of(dtype)));
  KILN_ASSIGN(const ValueId places, ramp(l, depth, along));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {index, places, off, on}, dtype));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_gather_ops() {
  return {
      {"onnx.Gather", gather},  {"onnx.GatherElements", gather_elements},   {"onnx.GatherND", gather_nd},
      {"onnx.OneHot", one_hot}, {"onnx.ReverseSequence", reverse_sequence},
  };
}

}  // namespace kiln
