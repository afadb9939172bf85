// Attention of ONNX and of com.microsoft.
#include <algorithm>
#include <cmath>

#include "ir/onnx/heads.h"

namespace kiln {
namespace {

struct Heads {
  ValueId q, k, v, mask = kNoValue;  ///< [B, h, S, e]
  ValueId lengths = kNoValue;        ///< [B]: so many keys count, and the last query stands at the last of them
  bool causal = false;
  int64_t past = 0;               ///< keys that stood there before
  int64_t left = -1, right = -1;  ///< how many keys before and behind its own a query sees; -1: all
  double scale = 0;               ///< 0: one over the root of the width
  bool spelled_out = false;       ///< the mask says all: nothing is left to `causal`
};

/// Which keys each query sees by its place: [queries, keys], or [B, 1, queries, keys].
Result<ValueId> seen_by_place(Legalizer& l, const Heads& h, int64_t queries, int64_t keys) {
  KILN_ASSIGN(const ValueId query, ramp(l, queries, {Dim(queries), Dim(1)}));
  KILN_ASSIGN(const ValueId key, ramp(l, keys, {Dim(keys)}));
  const int64_t behind = std::min(h.causal ? 0 : h.right, kMaxElements), before = std::min(h.left, kMaxElements);
  std::vector<ValueId> operands{query, key};
  Fx f;
  Term own = f.in(0, Lane::i64) + f.whole(h.past, Lane::i64);
  const Term at = f.in(1, Lane::i64);
  Term t = f.to(f.whole(1, Lane::i32), Lane::mask);
  if (h.lengths != kNoValue) {
    KILN_ASSIGN(ValueId lengths, l.b.cast(h.lengths, DType::i64));
    KILN_ASSIGN(lengths, l.b.reshape(lengths, {l.b.shape(h.q)[0], Dim(1), Dim(1), Dim(1)}));
    operands.push_back(lengths);
    own = own + f.in(2, Lane::i64) - f.whole(queries, Lane::i64);
    t = f.bin(PointOp::lt, at, f.in(2, Lane::i64));
  }
  if (behind >= 0) t = f.bin(PointOp::le, at, own + f.whole(behind, Lane::i64));
  if (before >= 0) t = f.bin(PointOp::logical_and, t, f.bin(PointOp::ge, at, own - f.whole(before, Lane::i64)));
  return l.b.map(f.finish(t), operands, DType::boolean);
}

/// The mask, with what a query sees by its place; what is left to do for `causal` is said there.
Status mask_places(Legalizer& l, Heads& h) {
  for (const ValueId id : {h.q, h.k, h.v})
    if (l.b.rank(id) != 4) return misfit("4 dims are expected: batch, heads, positions, width");
  const int64_t queries = l.b.shape(h.q)[2].value, keys = l.b.shape(h.k)[2].value;
  const bool windows = h.left >= 0 || (h.right >= 0 && !h.causal) || h.lengths != kNoValue || h.spelled_out;
  if (h.causal && queries == 1 && keys == h.past + 1 && h.lengths == kNoValue) h.causal = false;  // it sees all of them
  if (!windows && !(h.causal && (h.past || queries != keys || h.mask != kNoValue))) return ok();
  if (h.spelled_out && !h.causal && h.left < 0 && h.right < 0 && h.lengths == kNoValue) return ok();
  KILN_ASSIGN(const ValueId seen, seen_by_place(l, h, queries, keys));
  h.causal = false;
  if (h.mask == kNoValue) {
    h.mask = seen;
  } else if (l.b.value(h.mask).dtype == DType::boolean) {
    KILN_ASSIGN(h.mask, l.call("aten.logical_and.default", {h.mask, seen}));
  } else {
    Fx f;
    const Term t = f.where(f.in(1, Lane::mask), f.in(0), f.c(-INFINITY));
    KILN_ASSIGN(h.mask, l.b.map(f.finish(t), {h.mask, seen}, DType::f32));
  }
  return ok();
}

Result<ValueId> attend(Legalizer& l, Heads h) {
  KILN_TRY(mask_places(l, h));
  std::vector<SourceAttr> attrs{{"is_causal", h.causal}, {"enable_gqa", true}};
  if (h.scale != 0) attrs.push_back({"scale", h.scale});
  return l.call("aten.scaled_dot_product_attention.default", {h.q, h.k, h.v, h.mask}, std::move(attrs));
}

/// What a mask adds to the scores: 0 or −infinity where it is boolean.
Result<ValueId> as_bias(Legalizer& l, ValueId mask) {
  if (mask == kNoValue || l.b.value(mask).dtype != DType::boolean) return mask;
  Fx f;
  return l.b.map(f.finish(f.where(f.in(0, Lane::mask), f.c(0), f.c(-INFINITY))), {mask}, DType::f32);
}

/// Probabilities of the scores plus the bias. A query that may see nothing has none, whatever its scores are.
Result<ValueId> probabilities(Legalizer& l, ValueId scores, ValueId bias) {
  KILN_ASSIGN(const ValueId p, l.b.softmax(scores, l.b.rank(scores) - 1));
  if (bias == kNoValue) return p;
  ReduceAttrs over;
  over.kind = ReduceKind::max, over.axes = {l.b.rank(bias) - 1}, over.keepdim = true;
  KILN_ASSIGN(const ValueId most, l.b.reduce(bias, over));
  Fx f;
  const Term t = f.where(f.bin(PointOp::eq, f.in(1), f.c(-INFINITY)), f.c(0), f.in(0));
  return l.b.map(f.finish(t), {p, most}, DType::f32);
}

/// The same where somebody wants to see the scores, or caps them: `mode` says at which stage (0 the product, 1 capped,
/// 2 masked, 3 probabilities). Makes the scores and the result.
Status spell_out(Legalizer& l, Heads h, double cap, int64_t mode, ValueId* scores, ValueId* result) {
  h.spelled_out = true;
  KILN_TRY(mask_places(l, h));
  const Shape sq = l.b.shape(h.q), sk = l.b.shape(h.k);
  if (sk[1].value < 1 || sq[1].value % sk[1].value) return misfit("the query heads are no multiple of the key heads");
  const Dim groups(sk[1]), times(sq[1].value / sk[1].value);
  KILN_ASSIGN(const ValueId q, l.b.reshape(h.q, {sq[0], groups, Dim(times.value * sq[2].value), sq[3]}));
  KILN_ASSIGN(ValueId s, l.b.matmul(q, h.k, true));
  KILN_ASSIGN(s, l.b.reshape(s, {sq[0], sq[1], sq[2], sk[2]}));
  const double scale = h.scale != 0 ? h.scale : 1 / std::sqrt(static_cast<double>(sq[3].value));
  Fx f;
  Term t = f.in(0) * scale;
  if (cap > 0) t = f.un(PointOp::tanh, t / cap) * cap;
  KILN_ASSIGN(s, l.b.map(f.finish(t), {s}, DType::f32));
  *scores = s;
  KILN_ASSIGN(const ValueId bias, as_bias(l, h.mask));
  KILN_ASSIGN(s, plus(l, s, bias));
  if (mode == 2) *scores = s;
  KILN_ASSIGN(s, probabilities(l, s, bias));
  if (mode == 3) *scores = s;
  KILN_ASSIGN(const ValueId p, l.b.reshape(s, {sq[0], groups, Dim(times.value * sq[2].value), sk[2]}));
  KILN_ASSIGN(const ValueId y, l.b.matmul(p, h.v));
  KILN_ASSIGN(*result, l.b.reshape(y, {sq[0], sq[1], sq[2], l.b.shape(h.v)[3]}));
  return ok();
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
  const double cap = l.number(node, "softcap", 0);
  const int64_t mode = l.integer(node, "qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) return misfit(node.source + ": there is no such mode");
  const bool flat = l.b.rank(q) == 3;
  if (flat) {
    KILN_ASSIGN(q, to_heads(l, q, l.integer(node, "q_num_heads", 0)));
    KILN_ASSIGN(k, to_heads(l, k, l.integer(node, "kv_num_heads", 0)));
    KILN_ASSIGN(v, to_heads(l, v, l.integer(node, "kv_num_heads", 0)));
  }
  pass_over(l, node, {"softmax_precision"});
  Heads h{q, k, v};
  h.mask = l.in(node, 3), h.lengths = l.in(node, 6);
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
  ValueId y = kNoValue, scores = kNoValue;
  if (cap > 0 || l.wants(node, 3)) {
    KILN_TRY(spell_out(l, h, cap, mode, &scores, &y));
    KILN_TRY(l.wants(node, 3) ? l.set(node, scores, 3) : ok());
  } else {
    KILN_ASSIGN(y, attend(l, h));
  }
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

}  // namespace

std::vector<OpRow> onnx_attention_ops() {
  return {
      {"com.microsoft.MultiHeadAttention", multi_head_attention},
      {"onnx.Attention", attention},
  };
}

}  // namespace kiln
