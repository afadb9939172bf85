// Changes of type, copies and other operators that do nothing at inference.
#include "ir/legalizer.h"

namespace kiln {
namespace {

/// To the type that is given, or to that of a second operand (type_as). What was a 16-bit float already is not rounded.
Status cast(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const ValueId like = l.in(node, 1) != kNoValue ? l.in(node, 1) : x;
  DType to = l.stored_dtype(node, "dtype", l.b.value(like).dtype);
  if (to == l.stated(node.inputs[0])) to = computed_in(to);
  KILN_ASSIGN(const ValueId y, l.b.cast(x, to));
  return l.set(node, y);
}

Status same(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  return l.set(node, x);
}

Status dropout(Legalizer& l, const Node& node) {
  if (l.flag(node, "train", false) && l.number(node, "p", 0) != 0)
    return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  return same(l, node);
}

Status nothing(Legalizer&, const Node&) { return ok(); }

/// copy(self, src): src in self's type and shape.
Status copy(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId self, l.need(node, 0));
  KILN_ASSIGN(const ValueId x, l.need(node, 1));
  KILN_ASSIGN(const ValueId typed, l.b.cast(x, l.b.value(self).dtype));
  KILN_ASSIGN(const ValueId y, l.b.expand(typed, l.b.shape(self)));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> cast_ops() {
  return {
      {"aten._assert_tensor_metadata.default", nothing},
      {"aten._to_copy.default", cast},
      {"aten.alias.default", same},
      {"aten.alias_copy.default", same},
      {"aten.clone.default", same},
      {"aten.contiguous.default", same},
      {"aten.copy.default", copy},
      {"aten.detach.default", same},
      {"aten.detach_copy.default", same},
      {"aten.dropout.default", dropout},
      {"aten.lift_fresh_copy.default", same},
      {"aten.native_dropout.default", dropout},
      {"aten.to.device", cast},
      {"aten.to.dtype", cast},
      {"aten.to.dtype_layout", cast},
      {"aten.type_as.default", cast},
      {"prims.convert_element_type.default", cast},
  };
}

}  // namespace kiln
