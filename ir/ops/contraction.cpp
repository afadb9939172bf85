// Convolutions and matrix products.
#include <algorithm>

#include "ir/ops/volume.h"
#include "support/checked.h"

namespace kiln {
namespace {

/// Adds the scaled, broadcast `bias`, if there is one.
Result<ValueId> add_bias(Legalizer& l, ValueId x, ValueId bias, double beta = 1) {
  if (bias == kNoValue) return x;
  const DType dtype = l.b.value(x).dtype;
  Fx f;
  const Term shift = f.in(1, lane_of(dtype));
  return l.b.map(f.finish(f.in(0, lane_of(dtype)) + (beta == 1 ? shift : shift * beta)), {x, bias}, dtype);
}

Result<ValueId> scale(Legalizer& l, ValueId x, double by) {
  if (by == 1) return x;
  const DType dtype = l.b.value(x).dtype;
  Fx f;
  return l.b.map(f.finish(f.in(0, lane_of(dtype)) * by), {x}, dtype);
}

/// Weights of a transposed convolution, from PyTorch's [g·Ci, Co, KH, KW] to [g·Co, Ci, KH, KW].
Result<ValueId> outputs_first(Legalizer& l, const Node& node, ValueId w, int64_t groups) {
  const Shape s = l.b.shape(w);
  const int64_t in = s[0].value, out = s[1].value;
  if (groups < 1 || in % groups) return misfit(node.source + ": the groups do not divide the channels");
  KILN_ASSIGN(w, l.b.reshape(w, {groups, in / groups, out, s[2], s[3]}));
  KILN_ASSIGN(w, l.b.permute(w, {0, 2, 1, 3, 4}));
  return l.b.reshape(w, {groups * out, in / groups, s[2], s[3]});
}

Status convolution(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId w, l.need(node, 1));
  if (l.b.rank(x) == 5) return convolve_volume(l, node);
  const ValueId bias = l.in(node, 2);
  const Shape sx = l.b.shape(x), sw = l.b.shape(w);
  ConvAttrs attrs;
  attrs.stride = l.pair(node, "stride", 1);
  if (l.has(node, "padding")) attrs.pad_begin = attrs.pad_end = l.pair(node, "padding", 0);
  attrs.dilation = l.pair(node, "dilation", 1);
  attrs.groups = l.integer(node, "groups", 1);
  attrs.transposed = l.flag(node, "transposed", false) || node.source.find("transpose") != std::string::npos;
  const std::array<int64_t, 2> extra = l.pair(node, "output_padding", 0);
  const bool flat = sx.size() == 3 && sw.size() == 3;
  if (flat) {  // one spatial dim: a row
    for (auto* a : {&attrs.pad_begin, &attrs.pad_end}) (*a)[0] = 0;
    for (auto* a : {&attrs.stride, &attrs.dilation}) (*a)[0] = 1;
    KILN_ASSIGN(x, l.b.reshape(x, {sx[0], sx[1], Dim(1), sx[2]}));
    KILN_ASSIGN(w, l.b.reshape(w, {sw[0], sw[1], Dim(1), sw[2]}));
  }
  if (l.b.rank(x) != 4 || l.b.rank(w) != 4)
    return l.unsupported(
        node, "input " + to_string(sx) + " with weight " + to_string(sw) + ": only batched convolutions are supported");
  if (attrs.transposed) {
    for (size_t i = flat ? 1 : 0; i < 2; ++i) {
      if (extra[i] < 0 || extra[i] > 1 << 20) return misfit(node.source + ": output_padding out of range");
      attrs.pad_end[i] = plus(attrs.pad_end[i], -extra[i]);
    }
    KILN_ASSIGN(w, outputs_first(l, node, w, attrs.groups));
  }
  KILN_ASSIGN(ValueId y, l.b.conv(x, w, bias, attrs));
  if (flat) {
    const Shape s = l.b.shape(y);
    KILN_ASSIGN(y, l.b.reshape(y, {s[0], s[1], s[3]}));
  }
  return l.set(node, y);
}

/// a · b of integers, which wrap as in PyTorch. All products are stored before they are summed.
Result<ValueId> integer_matmul(Legalizer& l, ValueId a, ValueId b, bool transpose_b) {
  constexpr int64_t kMaxProducts = int64_t{1} << 22;
  const DType dtype = l.b.value(a).dtype;
  const Shape sa = l.b.shape(a), sb = l.b.shape(b);
  const int64_t rank = l.b.rank(b);
  if (!transpose_b) {
    std::vector<int64_t> swapped;
    for (int64_t i = 0; i < rank; ++i) swapped.push_back(i < rank - 2 ? i : 2 * rank - 3 - i);
    KILN_ASSIGN(b, l.b.permute(b, swapped));
  }
  Shape rows = sa, columns = l.b.shape(b);
  rows.insert(rows.end() - 1, Dim(1));
  columns.insert(columns.end() - 2, Dim(1));
  if (rows.back().value != columns.back().value)
    return misfit("inner sizes differ: " + to_string(sa) + " by " + to_string(sb));
  KILN_ASSIGN(const Shape all, broadcast(l.b.graph, {&rows, &columns}));
  double products_in_all = 1;
  for (const Dim& d : all) products_in_all *= static_cast<double>(d.value);
  if (products_in_all > kMaxProducts)
    return Error{ErrorCode::unsupported_operator,
                 std::string("a matrix product of ") + name_of(dtype) + " takes at most 4194304 multiplications: " +
                     to_string(sa) + " by " + to_string(sb) + " takes more; multiply x.float()",
                 ""};
  const DType wide = kernel_type(dtype);
  KILN_ASSIGN(const ValueId left, l.b.reshape(a, rows));
  KILN_ASSIGN(const ValueId right, l.b.reshape(b, columns));
  Fx f;
  const Lane lane = lane_of(dtype);
  KILN_ASSIGN(const ValueId products,
              l.b.map(f.finish(f.to(f.in(0, lane) * f.in(1, lane), lane_of(wide))), {left, right}, wide));
  KILN_ASSIGN(const ValueId y,
              l.b.reduce(products, ReduceAttrs{ReduceKind::sum, {static_cast<int64_t>(all.size()) - 1}, false}));
  return l.b.cast(y, dtype);
}

/// As torch.matmul. A 1-d operand gets a dim, and the result loses it.
Result<ValueId> product(Legalizer& l, ValueId a, ValueId b, bool transpose_b) {
  const bool row = l.b.rank(a) == 1, column = l.b.rank(b) == 1;
  if (l.b.rank(a) == 0 || l.b.rank(b) == 0) return misfit("a matrix product needs operands with dims");
  if (row) {
    KILN_ASSIGN(a, l.b.reshape(a, {Dim(1), l.b.shape(a)[0]}));
  }
  if (column) {
    const Dim n = l.b.shape(b)[0];
    KILN_ASSIGN(b, l.b.reshape(b, transpose_b ? Shape{Dim(1), n} : Shape{n, Dim(1)}));
  }
  const DType dtype = l.b.value(a).dtype;
  const bool integers = dtype != DType::f32 && dtype != DType::boolean && dtype == l.b.value(b).dtype;
  KILN_ASSIGN(ValueId y, integers ? integer_matmul(l, a, b, transpose_b) : l.b.matmul(a, b, transpose_b));
  Shape shape = l.b.shape(y);
  if (column) shape.pop_back();
  if (row) shape.erase(shape.end() - (column ? 1 : 2));
  return l.b.reshape(y, shape);
}

Status matmul(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId a, l.need(node, 0));
  KILN_ASSIGN(const ValueId b, l.need(node, 1));
  KILN_ASSIGN(const ValueId y, product(l, a, b, false));
  return l.set(node, y);
}

