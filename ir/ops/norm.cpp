// Softmax and normalisations.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

template <bool kLog>
Status softmax(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  const Shape shape = l.b.shape(x);
  KILN_ASSIGN(const ValueId rows, l.b.reshape(x, shape.empty() ? Shape{1} : shape));  // a number is a row of one
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", -1), l.b.rank(rows)));
  KILN_ASSIGN(const ValueId normed, l.b.softmax(rows, axis, kLog));
  KILN_ASSIGN(const ValueId y, l.b.reshape(normed, shape));
  return l.set(node, y);
}

/// Normalises over as many of the last dims as normalized_shape has. Mean and deviation, further outputs of the native
/// form, are not computed.
template <NormKind kKind>
Status layer_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  const auto dims = static_cast<int64_t>(l.integers(node, "normalized_shape").size());
  NormAttrs attrs;
  attrs.kind = kKind;
  attrs.axis = l.b.rank(x) - dims;
  // rms_norm without eps uses that of float32
  attrs.eps = l.number(node, "eps", kKind == NormKind::rms_norm ? 1.1920928955078125e-07 : 1e-5);
  if (dims < 1 || attrs.axis < 0) return misfit(node.source + ": normalized_shape does not fit the input");
  KILN_ASSIGN(const ValueId y,
              l.b.layer_norm(x, l.in(node, 1), kKind == NormKind::layer_norm ? l.in(node, 2) : kNoValue, attrs));
  return l.set(node, y);
}

/// A per-channel vector against [N, C, ...].
Result<ValueId> per_channel(Legalizer& l, ValueId v, ValueId x) {
  Shape shape(static_cast<size_t>(std::max<int64_t>(l.b.rank(x) - 1, 1)), Dim(1));
  shape[0] = l.b.rank(v) == 1 ? l.b.shape(v)[0] : Dim(-1);
  return l.b.reshape(v, shape);
}

/// x · scale + shift per channel; either may be absent.
Result<ValueId> affine(Legalizer& l, ValueId x, ValueId scale, ValueId shift) {
  if (scale == kNoValue && shift == kNoValue) return x;
  std::vector<ValueId> operands{x};
  Fx f;
  Term t = f.in(0);
  for (ValueId v : {scale, shift}) {
    if (v == kNoValue) continue;
    const Term operand = f.in(static_cast<int>(operands.size()));
    t = v == scale ? t * operand : t + operand;
    KILN_ASSIGN(const ValueId shaped, per_channel(l, v, x));
    operands.push_back(shaped);
  }
  return l.b.map(f.finish(t), std::move(operands), DType::f32);
}

/// The form for inference. The load computes scale = gamma / sqrt(var + eps) and shift = beta − mean · scale from the
/// weights.
Status batch_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const ValueId mean, l.need_f32(node, 3));
  KILN_ASSIGN(const ValueId var, l.need_f32(node, 4));
  if (l.flag(node, "training", false) || l.flag(node, "train", false))
    return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  const ValueId gamma = l.in(node, 1), beta = l.in(node, 2);
  Fx scale_of, shift_of;
  Term s = scale_of.un(PointOp::rsqrt, scale_of.in(0) + l.number(node, "eps", 1e-5));
  std::vector<ValueId> scale_operands{var}, shift_operands{mean};
  if (gamma != kNoValue) s = s * scale_of.in(1), scale_operands.push_back(gamma);
  KILN_ASSIGN(const ValueId scale, l.b.map(scale_of.finish(s), scale_operands, DType::f32));
  Term t = shift_of.in(0) * shift_of.in(1);
  shift_operands.push_back(scale);
  if (beta != kNoValue)
    t = shift_of.in(2) - t, shift_operands.push_back(beta);
  else
    t = shift_of.un(PointOp::neg, t);
  KILN_ASSIGN(const ValueId shift, l.b.map(shift_of.finish(t), shift_operands, DType::f32));
  KILN_ASSIGN(const ValueId y, affine(l, x, scale, shift));
  return l.set(node, y);
}

/// The mean of each group, repeated for each of its channels: [N, C, 1, …] from the means of the channels.
Result<ValueId> mean_of_groups(Legalizer& l, ValueId means, int64_t groups) {
  const Shape s = l.b.shape(means);
  const Dim each(s[1].value / groups);
  if (each == Dim(1)) return means;
  KILN_ASSIGN(const ValueId apart, l.b.reshape(means, {s[0], Dim(groups), each}));
  KILN_ASSIGN(const ValueId mean, l.b.reduce(apart, {ReduceKind::mean, {2}, true}));
  KILN_ASSIGN(const ValueId again, l.b.expand(mean, {s[0], Dim(groups), each}));
  return l.b.reshape(again, s);
}

