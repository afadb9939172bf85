// Operands of contractions and pools in the form that the kernels take.
#include <algorithm>
#include <limits>

#include "ir/passes/canonical.h"

namespace kiln {
namespace {

/// A right operand whose last two dims were swapped is read transposed.
Result<bool> matmul(Rewrite& r, const Node& node) {
  const Node* p = r.producer(node.inputs[1], Op::permute);
  if (!p) return false;
  const auto& axes = std::get<PermuteAttrs>(p->attrs).axes;
  const auto n = static_cast<int64_t>(axes.size());
  for (int64_t i = 0; i + 2 < n; ++i)
    if (axes[static_cast<size_t>(i)] != i) return false;
  if (axes[static_cast<size_t>(n - 1)] != n - 2) return false;
  const bool transpose_b = std::get<MatmulAttrs>(node.attrs).transpose_b;
  KILN_ASSIGN(const ValueId y, r.b.matmul(node.inputs[0], p->inputs[0], !transpose_b));
  r.replace(node.outputs[0], y);
  return true;
}

/// A padding in front of a window becomes the window's own, if both pad with the same value.
template <class Attrs>
bool take_padding(const PadAttrs& pad, float value, Attrs& attrs) {
  if (pad.before.size() != 4 || pad.before[0] || pad.before[1] || pad.after[0] || pad.after[1] || pad.value != value)
    return false;
  constexpr int64_t kEnough = 1 << 28;  // absurd sizes are left as they are
  for (size_t i = 0; i < 2; ++i)
    if (pad.before[2 + i] > kEnough || pad.after[2 + i] > kEnough || attrs.pad_begin[i] > kEnough ||
        attrs.pad_end[i] > kEnough)
      return false;
  for (size_t i = 0; i < 2; ++i) {
    attrs.pad_begin[i] += pad.before[2 + i];
    attrs.pad_end[i] += pad.after[2 + i];
  }
  return true;
}

Result<bool> conv(Rewrite& r, const Node& node) {
  const Node* p = r.producer(node.inputs[0], Op::pad);
  ConvAttrs attrs = std::get<ConvAttrs>(node.attrs);
  if (!p || attrs.transposed || !take_padding(std::get<PadAttrs>(p->attrs), 0, attrs)) return false;
  KILN_ASSIGN(const ValueId y, r.b.conv(p->inputs[0], node.inputs[1], node.inputs[2], attrs));
  r.replace(node.outputs[0], y);
  return true;
}

Result<bool> pool(Rewrite& r, const Node& node) {
  const Node* p = r.producer(node.inputs[0], Op::pad);
  PoolAttrs attrs = std::get<PoolAttrs>(node.attrs);
  if (!p || attrs.even[0]) return false;
  // An average takes zeros only if it counts them; a maximum takes −inf.
  const bool average = attrs.kind == WindowKind::average;
  const bool unpadded = attrs.pad_begin == std::array<int64_t, 2>{0, 0} && attrs.pad_end == attrs.pad_begin;
  if (average && !unpadded && !attrs.count_include_pad && !attrs.divisor) return false;
  if (!take_padding(std::get<PadAttrs>(p->attrs), average ? 0.0f : -std::numeric_limits<float>::infinity(), attrs))
    return false;
  for (size_t i = 0; i < 2; ++i)
    if (std::max(attrs.pad_begin[i], attrs.pad_end[i]) >= (attrs.kernel[i] - 1) * attrs.dilation[i] + 1) return false;
  if (average) attrs.count_include_pad = true;
  KILN_ASSIGN(const ValueId y, r.b.pool(p->inputs[0], attrs));
  r.replace(node.outputs[0], y);
  return true;
}

/// A mask broadcasts by itself.
Result<bool> attention(Rewrite& r, const Node& node) {
  const ValueId mask = node.inputs.size() > 3 ? node.inputs[3] : kNoValue;
  const Node* p = r.producer(mask, Op::expand);
  if (!p) return false;
  KILN_ASSIGN(const ValueId y, r.b.attention(node.inputs[0], node.inputs[1], node.inputs[2], p->inputs[0],
                                             std::get<AttentionAttrs>(node.attrs)));
  r.replace(node.outputs[0], y);
  return true;
}

}  // namespace

Result<bool> canonical_contraction(Rewrite& r, const Node& node) {
  if (!node.epilogue.empty()) return false;
  switch (node.op) {
    case Op::matmul:
      return matmul(r, node);
    case Op::conv:
      return conv(r, node);
    case Op::pool:
      return pool(r, node);
    case Op::attention:
      return attention(r, node);
    default:
      return false;
  }
}

}  // namespace kiln
