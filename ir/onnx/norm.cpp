// ONNX: normalisations.
#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Status batch_norm(Legalizer& l, const Node& node) {
  if (l.flag(node, "training_mode", false))
    return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  for (size_t i = 1; i < node.outputs.size(); ++i)
    if (l.wants(node, i)) return l.unsupported(node, "statistics are outputs of training alone");
  if (!l.flag(node, "spatial", true)) return l.unsupported(node, "statistics of each element are not supported");
  pass_over(l, node, {"momentum"});
  return as(l, node, "aten.batch_norm.default", {{"eps", l.number(node, "epsilon", 1e-5)}});
}

Status instance_norm(Legalizer& l, const Node& node) {
  return as(l, node, "aten.instance_norm.default", {{"eps", l.number(node, "epsilon", 1e-5)}});
}

/// From opset 21 on scale and shift are per channel, before per group.
Status group_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId scale, l.need(node, 1));
  KILN_ASSIGN(ValueId shift, l.need(node, 2));
  pass_over(l, node, {"stash_type"});  // float32 it is
  const int64_t groups = l.integer(node, "num_groups", 1);
  if (l.b.rank(x) < 2 || groups < 1) return misfit(node.source + ": at least 2 dims and one group are needed");
  const int64_t channels = l.b.shape(x)[1].value;
  for (ValueId* v : {&scale, &shift}) {
    if (element_count(l.b.shape(*v)) != groups || groups == channels) continue;
    if (channels % groups) return misfit(node.source + ": the groups do not divide the channels");
    KILN_ASSIGN(*v, l.b.reshape(*v, {Dim(groups), Dim(1)}));
    KILN_ASSIGN(*v, l.b.expand(*v, {Dim(groups), Dim(channels / groups)}));
    KILN_ASSIGN(*v, l.b.reshape(*v, {Dim(channels)}));
  }
  KILN_ASSIGN(const ValueId y, l.call("aten.group_norm.default", {x, scale, shift},
                                      {{"num_groups", groups}, {"eps", l.number(node, "epsilon", 1e-5)}}));
  return l.set(node, y);
}

/// Over the dims from `axis` on. Mean and one over the deviation are computed where somebody reads them.
template <NormKind kKind>
Status layer_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -1), l.b.rank(x)));
  pass_over(l, node, {"stash_type"});
  const Shape s = l.b.shape(x), inner(s.begin() + axis, s.end());
  const auto fitted = [&](ValueId v) -> Result<ValueId> {
    if (v == kNoValue || l.b.shape(v) == inner) return v;
    if (element_count(l.b.shape(v)) == element_count(inner)) return l.b.reshape(v, inner);
    return l.b.expand(v, inner);
  };
  KILN_ASSIGN(const ValueId scale, fitted(l.in(node, 1)));
  KILN_ASSIGN(const ValueId shift, fitted(kKind == NormKind::layer_norm ? l.in(node, 2) : kNoValue));
  NormAttrs attrs;
  attrs.kind = kKind;
  attrs.axis = axis;
  attrs.eps = l.number(node, "epsilon", 1e-5);
  KILN_ASSIGN(const ValueId y, l.b.layer_norm(x, scale, shift, attrs));
  KILN_TRY(l.set(node, y));
  if (!l.wants(node, 1) && !l.wants(node, 2)) return ok();
  const std::vector<int64_t> axes = all_axes(l.b.rank(x), axis);
  KILN_ASSIGN(const ValueId mean, l.b.reduce(x, {ReduceKind::mean, axes, true}));
  Fx square, factor;
  const Term d = kKind == NormKind::layer_norm ? square.in(0) - square.in(1) : square.in(0);
  std::vector<ValueId> operands{x};
  if (kKind == NormKind::layer_norm) operands.push_back(mean);
  KILN_ASSIGN(const ValueId squares, l.b.map(square.finish(d * d), operands, DType::f32));
  KILN_ASSIGN(const ValueId variance, l.b.reduce(squares, {ReduceKind::mean, axes, true}));
  KILN_ASSIGN(const ValueId inverse,
              l.b.map(factor.finish(factor.un(PointOp::rsqrt, factor.in(0) + attrs.eps)), {variance}, DType::f32));
  KILN_TRY(l.set(node, kKind == NormKind::layer_norm ? mean : inverse, 1));
  return l.set(node, inverse, 2);
}

/// 0 where there is nothing to divide by.
Status lp_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -1), l.b.rank(x)));
  KILN_ASSIGN(const ValueId norm, l.call("aten.linalg_vector_norm.default", {x},
                                         {{"ord", static_cast<double>(l.integer(node, "p", 2))},
                                          {"dim", std::vector<int64_t>{axis}},
                                          {"keepdim", true}}));
  Fx f;
  const Term zero = f.c(0), t = f.where(f.bin(PointOp::eq, f.in(1), zero), zero, f.in(0) / f.in(1));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x, norm}, DType::f32));
  return l.set(node, y);
}

