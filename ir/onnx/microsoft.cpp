// Operators of com.microsoft that onnxruntime's optimiser and transformers.js's files have, and rotary embeddings.
#include <algorithm>
#include <cmath>

#include "ir/onnx/heads.h"

namespace kiln {
namespace {

template <bool kTanh>
Status bias_gelu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(x, plus(l, x, l.in(node, 1)));
  KILN_ASSIGN(const ValueId y,
              l.call("aten.gelu.default", {x}, {{"approximate", std::string(kTanh ? "tanh" : "none")}}));
  return l.set(node, y);
}

Status quick_gelu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  Fx f;
  const Term t = f.in(0) * f.un(PointOp::sigmoid, f.in(0) * l.number(node, "alpha", 1.702));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {x}, DType::f32));
  return l.set(node, y);
}

/// The sum of x, skip and bias, normalised; the sum itself is a further output.
template <NormKind kKind>
Status skip_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId skip, l.need(node, 1));
  constexpr bool kLayer = kKind == NormKind::layer_norm;
  KILN_ASSIGN(x, plus(l, x, skip));
  KILN_ASSIGN(x, plus(l, x, l.in(node, kLayer ? 4 : 3)));
  if (l.b.rank(x) < 1) return misfit(node.source + ": a scalar has no axis");
  NormAttrs attrs;
  attrs.kind = kKind;
  attrs.axis = l.b.rank(x) - 1;
  attrs.eps = l.number(node, "epsilon", 1e-5);
  KILN_ASSIGN(const ValueId y, l.b.layer_norm(x, l.in(node, 2), kLayer ? l.in(node, 3) : kNoValue, attrs));
  KILN_TRY(l.set(node, y));
  for (size_t i = 1; i < 3; ++i)
    if (l.wants(node, i)) return l.unsupported(node, "statistics as outputs are not supported");
  return l.wants(node, 3) ? l.set(node, x, 3) : ok();
}

/// The cosines or sines of each position, as [B, 1, S, r/2].
Result<ValueId> rotations(Legalizer& l, ValueId table, ValueId places, const Shape& x) {
  if (places != kNoValue) {
    if (l.b.rank(table) != 2 || l.b.rank(places) != 2) return misfit("positions of [batch, length] are expected");
    KILN_ASSIGN(table, l.b.gather(table, places, 0));
  }
  Shape s = l.b.shape(table);
  if (s.size() != 3 || s[1] != x[2] || (s[0] != x[0] && s[0] != Dim(1)))
    return misfit("a rotation for each position is expected");
  return l.b.reshape(table, {s[0], Dim(1), s[1], s[2]});
}

/// Pairs of elements turned by an angle of their position: the halves of the first `r` of each head, or neighbours.
template <bool kMicrosoft>
Status rotary_embedding(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId cosines, l.need(node, kMicrosoft ? 2 : 1));
  KILN_ASSIGN(const ValueId sines, l.need(node, kMicrosoft ? 3 : 2));
  const ValueId places = l.in(node, kMicrosoft ? 1 : 3);
  if (l.flag(node, "is_packed_batching", false) || l.number(node, "scale", 1) != 1)
    return l.unsupported(node, "packed batches and scales are not supported");
  const bool flat = l.b.rank(x) == 3, neighbours = l.flag(node, "interleaved", false);
  const int64_t heads = l.integer(node, "num_heads", 0);
  int64_t turned = l.integer(node, "rotary_embedding_dim", 0);
  if (flat) {
    KILN_ASSIGN(x, to_heads(l, x, heads));
  }
  if (l.b.rank(x) != 4) return misfit(node.source + ": 3 or 4 dims are expected");
  const Shape s = l.b.shape(x);
  if (turned == 0) turned = s[3].value;
  if (turned < 2 || turned % 2 || turned > s[3].value) return misfit(node.source + ": that many cannot be turned");
  KILN_ASSIGN(const ValueId rest, l.b.slice_axis(x, 3, turned, s[3].value - turned));
  KILN_ASSIGN(x, l.b.slice_axis(x, 3, 0, turned));
  const Dim half(turned / 2);
  const Shape pairs = neighbours ? Shape{s[0], s[1], s[2], half, Dim(2)} : Shape{s[0], s[1], s[2], Dim(2), half};
  const int64_t axis = neighbours ? 4 : 3;
  KILN_ASSIGN(x, l.b.reshape(x, pairs));
  KILN_ASSIGN(const ValueId cosine, rotations(l, cosines, places, s));
  KILN_ASSIGN(const ValueId sine, rotations(l, sines, places, s));
  ValueId parts[2], made[2];
  for (int64_t i = 0; i < 2; ++i) {
    KILN_ASSIGN(const ValueId part, l.b.slice_axis(x, axis, i, 1));
    KILN_ASSIGN(parts[i], l.b.reshape(part, {s[0], s[1], s[2], half}));
  }
  Shape one = pairs;
  one[static_cast<size_t>(axis)] = Dim(1);
  for (int i = 0; i < 2; ++i) {
    Fx f;
    const Term a = f.in(i)*f.in(2), b = f.in(1 - i) * f.in(3);
    KILN_ASSIGN(const ValueId y,
                l.b.map(f.finish(i == 0 ? a - b : a + b), {parts[0], parts[1], cosine, sine}, DType::f32));
    KILN_ASSIGN(made[i], l.b.reshape(y, one));
  }
  KILN_ASSIGN(ValueId y, l.b.concat({made[0], made[1]}, axis));
  KILN_ASSIGN(y, l.b.reshape(y, {s[0], s[1], s[2], Dim(turned)}));
  KILN_ASSIGN(y, l.b.concat({y, rest}, 3));
  if (flat) {
    KILN_ASSIGN(y, from_heads(l, y));
  }
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_microsoft_ops() {
  return {
      {"com.microsoft.BiasGelu", bias_gelu<false>},
      {"com.microsoft.FastGelu", bias_gelu<true>},
      {"com.microsoft.Gelu", bias_gelu<false>},
      {"com.microsoft.QuickGelu", quick_gelu},
      {"com.microsoft.RotaryEmbedding", rotary_embedding<true>},
      {"com.microsoft.SkipLayerNormalization", skip_norm<NormKind::layer_norm>},
      {"com.microsoft.SkipSimplifiedLayerNormalization", skip_norm<NormKind::rms_norm>},
      {"onnx.RotaryEmbedding", rotary_embedding<false>},
  };
}

}  // namespace kiln
