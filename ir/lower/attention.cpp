// Attention: views to one AttentionSpec, or to products around a softmax.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {

namespace {

/// Fewer rows than this read keys and values once: packing would read them, write them, and read that.
constexpr int64_t kFewRows = 4;

/// A matrix of keys or values per batch and head: strides over the output's leading dims, and how it is packed if it
/// is.
struct Matrices {
  Sizes strides;
  PackSpec pack;
  int64_t elements = 0;
};

/// As they lie: every batch's own strides.
Matrices as_they_lie(const View& b, size_t lead) {
  Matrices m;
  m.strides.assign(lead, 0);
  const size_t own = b.dims.size() - 2;
  for (size_t i = 0; i < own; ++i)
    if (b.dims[i] != 1) m.strides[lead - own + i] = b.strides[i];
  return m;
}

/// Packed, one batch after the other; nothing where they are more than two loops.
std::optional<Matrices> in_panels(const View& b, size_t lead) {
  Matrices m;
  const size_t own = b.dims.size() - 2;
  m.pack.k = b.dims[own], m.pack.n = b.dims[own + 1], m.pack.src_k = b.strides[own], m.pack.src_n = b.strides[own + 1];
  m.strides.assign(lead, 0);
  m.elements = packed_size(m.pack.k, m.pack.n);
  Box box;
  for (size_t i = own; i-- > 0;) {
    if (b.dims[i] != 1) m.strides[lead - own + i] = m.elements;
    m.elements *= b.dims[i];
  }
  for (size_t i = 0; i < own; ++i) box.add_loop(b.dims[i], {m.strides[lead - own + i], b.strides[i]});
  box.merge();
  if (box.dims.size() > 2) return std::nullopt;
  for (size_t i = 0; i < box.dims.size(); ++i) {
    const size_t at = 2 - box.dims.size() + i;
    m.pack.batch[at] = box.dims[i], m.pack.src_batch[at] = box.strides[1][i];
  }
  return m;
}

}  // namespace

/// One kernel, where batches and heads are at most two loops; else false, and nothing appended. `k` is [..., D, keys].
bool Lowering::append_attention(const View& q, const View& k, const View& v, const View& c, const Fusion& f,
                                const std::string& label) {
  const size_t lead = c.dims.size() - 2;
  const int64_t rows = c.dims[lead], columns = c.dims[lead + 1], depth = q.dims.back(), keys = k.dims.back();
  if (product(c.dims) == 0 || depth == 0 || keys == 0) return false;
  const auto in_rows = [&](const View& matrix, size_t row, size_t column) {
    return step_phase(matrix.phase) == kRunPhase && matrix.strides[row] > 0 &&
           (matrix.strides[column] == 1 || matrix.dims[column] == 1);
  };
  const size_t k_last = k.dims.size() - 1, v_last = v.dims.size() - 1;
  const bool raw = rows < kFewRows && in_rows(k, k_last, k_last - 1) && in_rows(v, v_last - 1, v_last);
  const std::optional<Matrices> matrices_k = raw ? as_they_lie(k, lead) : in_panels(k, lead);
  const std::optional<Matrices> matrices_v = raw ? as_they_lie(v, lead) : in_panels(v, lead);
  if (!matrices_k || !matrices_v) return false;
  Box box;  // C, queries, keys, values, fused
  for (size_t i = 0; i < lead; ++i) {
    const size_t own = q.dims.size() - 2;
    const bool moves = i + own >= lead && q.dims[i + own - lead] != 1;
    Sizes strides{c.strides[i], moves ? q.strides[i + own - lead] : 0, matrices_k->strides[i], matrices_v->strides[i]};
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
  if (raw) s.k_row = k.strides[k_last], s.v_row = v.strides[v_last - 1];
  const size_t before = pending_.size();
  const auto operand_of = [&](const View& matrix, const Matrices& m) {
    return raw ? matrix : packed(m.pack, matrix, m.elements, s, label);
  };
  std::vector<View> operands{c, q, operand_of(k, *matrices_k), operand_of(v, *matrices_v)};
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
  norm.cols = keys, norm.masked = true;
  append(norm, {scores, scores}, label + " softmax");
  return product_of(scores, v, out, {}, label + " values");
}

}  // namespace kiln