Status mean_variance(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  std::vector<int64_t> given = l.integers(node, "axes");
  if (given.empty()) given = {0, 2, 3};
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, given, l.b.rank(x)));
  KILN_ASSIGN(const ValueId mean, l.b.reduce(x, {ReduceKind::mean, axes, true}));
  Fx square, f;
  const Term d = square.in(0) - square.in(1);
  KILN_ASSIGN(const ValueId squares, l.b.map(square.finish(d * d), {x, mean}, DType::f32));
  KILN_ASSIGN(const ValueId variance, l.b.reduce(squares, {ReduceKind::mean, axes, true}));
  const Term t = (f.in(0) - f.in(1)) / (f.un(PointOp::sqrt, f.in(2)) + 1e-9);
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x, mean, variance}, DType::f32));
  return l.set(node, y);
}

/// Sums of `size` neighbours on axis 1, as a pooling of images of channels × pixels.
Result<ValueId> pooled_neighbours(Legalizer& l, ValueId x, int64_t size) {
  const Shape s = l.b.shape(x);
  const Dim pixels(element_count(Shape(s.begin() + 2, s.end())));
  KILN_ASSIGN(const ValueId rows, l.b.reshape(x, {s[0], Dim(1), s[1], pixels}));
  PoolAttrs a;
  a.kind = WindowKind::average;
  a.kernel = {size, 1};
  a.pad_begin = {(size - 1) / 2, 0};
  a.pad_end = {size - 1 - (size - 1) / 2, 0};
  a.divisor = 1;
  KILN_ASSIGN(const ValueId pooled, l.b.pool(rows, a));
  return l.b.reshape(pooled, s);
}

/// The same, as `size` views of x with zeros around it.
Result<std::vector<ValueId>> shifted_neighbours(Legalizer& l, ValueId x, int64_t size) {
  const Shape s = l.b.shape(x);
  PadAttrs a;
  a.before.resize(s.size());
  a.after.resize(s.size());
  a.before[1] = (size - 1) / 2;
  a.after[1] = size - 1 - a.before[1];
  KILN_ASSIGN(const ValueId padded, l.b.pad(x, a));
  std::vector<ValueId> shifted;
  for (int64_t i = 0; i < size; ++i) {
    KILN_ASSIGN(const ValueId part, l.b.slice_axis(padded, 1, i, s[1].value));
    shifted.push_back(part);
  }
  return shifted;
}

/// Local response: each element by a power of a sum of squares of neighbouring channels.
Status local_response(Legalizer& l, const Node& node) {
  constexpr int64_t kFew = 9;  // operands of one map; networks take 5
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const int64_t size = l.integer(node, "size", 1);
  if (l.b.rank(x) < 2 || size < 1 || size > 65536)
    return misfit(node.source + ": at least 2 dims and a size are needed");
  KILN_ASSIGN(const ValueId squares, l.call("aten.square.default", {x}));
  std::vector<ValueId> operands{x};
  if (size <= kFew) {
    KILN_ASSIGN(const std::vector<ValueId> shifted, shifted_neighbours(l, squares, size));
    operands.insert(operands.end(), shifted.begin(), shifted.end());
  } else {
    KILN_ASSIGN(const ValueId pooled, pooled_neighbours(l, squares, size));
    operands.push_back(pooled);
  }
  Fx f;
  Term sum = f.in(1);
  for (size_t i = 2; i < operands.size(); ++i) sum = sum + f.in(static_cast<int>(i));
  const Term base = sum * (l.number(node, "alpha", 1e-4) / static_cast<double>(size)) + l.number(node, "bias", 1);
  const Term t = f.in(0) / f.bin(PointOp::pow, base, f.c(l.number(node, "beta", 0.75)));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), operands, DType::f32));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_norm_ops() {
  return {
      {"com.microsoft.LayerNormalization", layer_norm<NormKind::layer_norm>},
      {"com.microsoft.SimplifiedLayerNormalization", layer_norm<NormKind::rms_norm>},
      {"onnx.BatchNormalization", batch_norm},
      {"onnx.GroupNormalization", group_norm},
      {"onnx.InstanceNormalization", instance_norm},
      {"onnx.LRN", local_response},
      {"onnx.LayerNormalization", layer_norm<NormKind::layer_norm>},
      {"onnx.LpNormalization", lp_norm},
      {"onnx.MeanVarianceNormalization", mean_variance},
      {"onnx.RMSNormalization", layer_norm<NormKind::rms_norm>},
      {"onnx.SimplifiedLayerNormalization", layer_norm<NormKind::rms_norm>},
  };
}

}  // namespace kiln
