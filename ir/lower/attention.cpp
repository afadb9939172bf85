// Attention: views to one AttentionSpec, or to products around a softmax.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {

/// One kernel, where batches and heads are at most two loops; else false, and nothing appended. `k` is [..., D, keys].
bool Lowering::append_attention(const View& q, const View& k, const View& v, const View& c, const Fusion& f,
                                const std::string& label) {
  const size_t lead = c.dims.size() - 2;
  const int64_t rows = c.dims[lead], columns = c.dims[lead + 1], depth = q.dims.back(), keys = k.dims.back();
  if (product(c.dims) == 0 || depth == 0 || keys == 0) return false;
  // Packed matrices of B's own batches lie one after the other.
  struct Packed {
    PackSpec spec;
    Sizes strides;  ///< over the output's leading dims
    int64_t elements = 0;
  };
  const auto pack_of = [&](const View& b) -> std::optional<Packed> {
    Packed p;
    const size_t own = b.dims.size() - 2;
    p.spec.k = b.dims[own], p.spec.n = b.dims[own + 1], p.spec.src_k = b.strides[own],
    p.spec.src_n = b.strides[own + 1];
    p.strides.assign(lead, 0);
    p.elements = packed_size(p.spec.k, p.spec.n);
    Box box;
    for (size_t i = own; i-- > 0;) {
      if (b.dims[i] != 1) p.strides[lead - own + i] = p.elements;
      p.elements *= b.dims[i];
    }
    for (size_t i = 0; i < own; ++i) box.add_loop(b.dims[i], {p.strides[lead - own + i], b.strides[i]});
    box.merge();
    if (box.dims.size() > 2) return std::nullopt;
    for (size_t i = 0; i < box.dims.size(); ++i) {
      const size_t at = 2 - box.dims.size() + i;
      p.spec.batch[at] = box.dims[i], p.spec.dst_batch[at] = box.strides[0][i],
      p.spec.src_batch[at] = box.strides[1][i];
    }
    return p;
  };
  const auto packed_k = pack_of(k), packed_v = pack_of(v);
  if (!packed_k || !packed_v) return false;
  Box box;  // C, queries, keys, values, fused
  for (size_t i = 0; i < lead; ++i) {
    const size_t own = q.dims.size() - 2;
    const bool moves = i + own >= lead && q.dims[i + own - lead] != 1;
    Sizes strides{c.strides[i], moves ? q.strides[i + own - lead] : 0, packed_k->strides[i], packed_v->strides[i]};
    for (const View& o : f.operands) strides.push_back(o.strides[i]);
    box.add_loop(c.dims[i], strides);
  }
  box.merge();
  if (box.dims.size() > 2) return false;
  AttentionSpec s;
  ContractionSpec& scores = s.scores;
  ContractionSpec& values = s.values;
  const auto over_batches = [&](size_t operand) {
    std::array<int64_t, 2> out{0, 0};
    for (size_t i = 0; i < box.dims.size(); ++i) out[2 - box.dims.size() + i] = box.strides[operand][i];
    return out;
  };
  for (size_t i = 0; i < box.dims.size(); ++i) scores.batch[2 - box.dims.size() + i] = box.dims[i];
  values.batch = scores.batch;
  scores.ow = values.ow = rows;
  scores.k = depth, scores.n = keys, values.k = keys, values.n = columns;
  scores.a_batch = over_batches(1), scores.a_col = q.strides[q.dims.size() - 2], scores.a_tap_col = depth;
  scores.b_batch = over_batches(2), values.b_batch = over_batches(3), values.a_tap_col = keys;
  values.c_batch = over_batches(0), values.c_col = c.strides[lead];
  size_t operand = 4;
  scores.epilogue = make_epilogue(f, [&](const View& o) {
    const auto batches = over_batches(operand++);
    return Sizes{batches[0], batches[1], 0, o.strides[lead], o.strides[lead + 1]};
  });
  const size_t before = pending_.size();
  std::vector<View> operands{c, q, packed(packed_k->spec, k, packed_k->elements, s, label),
                             packed(packed_v->spec, v, packed_v->elements, s, label)};
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  const int at = append(s, operands, label);
  for (size_t i = before; i < static_cast<size_t>(at); ++i)
    if (pending_[i].pack_of >= 0) pending_[i].pack_of = at;
  return true;
}

/// Scores, softmax, and the weighted sum; heads are views, and the result's heads stand side by side in a
/// row.
Status Lowering::lower_attention(const Node& node) {
  const AttentionAttrs& a = *std::get_if<AttentionAttrs>(&node.attrs);
  View q = input(node, 0), k = input(node, 1);
  const View v = input(node, 2);
  const std::string label = label_of(node);
  const Sizes dims = out_dims(node);
  const size_t rank = dims.size();
  const int64_t queries = q.dims[rank - 2], keys = k.dims[rank - 2];
  Sizes score_dims = dims;
  score_dims[rank - 1] = keys;

  Fusion f;
  Expr scaled;
  uint16_t value = scaled.binary(PointOp::mul, scaled.input(0), scaled.constant(static_cast<float>(a.scale)));
  std::vector<View> masks;
  const auto apply_mask = [&](const View& mask) {
    const bool boolean = mask.dtype == DType::boolean;
    const uint16_t m = scaled.input(static_cast<int>(masks.size()) + 1, boolean ? Lane::mask : Lane::f32);
    value =
        boolean ? scaled.select(m, value, scaled.constant(-__builtin_inff())) : scaled.binary(PointOp::add, value, m);
    masks.push_back(expanded(mask, score_dims));
  };
  if (has(node, 3)) apply_mask(input(node, 3));
  if (a.causal) {
    std::vector<uint8_t> seen(static_cast<size_t>(queries * keys));
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t j = 0; j < keys; ++j) seen[static_cast<size_t>(i * keys + j)] = j <= i;
    apply_mask(constant({queries, keys}, DType::boolean, std::move(seen)));
  }
  f.then(scaled, masks);

  if (!is_contiguous_in(q, static_cast<int>(rank) - 1)) q = copied(q, row_major(q.rank()));
  std::vector<int64_t> axes(k.dims.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
  Order heads_inside = row_major(static_cast<int>(rank));
  if (rank >= 3) std::swap(heads_inside[rank - 3], heads_inside[rank - 2]);
  const View out = destination(node, heads_inside, kRunPhase, 1);
  if (append_attention(q, permuted(k, axes), v, out, f, label)) return ok();

  // More loops over batches than a kernel has.
  const View scores = allocate(score_dims, DType::f32, row_major(static_cast<int>(rank)), kRunPhase);
  KILN_TRY(product_of(q, permuted(k, axes), scores, f, label + " scores"));

  NormSpec norm;
  norm.rows = {product(score_dims) / keys};
  norm.in_rows = norm.out_rows = {keys};
  norm.cols = keys;
  append(norm, {scores, scores}, label + " softmax");
  return product_of(scores, v, out, {}, label + " values");
}

}  // namespace kiln
