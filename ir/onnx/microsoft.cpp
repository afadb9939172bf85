// Operators of com.microsoft that onnxruntime's optimiser and transformers.js's files have, and ONNX's own attention.
#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Result<ValueId> plus(Legalizer& l, ValueId a, ValueId b) {
  if (b == kNoValue) return a;
  return l.call("aten.add.Tensor", {a, b});
}

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

/// [B, S, h·e] → [B, h, S, e].
Result<ValueId> to_heads(Legalizer& l, ValueId x, int64_t heads) {
  const Shape s = l.b.shape(x);
  if (s.size() != 3 || heads < 1 || s[2].value % heads) return misfit("the heads do not divide the width");
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], Dim(heads), Dim(s[2].value / heads)}));
  return l.b.permute(x, {0, 2, 1, 3});
}

Result<ValueId> from_heads(Legalizer& l, ValueId x) {
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3}));
  const Shape s = l.b.shape(x);
  return l.b.reshape(x, {s[0], s[1], Dim(s[2].value * s[3].value)});
}

struct Heads {
  ValueId q, k, v, mask = kNoValue;  ///< [B, h, S, e]
  bool causal = false;
  int64_t past = 0;               ///< keys that stood there before
  int64_t left = -1, right = -1;  ///< how many keys before and behind its own a query sees; -1: all
  double scale = 0;               ///< 0: one over the root of the width
};

/// Which keys each query sees by its place.
Result<ValueId> seen_by_place(Legalizer& l, const Heads& h, int64_t queries, int64_t keys) {
  KILN_ASSIGN(const ValueId query, ramp(l, queries, {Dim(queries), Dim(1)}));
  KILN_ASSIGN(const ValueId key, ramp(l, keys, {Dim(keys)}));
  const int64_t behind = std::min(h.causal ? 0 : h.right, kMaxElements), before = std::min(h.left, kMaxElements);
  Fx f;
  const Term own = f.in(0, Lane::i64) + f.whole(h.past, Lane::i64), at = f.in(1, Lane::i64);
  Term t = f.to(f.whole(1, Lane::i32), Lane::mask);
  if (behind >= 0) t = f.bin(PointOp::le, at, own + f.whole(behind, Lane::i64));
  if (before >= 0) t = f.bin(PointOp::logical_and, t, f.bin(PointOp::ge, at, own - f.whole(before, Lane::i64)));
  return l.b.map(f.finish(t), {query, key}, DType::boolean);
}

Result<ValueId> attend(Legalizer& l, Heads h) {
  for (const ValueId id : {h.q, h.k, h.v})
    if (l.b.rank(id) != 4) return misfit("4 dims are expected: batch, heads, positions, width");
  const int64_t queries = l.b.shape(h.q)[2].value, keys = l.b.shape(h.k)[2].value;
  const bool windows = h.left >= 0 || (h.right >= 0 && !h.causal);
  bool causal = h.causal;
  if (causal && queries == 1 && keys == h.past + 1) causal = false;  // it sees all of them
  if (windows || (causal && (h.past || queries != keys || h.mask != kNoValue))) {
    KILN_ASSIGN(const ValueId seen, seen_by_place(l, h, queries, keys));
    if (h.mask == kNoValue) {
      h.mask = seen;
    } else if (l.b.value(h.mask).dtype == DType::boolean) {
      KILN_ASSIGN(h.mask, l.call("aten.logical_and.default", {h.mask, seen}));
    } else {
      Fx f;
      const Term t = f.where(f.in(1, Lane::mask), f.in(0), f.c(-INFINITY));
      KILN_ASSIGN(h.mask, l.b.map(f.finish(t), {h.mask, seen}, DType::f32));
    }
    causal = false;
  }
  std::vector<SourceAttr> attrs{{"is_causal", causal}, {"enable_gqa", true}};
  if (h.scale != 0) attrs.push_back({"scale", h.scale});
  return l.call("aten.scaled_dot_product_attention.default", {h.q, h.k, h.v, h.mask}, std::move(attrs));
}

/// Keys or values of earlier runs in front of those of this one.
Result<ValueId> joined(Legalizer& l, ValueId past, ValueId now) {
  if (past == kNoValue) return now;
  return l.b.concat({past, now}, 2);
}

/// How many positions [B, h, S, e] has.
Result<int64_t> positions(Legalizer& l, ValueId x) {
  if (x == kNoValue) return 0;
  if (l.b.rank(x) != 4) return misfit("4 dims are expected: batch, heads, positions, width");
  return l.b.shape(x)[2].value;
}

Result<ValueId> added_mask(Legalizer& l, ValueId mask, ValueId bias) {
  if (bias == kNoValue) return mask;
  return mask == kNoValue ? Result<ValueId>(bias) : l.call("aten.add.Tensor", {mask, bias});
}

