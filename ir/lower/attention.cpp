// Attention: views to one AttentionSpec, or to products around a softmax.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {

namespace {

/// With fewer rows than this, keys and values are read once, as they lie. Packing would read, write and read them
/// again.
constexpr int64_t kFewRows = 4;
/// The length of a sum of 16-bit integers.
constexpr int64_t kLeastKeys = 32;

}  // namespace

/// Appends one kernel, if batches and heads are at most two loops. Else it returns false and appends nothing. `k` is
/// [..., D, keys]. The keys and values of `late` follow those of k and v.
bool Lowering::append_attention(const View& q, const View& k, const View& v, const View& c, const Fusion& f,
                                const std::string& label, const LateKeys* late) {
  const size_t lead = c.dims.size() - 2;
  const int64_t rows = c.dims[lead], columns = c.dims[lead + 1], depth = q.dims.back(), keys = k.dims.back();
  const int64_t more = late ? late->k.dims.back() : 0;
  if (product(c.dims) == 0 || depth == 0 || keys == 0 || (late && more == 0)) return false;
  const auto in_rows = [&](const View& matrix, size_t row, size_t column) {
    return step_phase(matrix.phase) == kRunPhase && (matrix.strides[row] > 0 || matrix.dims[row] == 1) &&
           (matrix.strides[column] == 1 || matrix.dims[column] == 1);
  };
  const size_t k_last = k.dims.size() - 1, v_last = v.dims.size() - 1;
  const auto lie_in_rows = [&](const View& of_k, const View& of_v) {
    return in_rows(of_k, k_last, k_last - 1) && in_rows(of_v, v_last - 1, v_last);
  };
  const bool raw = rows < kFewRows && lie_in_rows(k, v) && k.strides[k_last] > 0 && v.strides[v_last - 1] > 0;
  if (late && !(raw && lie_in_rows(late->k, late->v))) return false;
  const std::optional<Matrices> matrices_k = raw ? as_they_lie(k, lead) : in_panels(k, lead);
  const std::optional<Matrices> matrices_v = raw ? as_they_lie(v, lead) : in_panels(v, lead);
  if (!matrices_k || !matrices_v) return false;
  const size_t first_fused = late ? 6 : 4;
  Box box;  // C, queries, keys, values, late ones, fused
  for (size_t i = 0; i < lead; ++i) {
    const size_t own = q.dims.size() - 2;
    const bool moves = i + own >= lead && q.dims[i + own - lead] != 1;
    Sizes strides{c.strides[i], moves ? q.strides[i + own - lead] : 0, matrices_k->strides[i], matrices_v->strides[i]};
    if (late)
      for (const View& matrix : {late->k, late->v}) strides.push_back(as_they_lie(matrix, lead).strides[i]);
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
  scores.k = depth, scores.n = values.k = keys + more, values.n = columns;
  scores.a_batch = over_batches(1), scores.a_col = q.strides[q.dims.size() - 2], scores.a_tap_col = depth;
  scores.b_batch = over_batches(2), values.b_batch = over_batches(3), values.a_tap_col = keys + more;
  values.c_batch = over_batches(0), values.c_col = c.strides[lead];
  size_t operand = first_fused;
  scores.epilogue = make_epilogue(f, [&](const View& o) {
    const auto batches = over_batches(operand++);
    return Sizes{batches[0], batches[1], 0, o.strides[lead], o.strides[lead + 1]};
  });
  scores.int16 = precision == Precision::fast && !raw && keys >= kLeastKeys;
  if (raw) s.k_row = k.strides[k_last], s.v_row = v.strides[v_last - 1];
  if (late) {
    s.late = more, s.late_k_row = late->k.strides[k_last], s.late_v_row = late->v.strides[v_last - 1];
    s.late_k_batch = over_batches(4), s.late_v_batch = over_batches(5);
  }
  const size_t before = pending_.size();
  const auto operand_of = [&](const View& matrix, const Matrices& m) {
    return raw ? matrix : packed(m.pack, matrix, m.elements, s, label);
  };
  std::vector<View> operands{c, q, operand_of(k, *matrices_k), operand_of(v, *matrices_v)};
  if (late) operands.insert(operands.end(), {late->k, late->v});
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  const int at = append(s, operands, label);
  own_packs(before, at);
  return true;
}

/// Attention of few queries reads each key once, wherever it lies. So a concatenation of a cache and what a step adds
/// to it is not made, if only such attention reads it.
void Lowering::find_late_joins() {
  Regions regions;
  std::map<ValueId, int> made_in;
  for (const Node& node : graph.nodes) {
    regions.pass(node);
    const bool few = node.op == Op::attention && graph.value(node.inputs[0]).shape.rbegin()[1].value < kFewRows;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto made = made_in.find(node.inputs[i]);
      if (made != made_in.end() && (!few || (i != 1 && i != 2) || made->second != regions.now()))
        late_joins_.erase(node.inputs[i]);
    }
    if (node.op != Op::concat || node.inputs.size() != 2) continue;
    const ValueId id = node.outputs[0];
    const auto rank = static_cast<int64_t>(graph.value(id).shape.size());
    if (graph.value(id).dtype != DType::f32 || std::get_if<AxisAttrs>(&node.attrs)->axis != rank - 2) continue;
    late_joins_[id] = &node;
    made_in[id] = regions.now();
  }
  for (ValueId id : graph.outputs) late_joins_.erase(id);
}

