// Sorting. Results have the layout of the input.
#include "ir/lower/lowering.h"

namespace kiln {

Status Lowering::lower_sort(const Node& node) {
  const SortAttrs& a = *std::get_if<SortAttrs>(&node.attrs);
  const auto axis = static_cast<size_t>(a.axis);
  const int phase = phase_of(node);
  const View x = input(node, 0);
  std::vector<View> operands = destinations(node, order_of(x), phase);
  operands.push_back(x);
  const Box box = beside(axis, operands);
  SortSpec s;
  s.has_values = node.outputs[0] != kNoValue, s.has_indices = node.outputs[1] != kNoValue;
  s.dims = box.dims, s.in = box.strides.back(), s.in_step = x.strides[axis];
  s.count = x.dims[axis], s.first = a.first, s.taken = a.count;
  if (s.has_values) s.values = box.strides[0], s.values_step = operands[0].strides[axis];
  if (s.has_indices) {
    const size_t at = operands.size() - 2;
    s.indices = box.strides[at], s.indices_step = operands[at].strides[axis];
  }
  s.descending = a.descending;
  s.dtype = x.dtype;
  append(s, operands, label_of(node), phase);
  return ok();
}

}  // namespace kiln
