// Linear functions along an axis as products with a matrix that depends on nothing: bilinear resizing, unequal
// averages, running sums.
// The matrix is a map over two ramps, which the lowering evaluates once, at load.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

constexpr int64_t kMaxAxis = 4096;
constexpr int64_t kMaxTerms = int64_t{1} << 24;

ValueId reals(Legalizer& l, const std::vector<double>& values, const Shape& shape) {
  return l.b.constant(DType::f32, shape, write_constant(values, DType::f32));
}

std::vector<double> ramp(int64_t count) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i));
  return values;
}

/// Row o holds the weights of the source pixels of output pixel o: max(0, 1 − |position(o) − i|). [out, in]
Result<ValueId> interpolation(Legalizer& l, int64_t in, int64_t out, bool align_corners, double scale) {
  std::vector<double> positions;
  for (int64_t o = 0; o < out; ++o) {
    const auto at = static_cast<double>(o);
    const double step =
        align_corners ? (out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0) : scale;
    positions.push_back(
        std::clamp(align_corners ? at * step : (at + 0.5) * step - 0.5, 0.0, static_cast<double>(in - 1)));
  }
  Fx f;
  const Term distance = f.un(PointOp::abs, f.in(0) - f.in(1));
  const Term t = f.bin(PointOp::max, f.c(1) - distance, f.c(0));
  return l.b.map(f.finish(t), {reals(l, positions, {out, 1}), reals(l, ramp(in), {in})}, DType::f32);
}

/// Rows · x · columnsᵀ on [N, C, H, W].
Status bilinear(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  const Shape from = l.b.shape(x), to = l.out_shape(node);
  if (from.size() != 4 || to.size() != 4) return misfit(node.source + ": expected 4 dims");
  const bool align = l.flag(node, "align_corners", false);
  std::array<ValueId, 2> matrices{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = from[2 + i].value, out = to[2 + i].value;
    if (in > kMaxAxis || out > kMaxAxis || out < 1)
      return l.unsupported(node, "at most 4096 rows and columns are supported");
    // A scale that was given counts; else the ratio of the sizes.
    const double given = given_scale(l, node, i, 2);
    const double scale = given > 0 ? 1 / given : static_cast<double>(in) / static_cast<double>(out);
    KILN_ASSIGN(matrices[i], interpolation(l, in, out, align, scale));
  }
  KILN_ASSIGN(const ValueId wide, l.b.matmul(x, matrices[1], true));
  KILN_ASSIGN(const ValueId y, l.b.matmul(matrices[0], wide));
  return l.set(node, y);
}

/// Row o averages the elements from ⌊o · in / out⌋ to before ⌈(o + 1) · in / out⌉. [out, in]
Result<ValueId> averaging(Legalizer& l, int64_t in, int64_t out) {
  std::vector<double> begin, end;
  for (int64_t o = 0; o < out; ++o) {
    const int64_t first = o * in / out;
    begin.push_back(static_cast<double>(first));
    end.push_back(static_cast<double>(ceil_div((o + 1) * in, out)));
  }
  Fx f;
  const Term from = f.in(0), to = f.in(1), i = f.in(2);
  const Term share = f.c(1) / (to - from), none = f.c(0);
  const Term before_end = f.where(f.bin(PointOp::lt, i, to), share, none);
  const Term t = f.where(f.bin(PointOp::ge, i, from), before_end, none);
  return l.b.map(f.finish(t), {reals(l, begin, {out, 1}), reals(l, end, {out, 1}), reals(l, ramp(in), {in})},
                 DType::f32);
}

/// A running sum of reals along the last axis: x · (1 where i ≤ j).
Result<ValueId> running_sum(Legalizer& l, const Node& node, ValueId x, int64_t n) {
  if (n > kMaxAxis) return l.unsupported(node, "at most 4096 elements are supported");
  Fx f;
  const Term t = f.to(f.bin(PointOp::le, f.in(0), f.in(1)), Lane::f32);
  KILN_ASSIGN(const ValueId triangle,
              l.b.map(f.finish(t), {reals(l, ramp(n), {n, 1}), reals(l, ramp(n), {n})}, DType::f32));
  const Shape shape = l.b.shape(x);
  if (shape.size() == 1) {
    KILN_ASSIGN(x, l.b.reshape(x, {Dim(1), Dim(n)}));
  }
  KILN_ASSIGN(const ValueId y, l.b.matmul(x, triangle));
  return l.b.reshape(y, shape);
}

/// Of integers, exactly: Σ over j of x_j where j ≤ i, with all of its terms in memory.
Result<ValueId> running_integer_sum(Legalizer& l, const Node& node, ValueId x, int64_t n) {
  const Shape shape = l.b.shape(x);
  if (element_count(shape) * n > kMaxTerms) return l.unsupported(node, "too many integers to sum up along the way");
  Shape row = shape;
  row.insert(row.end() - 1, Dim(1));
  KILN_ASSIGN(const ValueId rows, l.b.reshape(x, row));
  std::vector<int64_t> steps;
  for (int64_t i = 0; i < n; ++i) steps.push_back(i);
  Fx f;
  const Term seen = f.bin(PointOp::le, f.in(2, Lane::i32), f.in(1, Lane::i32));
  const Lane lane = lane_of(l.b.value(x).dtype);
  const Term t = f.where(seen, f.in(0, lane), f.c(0, lane));
  KILN_ASSIGN(const ValueId terms, l.b.map(f.finish(t),
                                           {rows, l.b.integers(steps, {Dim(n), Dim(1)}, DType::i32),
                                            l.b.integers(steps, {Dim(n)}, DType::i32)},
                                           l.b.value(x).dtype));
  KILN_ASSIGN(const ValueId sums,
              l.b.reduce(terms, ReduceAttrs{ReduceKind::sum, {static_cast<int64_t>(shape.size())}, false}));
  return l.b.cast(sums, l.b.value(x).dtype);
}

Status cumsum(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(x, l.b.cast(x, l.out_dtype(node)));
  const int64_t rank = l.b.rank(x);
  if (rank == 0) return l.set(node, x);
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), rank));
  const int64_t n = l.b.shape(x)[static_cast<size_t>(axis)].value;
  std::vector<int64_t> last;
  for (int64_t i = 0; i < rank; ++i) last.push_back(i);
  std::swap(last[static_cast<size_t>(axis)], last.back());  // its own inverse
  KILN_ASSIGN(ValueId y, l.b.permute(x, last));
  const bool real = lane_of(l.b.value(x).dtype) == Lane::f32;
  KILN_ASSIGN(y, real ? running_sum(l, node, y, n) : running_integer_sum(l, node, y, n));
  KILN_ASSIGN(y, l.b.permute(y, last));
  return l.set(node, y);
}

}  // namespace

Result<ValueId> average_unequal(Legalizer& l, const Node& node, ValueId x, const std::array<int64_t, 2>& size) {
  std::array<ValueId, 2> matrices{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = l.b.shape(x)[2 + i].value;
    if (in > kMaxAxis || size[i] > kMaxAxis) return l.unsupported(node, "at most 4096 rows and columns are supported");
    KILN_ASSIGN(matrices[i], averaging(l, in, size[i]));
  }
  KILN_ASSIGN(const ValueId wide, l.b.matmul(x, matrices[1], true));
  return l.b.matmul(matrices[0], wide);
}

std::vector<OpRow> axis_product_ops() {
  return {
      {"aten.cumsum.default", cumsum},
      {"aten.upsample_bilinear2d.default", bilinear},
      {"aten.upsample_bilinear2d.vec", bilinear},
  };
}

}  // namespace kiln
