// Views of views are one view; a view that changes nothing is none.
#include <algorithm>
#include <cstdlib>

#include "ir/passes/canonical.h"

namespace kiln {
namespace {

Result<bool> reshape(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0];
  ValueId x = node.inputs[0];
  while (const Node* p = r.producer(x, Op::reshape)) x = p->inputs[0];
  if (x == node.inputs[0] && r.shape(x) != r.shape(out)) return false;
  KILN_ASSIGN(const ValueId y, r.b.reshape(x, Shape(r.shape(out))));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

Result<bool> permute(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0];
  std::vector<int64_t> axes = std::get<PermuteAttrs>(node.attrs).axes;
  ValueId x = node.inputs[0];
  bool merged = false;
  while (const Node* p = r.producer(x, Op::permute)) {
    const auto& inner = std::get<PermuteAttrs>(p->attrs).axes;
    for (int64_t& a : axes) a = inner[static_cast<size_t>(a)];
    x = p->inputs[0];
    merged = true;
  }
  // Axes of more than one element keep their order: nothing moves in memory.
  std::vector<int64_t> real;
  for (int64_t a : axes)
    if (!(r.shape(x)[static_cast<size_t>(a)] == Dim(1))) real.push_back(a);
  const bool is_view = std::is_sorted(real.begin(), real.end());
  if (!merged && !is_view) return false;
  KILN_ASSIGN(const ValueId y, is_view ? r.b.reshape(x, Shape(r.shape(out))) : r.b.permute(x, axes));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

Result<bool> expand(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0];
  ValueId x = node.inputs[0];
  while (const Node* p = r.producer(x, Op::expand)) x = p->inputs[0];
  if (element_count(r.shape(x)) == element_count(r.shape(out))) {
    KILN_ASSIGN(const ValueId y, r.b.reshape(x, Shape(r.shape(out))));
    if (r.producer(y) == nullptr && r.is_output(out)) return false;
    r.replace(out, y);
    return true;
  }
  if (x == node.inputs[0]) return false;
  KILN_ASSIGN(const ValueId y, r.b.expand(x, Shape(r.shape(out))));
  r.replace(out, y);
  return true;
}

Result<bool> slice(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0];
  SliceAttrs attrs = std::get<SliceAttrs>(node.attrs);
  ValueId x = node.inputs[0];
  while (const Node* p = r.producer(x, Op::slice)) {
    const auto& inner = std::get<SliceAttrs>(p->attrs);
    for (size_t i = 0; i < attrs.start.size(); ++i) {
      attrs.start[i] = inner.start[i] + attrs.start[i] * inner.step[i];
      // of one element the step is free; beyond it, it stays inside the input
      attrs.step[i] = r.shape(out)[i] == Dim(1) ? 1 : attrs.step[i] * inner.step[i];
      if (std::abs(attrs.step[i]) > (1 << 28)) return false;  // absurd sizes are left as they are
    }
    x = p->inputs[0];
  }
  const bool whole =
      r.shape(x) == r.shape(out) && std::all_of(attrs.step.begin(), attrs.step.end(), [](int64_t s) { return s == 1; });
  if (x == node.inputs[0] && !whole) return false;
  KILN_ASSIGN(const ValueId y, r.b.slice(x, attrs, Shape(r.shape(out))));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

/// A gather by constant indices a, a+1, a+2, … is a slice.
Result<bool> gather(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0], table = node.inputs[0];
  const Value& index = r.graph.value(node.inputs[1]);
  if (!index.is_constant()) return false;
  const std::vector<double> rows = read_constant(index);
  const int64_t axis = std::get<AxisAttrs>(node.attrs).axis;
  const auto size = static_cast<double>(r.shape(table)[static_cast<size_t>(axis)].value);
  if (rows.empty() || static_cast<int64_t>(rows.size()) != element_count(index.shape)) return false;
  const double first = rows[0] < 0 ? rows[0] + size : rows[0];
  for (size_t i = 0; i < rows.size(); ++i)
    if ((rows[i] < 0 ? rows[i] + size : rows[i]) != first + static_cast<double>(i)) return false;
  if (first < 0 || first + static_cast<double>(rows.size()) > size) return false;
  KILN_ASSIGN(const ValueId part,
              r.b.slice_axis(table, axis, static_cast<int64_t>(first), static_cast<int64_t>(rows.size())));
  KILN_ASSIGN(const ValueId y, r.b.reshape(part, Shape(r.shape(out))));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

}  // namespace

Result<bool> canonical_view(Rewrite& r, const Node& node) {
  switch (node.op) {
    case Op::reshape:
      return reshape(r, node);
    case Op::permute:
      return permute(r, node);
    case Op::expand:
      return expand(r, node);
    case Op::slice:
      return slice(r, node);
    case Op::gather:
      return gather(r, node);
    default:
      return false;
  }
}

}  // namespace kiln