/// ONNX's Attention: [B, h, S, e], or [B, S, h·e] with the numbers of heads.
Status attention(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId q, l.need(node, 0));
  KILN_ASSIGN(ValueId k, l.need(node, 1));
  KILN_ASSIGN(ValueId v, l.need(node, 2));
  if (l.number(node, "softcap", 0) != 0) return l.unsupported(node, "softcap is not supported");
  if (l.wants(node, 3)) return l.unsupported(node, "scores as an output are not supported");
  if (l.in(node, 6) != kNoValue) return l.unsupported(node, "nonpad_kv_seqlen is not supported");
  const bool flat = l.b.rank(q) == 3;
  if (flat) {
    KILN_ASSIGN(q, to_heads(l, q, l.integer(node, "q_num_heads", 0)));
    KILN_ASSIGN(k, to_heads(l, k, l.integer(node, "kv_num_heads", 0)));
    KILN_ASSIGN(v, to_heads(l, v, l.integer(node, "kv_num_heads", 0)));
  }
  pass_over(l, node, {"softmax_precision", "qk_matmul_output_mode"});
  Heads h{q, k, v};
  h.mask = l.in(node, 3);
  KILN_ASSIGN(h.past, positions(l, l.in(node, 4)));
  KILN_ASSIGN(h.k, joined(l, l.in(node, 4), k));
  KILN_ASSIGN(h.v, joined(l, l.in(node, 5), v));
  h.causal = l.flag(node, "is_causal", false);
  h.left = l.integer(node, "left_window_size", -1), h.right = l.integer(node, "right_window_size", -1);
  h.scale = l.number(node, "scale", 0);
  if (h.mask != kNoValue) {  // shorter than the keys: what it does not reach is not seen
    const Shape s = l.b.shape(h.mask);
    KILN_ASSIGN(const int64_t keys, positions(l, h.k));
    if (!s.empty() && s.back().value < keys && s.back().value != 1) {
      PadAttrs pad;
      pad.before.assign(s.size(), 0);
      pad.after = pad.before;
      pad.after.back() = keys - s.back().value;
      pad.value = -INFINITY;
      KILN_ASSIGN(h.mask, l.b.pad(h.mask, pad));
    }
  }
  KILN_ASSIGN(ValueId y, attend(l, h));
  if (flat) {
    KILN_ASSIGN(y, from_heads(l, y));
  }
  KILN_TRY(l.set(node, y));
  KILN_TRY(l.wants(node, 1) ? l.set(node, h.k, 1) : ok());
  return l.wants(node, 2) ? l.set(node, h.v, 2) : ok();
}

/// com.microsoft: query, key and value as [B, S, h·e], or keys and values already in heads.
Status multi_head_attention(Legalizer& l, const Node& node) {
  const int64_t heads = l.integer(node, "num_heads", 0);
  KILN_ASSIGN(ValueId q, l.need(node, 0));
  KILN_ASSIGN(ValueId k, l.need(node, 1));
  KILN_ASSIGN(ValueId v, l.need(node, 2));
  if (l.b.rank(q) != 3) return l.unsupported(node, "packed queries, keys and values are not supported");
  if (l.in(node, 4) != kNoValue) return l.unsupported(node, "key_padding_mask is not supported");
  if (const ValueId bias = l.in(node, 3); bias != kNoValue) {
    if (l.b.rank(bias) != 1) return misfit(node.source + ": the bias has one dim");
    const int64_t width = l.b.shape(q)[2].value;
    ValueId* parts[] = {&q, &k, &v};
    for (size_t i = 0; i < 3; ++i) {
      const int64_t from = i < 2 ? static_cast<int64_t>(i) * width : 2 * width;
      const int64_t count = i < 2 ? width : l.b.shape(bias)[0].value - 2 * width;
      KILN_ASSIGN(const ValueId part, l.b.slice_axis(bias, 0, from, count));
      if (l.b.rank(*parts[i]) == 3) {
        KILN_ASSIGN(*parts[i], plus(l, *parts[i], part));
      }
    }
  }
  KILN_ASSIGN(q, to_heads(l, q, heads));
  if (l.b.rank(k) == 3) {
    KILN_ASSIGN(k, to_heads(l, k, heads));
    KILN_ASSIGN(v, to_heads(l, v, heads));
  }
  Heads h{q, k, v};
  KILN_ASSIGN(h.past, positions(l, l.in(node, 6)));
  KILN_ASSIGN(h.k, joined(l, l.in(node, 6), k));
  KILN_ASSIGN(h.v, joined(l, l.in(node, 7), v));
  KILN_ASSIGN(h.mask, added_mask(l, kNoValue, l.in(node, 5)));
  h.causal = l.flag(node, "unidirectional", false);
  h.scale = l.number(node, "scale", 0);
  KILN_ASSIGN(const ValueId attended, attend(l, h));
  KILN_ASSIGN(const ValueId y, from_heads(l, attended));
  KILN_TRY(l.set(node, y));
  KILN_TRY(l.wants(node, 1) ? l.set(node, h.k, 1) : ok());
  return l.wants(node, 2) ? l.set(node, h.v, 2) : ok();
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
      {"com.microsoft.MultiHeadAttention", multi_head_attention},
      {"com.microsoft.QuickGelu", quick_gelu},
      {"com.microsoft.RotaryEmbedding", rotary_embedding<true>},
      {"com.microsoft.SkipLayerNormalization", skip_norm<NormKind::layer_norm>},
      {"com.microsoft.SkipSimplifiedLayerNormalization", skip_norm<NormKind::rms_norm>},
      {"onnx.Attention", attention},
      {"onnx.RotaryEmbedding", rotary_embedding<false>},
  };
}

}  // namespace kiln
