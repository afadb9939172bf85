// Scaled dot-product attention. ir/passes/attention.cpp recognises it where a model writes it out: softmax(q kᵀ · scale
// + mask) v.
#include <cmath>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// With fewer key/value heads than query heads each is repeated: [..., h, s, e] → [..., h, r, s, e] → [..., h·r, s, e].
Result<ValueId> repeat_heads(Legalizer& l, const Node& node, ValueId x, int64_t heads) {
  Shape s = l.b.shape(x);
  if (s.size() < 3 || s[s.size() - 3].value == heads) return x;
  const size_t at = s.size() - 3;
  if (s[at].value < 1 || heads % s[at].value)
    return misfit(node.source + ": the query heads are no multiple of the key heads");
  const int64_t times = heads / s[at].value;
  s.insert(s.begin() + static_cast<std::ptrdiff_t>(at) + 1, Dim(1));
  KILN_ASSIGN(const ValueId lifted, l.b.reshape(x, s));
  s[at + 1] = Dim(times);
  KILN_ASSIGN(const ValueId wide, l.b.expand(lifted, s));
  s.erase(s.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  s[at] = Dim(heads);
  return l.b.reshape(wide, s);
}

Status attention(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId q, l.need(node, 0));
  KILN_ASSIGN(ValueId k, l.need(node, 1));
  KILN_ASSIGN(ValueId v, l.need(node, 2));
  if (l.number(node, "dropout_p", 0) != 0)
    return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  if (l.b.rank(q) < 2) return misfit(node.source + ": query, key and value must have at least 2 dims");
  if (l.flag(node, "enable_gqa", false) && l.b.rank(q) > 2) {
    const int64_t heads = l.b.shape(q)[l.b.shape(q).size() - 3].value;
    KILN_ASSIGN(k, repeat_heads(l, node, k, heads));
    KILN_ASSIGN(v, repeat_heads(l, node, v, heads));
  }
  AttentionAttrs attrs;
  attrs.scale = l.number(node, "scale", 1 / std::sqrt(static_cast<double>(l.b.shape(q).back().value)));
  attrs.causal = l.flag(node, "is_causal", false);
  KILN_ASSIGN(const ValueId y, l.b.attention(q, k, v, l.in(node, 3), attrs));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> attention_ops() {
  return {
      {"aten._scaled_dot_product_flash_attention_for_cpu.default", attention},
      {"aten.scaled_dot_product_attention.default", attention},
  };
}

}  // namespace kiln
