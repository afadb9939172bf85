// What attention and rotary embeddings share: the heads of a tensor.
#pragma once

#include "ir/onnx/rows.h"

namespace kiln {

/// a + b; a where there is no b.
inline Result<ValueId> plus(Legalizer& l, ValueId a, ValueId b) {
  if (b == kNoValue) return a;
  return l.call("aten.add.Tensor", {a, b});
}

/// [B, S, h·e] → [B, h, S, e].
inline Result<ValueId> to_heads(Legalizer& l, ValueId x, int64_t heads) {
  const Shape s = l.b.shape(x);
  if (s.size() != 3 || heads < 1 || s[2].value % heads) return misfit("the heads do not divide the width");
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], Dim(heads), Dim(s[2].value / heads)}));
  return l.b.permute(x, {0, 2, 1, 3});
}

inline Result<ValueId> from_heads(Legalizer& l, ValueId x) {
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3}));
  const Shape s = l.b.shape(x);
  return l.b.reshape(x, {s[0], s[1], Dim(s[2].value * s[3].value)});
}

}  // namespace kiln