Status linear(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId w, l.need(node, 1));
  KILN_ASSIGN(const ValueId raw, product(l, x, w, true));
  KILN_ASSIGN(const ValueId y, add_bias(l, raw, l.in(node, 2)));
  return l.set(node, y);
}

/// beta · self + alpha · (a b): addmm, addmv, baddbmm.
Status add_product(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId self, l.need(node, 0));
  KILN_ASSIGN(const ValueId a, l.need(node, 1));
  KILN_ASSIGN(const ValueId b, l.need(node, 2));
  KILN_ASSIGN(const ValueId raw, product(l, a, b, false));
  KILN_ASSIGN(const ValueId scaled, scale(l, raw, l.number(node, "alpha", 1)));
  const double beta = l.number(node, "beta", 1);
  KILN_ASSIGN(const ValueId y, add_bias(l, scaled, beta == 0 ? kNoValue : self, beta));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> contraction_ops() {
  return {
      {"aten.addmm.default", add_product},
      {"aten.addmv.default", add_product},
      {"aten.baddbmm.default", add_product},
      {"aten.bmm.default", matmul},
      {"aten.conv1d.default", convolution},
      {"aten.conv2d.default", convolution},
      {"aten.conv_transpose1d.default", convolution},
      {"aten.conv_transpose2d.input", convolution},
      {"aten.convolution.default", convolution},
      {"aten.dot.default", matmul},
      {"aten.linear.default", linear},
      {"aten.matmul.default", matmul},
      {"aten.mm.default", matmul},
      {"aten.mv.default", matmul},
  };
}

}  // namespace kiln