/// Normalises each group of channels, with all its pixels, by its mean and variance, then scales and shifts per
/// channel. It sums over pixels first. Images lie channels last, so every pass reads them in memory order.
Result<ValueId> normalize_groups(Legalizer& l, ValueId x, int64_t groups, double eps, ValueId gamma, ValueId beta) {
  if (is_empty(l.b.shape(x))) return x;
  std::vector<int64_t> pixels;
  for (int64_t i = 2; i < l.b.rank(x); ++i) pixels.push_back(i);
  const auto mean_of = [&](ValueId of) -> Result<ValueId> {
    if (pixels.empty()) return mean_of_groups(l, of, groups);
    KILN_ASSIGN(const ValueId means, l.b.reduce(of, {ReduceKind::mean, pixels, true}));
    return mean_of_groups(l, means, groups);
  };
  KILN_ASSIGN(const ValueId mean, mean_of(x));
  Fx square, factor;
  const Term d = square.in(0) - square.in(1);
  KILN_ASSIGN(const ValueId squares, l.b.map(square.finish(d * d), {x, mean}, DType::f32));
  KILN_ASSIGN(const ValueId variance, mean_of(squares));
  std::vector<ValueId> operands{variance};
  Term f = factor.un(PointOp::rsqrt, factor.in(0) + eps);
  if (gamma != kNoValue) {
    f = f * factor.in(1);
    KILN_ASSIGN(const ValueId shaped, per_channel(l, gamma, x));
    operands.push_back(shaped);
  }
  KILN_ASSIGN(const ValueId scale, l.b.map(factor.finish(f), std::move(operands), DType::f32));
  Fx centred;
  KILN_ASSIGN(const ValueId y,
              l.b.map(centred.finish((centred.in(0) - centred.in(1)) * centred.in(2)), {x, mean, scale}, DType::f32));
  return affine(l, y, kNoValue, beta);
}

Status group_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  const Shape s = l.b.shape(x);
  const int64_t groups = l.integer(node, l.has(node, "num_groups") ? "num_groups" : "group", 1);
  if (s.size() < 2 || groups < 1 || s[1].value % groups)
    return misfit(node.source + ": the groups do not divide the channels");
  KILN_ASSIGN(const ValueId y,
              normalize_groups(l, x, groups, l.number(node, "eps", 1e-5), l.in(node, 1), l.in(node, 2)));
  return l.set(node, y);
}

Status instance_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  if (!l.flag(node, "use_input_stats", true)) return batch_norm(l, node);
  const Shape s = l.b.shape(x);
  if (s.size() < 3) return misfit(node.source + ": at least 3 dims are needed");
  KILN_ASSIGN(const ValueId y,
              normalize_groups(l, x, s[1].value, l.number(node, "eps", 1e-5), l.in(node, 1), l.in(node, 2)));
  return l.set(node, y);
}

/// Batch norm with the statistics of the batch, which instance norm becomes. Each channel is one row.
Status own_statistics(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  const Shape s = l.b.shape(x);
  if (s.size() < 2) return misfit(node.source + ": at least 2 dims are needed");
  std::vector<int64_t> channel_first{1, 0};
  for (int64_t i = 2; i < l.b.rank(x); ++i) channel_first.push_back(i);  // its own inverse
  NormAttrs attrs;
  attrs.kind = NormKind::layer_norm;
  attrs.axis = 1;
  attrs.eps = l.number(node, "eps", 1e-5);
  if (is_empty(s)) return l.set(node, x);
  KILN_ASSIGN(const ValueId swapped, l.b.permute(x, channel_first));
  KILN_ASSIGN(const ValueId rows, l.b.reshape(swapped, {s[1], Dim(element_count(s) / s[1].value)}));
  KILN_ASSIGN(const ValueId normed, l.b.layer_norm(rows, kNoValue, kNoValue, attrs));
  KILN_ASSIGN(const ValueId apart, l.b.reshape(normed, Shape(l.b.shape(swapped))));
  KILN_ASSIGN(const ValueId back, l.b.permute(apart, channel_first));
  KILN_ASSIGN(const ValueId y, affine(l, back, l.in(node, 1), l.in(node, 2)));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> norm_ops() {
  return {
      {"aten._log_softmax.default", softmax<true>},
      {"aten._native_batch_norm_legit_no_training.default", batch_norm},
      {"aten._native_batch_norm_legit.no_stats", own_statistics},
      {"aten._softmax.default", softmax<false>},
      {"aten.batch_norm.default", batch_norm},
      {"aten.group_norm.default", group_norm},
      {"aten.instance_norm.default", instance_norm},
      {"aten.layer_norm.default", layer_norm<NormKind::layer_norm>},
      {"aten.log_softmax.int", softmax<true>},
      {"aten.native_batch_norm.default", batch_norm},
      {"aten.native_group_norm.default", group_norm},
      {"aten.native_layer_norm.default", layer_norm<NormKind::layer_norm>},
      {"aten.rms_norm.default", layer_norm<NormKind::rms_norm>},
      {"aten.softmax.int", softmax<false>},
  };
}

}  // namespace kiln
