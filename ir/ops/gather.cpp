// Rows and elements chosen by index.
#include <algorithm>
#include <cstdint>

#include "ir/ops/indices.h"

namespace kiln {
namespace {

/// accumulated + index · stride. The index is on an axis of `size` and may count from the end. If it is out of range,
/// the result is the least integer, which stays out of range whatever is added later.
Result<ValueId> added_index(Legalizer& l, ValueId accumulated, ValueId index, int64_t size, int64_t stride) {
  Fx f;
  const Lane own = lane_of(l.b.value(index).dtype);
  const Term zero = f.whole(0, own), end = f.whole(size, own), bad = f.whole(INT32_MIN, Lane::i32);
  const Term given = f.in(0, own), at = f.where(f.bin(PointOp::lt, given, zero), given + end, given);
  Term outside = f.bin(PointOp::logical_or, f.bin(PointOp::lt, at, zero), f.bin(PointOp::ge, at, end));
  Term flat = f.to(at, Lane::i32) * f.whole(stride, Lane::i32);
  std::vector<ValueId> operands{index};
  if (accumulated != kNoValue) {
    operands.push_back(accumulated);
    const Term before = f.in(1, Lane::i32);
    outside = f.bin(PointOp::logical_or, outside, f.bin(PointOp::lt, before, f.whole(0, Lane::i32)));
    flat = flat + before;
  }
  return l.b.map(f.finish(f.where(outside, bad, flat)), operands, DType::i32);
}

}  // namespace

Result<FlatIndex> flat_index(Legalizer& l, const Node& node, const std::vector<ValueId>& indices,
                             const std::vector<int64_t>& axes, const Shape& of) {
  FlatIndex flat;
  for (size_t i = axes.size(); i-- > 0;) {
    const DType dtype = l.b.value(indices[i]).dtype;
    if (dtype != DType::i64 && dtype != DType::i32)
      return l.unsupported(node, std::string("an index of ") + name_of(dtype) + " is not supported");
    const int64_t size = of[static_cast<size_t>(axes[i])].value;
    if (axes.size() == 1) {
      flat.index = indices[i];
    } else {
      KILN_ASSIGN(flat.index, added_index(l, flat.index, indices[i], size, flat.size));
    }
    if (__builtin_mul_overflow(flat.size, size, &flat.size) || flat.size >= (int64_t{1} << 31))
      return l.unsupported(node, "the indexed tensor is too large");
  }
  return flat;
}

namespace {

Status embedding(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId table, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  KILN_ASSIGN(const ValueId y, l.b.gather(table, index, 0));
  return l.set(node, y);
}

/// A 0-d tensor counts as a vector of one element, as in PyTorch.
Result<ValueId> at_least_1d(Legalizer& l, ValueId x) {
  if (l.b.rank(x) > 0) return x;
  return l.b.reshape(x, {Dim(1)});
}

Status index_select(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  if (l.b.rank(index) > 1) return misfit(node.source + ": expected a 1-d index");
  const bool number = l.b.rank(x) == 0;
  KILN_ASSIGN(x, at_least_1d(l, x));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  KILN_ASSIGN(const ValueId row, l.b.reshape(index, {Dim(element_count(l.b.shape(index)))}));
  KILN_ASSIGN(ValueId y, l.b.gather(x, row, axis));
  if (number) {
    KILN_ASSIGN(y, l.b.reshape(y, {}));
  }
  return l.set(node, y);
}

/// out[i…] = x[i…, with index[i…] on one axis]: a row of that axis for each of the other dims. The index may be smaller
/// than x on these.
Status gather(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId index, l.need(node, 1));
  const Shape to = l.b.shape(index);
  KILN_ASSIGN(x, at_least_1d(l, x));
  KILN_ASSIGN(index, at_least_1d(l, index));
  const Shape si = l.b.shape(index);
  if (is_empty(si)) {  // of any rank
    KILN_ASSIGN(const ValueId none, l.b.expand(l.b.scalar(0, l.b.value(x).dtype), si));
    return l.set(node, none);
  }
  const int64_t rank = l.b.rank(x);
  if (rank != l.b.rank(index)) return misfit(node.source + ": input and index must have the same number of dims");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), rank));
  std::vector<int64_t> order, back;  // with the axis last
  for (int64_t i = 0; i < rank; ++i) {
    back.push_back(i < axis ? i : i == axis ? rank - 1 : i - 1);
    if (i == axis) continue;
    order.push_back(i);
    const int64_t given = l.b.shape(x)[static_cast<size_t>(i)].value, used = si[static_cast<size_t>(i)].value;
    if (used > given) return misfit(node.source + ": the index is larger than the input");
    KILN_ASSIGN(x, l.b.slice_axis(x, i, 0, used));
  }
  order.push_back(axis);
  KILN_ASSIGN(x, l.b.permute(x, order));
  KILN_ASSIGN(index, l.b.permute(index, order));
  KILN_ASSIGN(const ValueId picked, l.b.gather(x, index, rank - 1, rank - 1));
  KILN_ASSIGN(const ValueId turned, l.b.permute(picked, back));
  KILN_ASSIGN(const ValueId y, l.b.reshape(turned, to));
  return l.set(node, y);
}

/// x[:, i, j]: the indices are broadcast. The indexed axes are moved side by side and merged into one axis, which is
/// gathered.
Status index(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const auto rank = static_cast<size_t>(l.b.rank(x));
  std::vector<int64_t> indexed, others;
  for (size_t i = 0; i < rank; ++i)
    (l.in(node, i + 1) != kNoValue ? indexed : others).push_back(static_cast<int64_t>(i));
  if (indexed.empty() || node.inputs.size() > rank + 1)
    return misfit(node.source + ": the indices do not fit the input");
  // The indices' dims take the place of the indexed axes. They come first if those axes are not adjacent.
  const bool together = indexed.back() - indexed.front() + 1 == static_cast<int64_t>(indexed.size());
  const int64_t at = together ? indexed.front() : 0;
  std::vector<int64_t> order = others;
  order.insert(order.begin() + at, indexed.begin(), indexed.end());
  const Shape original = l.b.shape(x);
  KILN_ASSIGN(x, l.b.permute(x, order));
  std::vector<ValueId> operands;
  for (const int64_t axis : indexed) operands.push_back(l.in(node, static_cast<size_t>(axis) + 1));
  KILN_ASSIGN(const FlatIndex flat, flat_index(l, node, operands, indexed, original));
  Shape shape = l.b.shape(x);
  shape.erase(shape.begin() + at, shape.begin() + at + static_cast<std::ptrdiff_t>(indexed.size()));
  shape.insert(shape.begin() + at, Dim(flat.size));
  KILN_ASSIGN(x, l.b.reshape(x, shape));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, flat.index, at));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> gather_ops() {
  return {
      {"aten.embedding.default", embedding},
      {"aten.gather.default", gather},
      {"aten.index.Tensor", index},
      {"aten.index_select.default", index_select},
      {"aten.take_along_dim.default", gather},
      {"aten._unsafe_index.Tensor", index},
  };
}

}  // namespace kiln
