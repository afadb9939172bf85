// What the rows of ONNX's operators share. Most are another front end's rows in other words (Legalizer::call).
#pragma once

#include <initializer_list>

#include "ir/legalizer.h"

namespace kiln {

// Families, one a file.
std::vector<OpRow> onnx_attention_ops();
std::vector<OpRow> onnx_contraction_ops();
std::vector<OpRow> onnx_control_ops();
std::vector<OpRow> onnx_create_ops();
std::vector<OpRow> onnx_fourier_ops();
std::vector<OpRow> onnx_gather_ops();
std::vector<OpRow> onnx_layout_ops();
std::vector<OpRow> onnx_linear_attention_ops();
std::vector<OpRow> onnx_loss_ops();
std::vector<OpRow> onnx_microsoft_ops();
std::vector<OpRow> onnx_norm_ops();
std::vector<OpRow> onnx_pointwise_ops();
std::vector<OpRow> onnx_quantize_ops();
std::vector<OpRow> onnx_recurrent_ops();
std::vector<OpRow> onnx_reduce_ops();
std::vector<OpRow> onnx_region_ops();
std::vector<OpRow> onnx_sample_ops();
std::vector<OpRow> onnx_scatter_ops();
std::vector<OpRow> onnx_select_ops();
std::vector<OpRow> onnx_sort_ops();
std::vector<OpRow> onnx_window_ops();

/// The opset that the model, or the function around the node, was written in.
inline int64_t opset(Legalizer& l, const Node& node) { return l.integer(node, "opset", 13); }

/// The type of an element by its number in ONNX.
Result<DType> onnx_type(const Legalizer& l, const Node& node, int64_t type);

/// The operands of a node in the new graph, absent ones as kNoValue.
inline std::vector<ValueId> operands_of(const Legalizer& l, const Node& node) {
  std::vector<ValueId> ids;
  for (size_t i = 0; i < node.inputs.size(); ++i) ids.push_back(l.in(node, i));
  return ids;
}

/// The node is `source` of the same operands.
inline Status as(Legalizer& l, const Node& node, const char* source, std::vector<SourceAttr> attrs = {}) {
  KILN_ASSIGN(const ValueId y, l.call(source, operands_of(l, node), std::move(attrs)));
  return l.set(node, y);
}

/// A list that stands in the attribute `name` in older opsets and in operand `i` in newer ones; empty when in neither.
inline Result<std::vector<int64_t>> list(Legalizer& l, const Node& node, size_t i, const char* name) {
  if (l.in(node, i) != kNoValue) return l.whole_elements(node, i, name);
  return l.integers(node, name);
}

/// Attributes that change nothing here: hints, and what only training or a result that is refused would look at.
inline void pass_over(const Legalizer& l, const Node& node, std::initializer_list<const char*> names) {
  for (const char* name : names) (void)l.has(node, name);
}

inline std::vector<int64_t> all_axes(int64_t rank, int64_t from = 0) {
  std::vector<int64_t> axes;
  for (int64_t i = from; i < rank; ++i) axes.push_back(i);
  return axes;
}

constexpr int64_t kMaxWritten = 65536;  ///< elements of what the compiler writes out

/// 0, 1, … in `shape`.
inline Result<ValueId> ramp(Legalizer& l, int64_t count, const Shape& shape, DType dtype = DType::i64) {
  if (count > kMaxWritten)
    return Error{ErrorCode::unsupported_operator, "an axis of more than 65536 elements is not supported here", ""};
  return l.b.integers(all_axes(count), shape, dtype);
}

/// Axes that may count from the end, of an operand that has some.
inline Result<std::vector<int64_t>> axes_of(const Legalizer& l, const std::vector<int64_t>& values, int64_t rank) {
  if (rank == 0 && !values.empty()) return misfit("a scalar has no axes");
  return l.axes(values, rank);
}

/// What vectors along the last axis of an index name: rows of a tensor of shape `of` as `table`, by one index.
struct NamedParts {
  ValueId index = kNoValue;
  Shape table;
};
Result<NamedParts> parts_named(Legalizer& l, const Node& node, ValueId index, Shape of, size_t batch);

inline Shape sizes(const std::vector<int64_t>& list) { return {list.begin(), list.end()}; }

}  // namespace kiln