/// One for all attention of so many queries and keys.
Result<View> Lowering::causal_mask(const Node& node, int64_t queries, int64_t keys) {
  const std::string key = "causal " + std::to_string(queries) + "x" + std::to_string(keys);
  const auto made = copies_.find(key);
  if (made != copies_.end()) return made->second.view;
  if (queries > kMaxConstantBytes / std::max<int64_t>(keys, 1))
    return unsupported(node, "a causal mask of more than 64 MB: give the mask as an operand");
  std::vector<uint8_t> seen(static_cast<size_t>(queries * keys));
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j) seen[static_cast<size_t>(i * keys + j)] = j <= i;
  const View mask = constant({queries, keys}, DType::boolean, std::move(seen));
  copies_[key] = {mask, 0};
  return mask;
}

/// Scores, softmax, and the weighted sum; heads are views, and the result's heads stand side by side in a
/// row.
Status Lowering::lower_attention(const Node& node) {
  const AttentionAttrs& a = *std::get_if<AttentionAttrs>(&node.attrs);
  View q = input(node, 0);
  const std::string label = label_of(node);
  const Sizes dims = out_dims(node);
  const size_t rank = dims.size();
  const int64_t queries = q.dims.rbegin()[1], keys = graph.value(node.inputs[1]).shape.rbegin()[1].value;
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
    KILN_ASSIGN(const View mask, causal_mask(node, queries, keys));
    apply_mask(mask);
  }
  f.then(scaled, masks);

  if (!is_contiguous_in(q, q.rank() - 1)) q = copied(q, row_major(q.rank()));
  const auto turned = [](const View& keys_in_rows) {
    std::vector<int64_t> axes(keys_in_rows.dims.size());
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    return permuted(keys_in_rows, axes);
  };
  Order heads_inside = row_major(static_cast<int>(rank));
  if (rank >= 3) std::swap(heads_inside[rank - 3], heads_inside[rank - 2]);
  const View out = destination(node, heads_inside, kRunPhase, 1);
  const auto join_k = late_joins_.find(node.inputs[1]), join_v = late_joins_.find(node.inputs[2]);
  if (join_k != late_joins_.end() && join_v != late_joins_.end()) {
    const LateKeys late{turned(input(*join_k->second, 1)), input(*join_v->second, 1)};
    if (append_attention(q, turned(input(*join_k->second, 0)), input(*join_v->second, 0), out, f, label, &late))
      return ok();
  }
  for (const auto& join : {join_k, join_v})
    if (join != late_joins_.end() && views_[static_cast<size_t>(join->first)].buffer < 0)
      KILN_TRY(lower_concat(*join->second));
  const View k = input(node, 1), v = input(node, 2);
  if (append_attention(q, turned(k), v, out, f, label)) return ok();

  // There are more loops over batches than a kernel has.
  const View scores = allocate(score_dims, DType::f32, row_major(static_cast<int>(rank)), kRunPhase);
  KILN_TRY(product_of(q, turned(k), scores, f, label + " scores"));

  NormSpec norm;
  norm.rows = {product(score_dims) / keys};
  norm.in_rows = norm.out_rows = {keys};
  norm.cols = keys, norm.masked = true;
  append(norm, {scores, scores}, label + " softmax");
  return product_of(scores, v, out, {}, label + " values");
}

}  // namespace kiln
