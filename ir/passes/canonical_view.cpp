// A view of a view becomes one view. A view that changes nothing disappears.
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

/// Of concatenations of more, slices are not looked at part by part.
constexpr size_t kMaxParts = 1024;

/// Where all of a slice lies within one part of a concatenation, that part; `attrs` are then relative to it.
ValueId sliced_part(Rewrite& r, const Node& concat, const Shape& shape, SliceAttrs& attrs) {
  const auto axis = static_cast<size_t>(std::get<AxisAttrs>(concat.attrs).axis);
  const int64_t start = attrs.start[axis], end = start + (shape[axis].value - 1) * attrs.step[axis];
  int64_t begin = 0;
  for (ValueId part : concat.inputs) {
    const int64_t size = r.shape(part)[axis].value;
    if (std::min(start, end) >= begin && std::max(start, end) < begin + size) {
      attrs.start[axis] -= begin;
      return part;
    }
    begin += size;
  }
  return concat.outputs[0];
}

Result<bool> slice(Rewrite& r, const Node& node) {
  const ValueId out = node.outputs[0];
  SliceAttrs attrs = std::get<SliceAttrs>(node.attrs);
  ValueId x = node.inputs[0];
  while (const Node* p = r.producer(x, Op::slice)) {
    const auto& inner = std::get<SliceAttrs>(p->attrs);
    for (size_t i = 0; i < attrs.start.size(); ++i) {
      attrs.start[i] = inner.start[i] + attrs.start[i] * inner.step[i];
      // for one element the step is free; it must stay inside the input
      attrs.step[i] = r.shape(out)[i] == Dim(1) ? 1 : attrs.step[i] * inner.step[i];
      if (std::abs(attrs.step[i]) > (1 << 28)) return false;  // absurd sizes are left as they are
    }
    x = p->inputs[0];
  }
  if (const Node* p = r.producer(x, Op::concat); p && p->inputs.size() <= kMaxParts && element_count(r.shape(out)) > 0)
    x = sliced_part(r, *p, r.shape(out), attrs);
  const bool whole =
      r.shape(x) == r.shape(out) && std::all_of(attrs.step.begin(), attrs.step.end(), [](int64_t s) { return s == 1; });
  if (x == node.inputs[0] && !whole) return false;
  KILN_ASSIGN(const ValueId y, r.b.slice(x, attrs, Shape(r.shape(out))));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

struct Run {
  int64_t first, step, count;
};
/// Indices of an axis of `size` as runs of one step each, none if one is out of range.
std::vector<Run> runs_of(const std::vector<double>& indices, int64_t size) {
  std::vector<Run> runs;
  for (const double given : indices) {
    const int64_t i = whole_part(given) + (given < 0 ? size : 0);
    if (i < 0 || i >= size) return {};
    if (!runs.empty()) {
      Run& last = runs.back();
      if (last.count == 1) last.step = i - last.first;
      if (i == last.first + last.step * last.count) {
        ++last.count;
        continue;
      }
    }
    runs.push_back({i, 1, 1});
  }
  return runs;
}

/// A gather by constant indices of a few runs (a part, reflected or repeated edges, a roll) joins slices.
Result<bool> gather(Rewrite& r, const Node& node) {
  constexpr size_t kMostRuns = 4;
  constexpr int64_t kMostIndices = 1024;  // many nodes may share a constant, and each looks at it
  const ValueId out = node.outputs[0], table = node.inputs[0];
  const Value& index = r.graph.value(node.inputs[1]);
  const auto& [axis, batch] = std::get<GatherAttrs>(node.attrs);
  if (!index.is_constant() || batch) return false;
  const int64_t count = element_count(index.shape);
  const int64_t size = r.shape(table)[static_cast<size_t>(axis)].value;
  std::vector<Run> runs;
  if (r.is_ramp(node.inputs[1])) {
    const int64_t given = first_number(index).whole, first = given < 0 ? given + size : given;
    if (first >= 0 && count <= size - first) runs.push_back({first, 1, count});
  } else if (count <= kMostIndices) {
    const std::vector<double> rows = read_constant(index);
    if (static_cast<int64_t>(rows.size()) == count) runs = runs_of(rows, size);
  }
  if (runs.empty() || runs.size() > kMostRuns) return false;
  std::vector<ValueId> parts;
  for (const Run& run : runs) {
    KILN_ASSIGN(ValueId part,
                r.b.slice_axis(table, axis, run.first, run.step ? run.count : 1, run.step ? run.step : 1));
    if (run.step == 0) {
      Shape shape = r.shape(part);
      shape[static_cast<size_t>(axis)] = Dim(run.count);
      KILN_ASSIGN(part, r.b.expand(part, shape));
    }
    parts.push_back(part);
  }
  ValueId joined = parts[0];
  if (parts.size() > 1) {
    KILN_ASSIGN(joined, r.b.concat(std::move(parts), axis));
  }
  KILN_ASSIGN(const ValueId y, r.b.reshape(joined, Shape(r.shape(out))));
  if (r.producer(y) == nullptr && r.is_output(out)) return false;
  r.replace(out, y);
  return true;
}

/// concat(…, x[a:b], x[b:c], …) → concat(…, x[a:c], …): neighbouring slices that are joined again.
Result<bool> concat(Rewrite& r, const Node& node) {
  const auto axis = static_cast<size_t>(std::get<AxisAttrs>(node.attrs).axis);
  const auto run_of = [&](ValueId id) -> const SliceAttrs* {  // of all of x but for `axis`
    const Node* p = r.producer(id, Op::slice);
    if (!p) return nullptr;
    const auto* a = std::get_if<SliceAttrs>(&p->attrs);
    for (size_t i = 0; i < a->start.size(); ++i)
      if (a->step[i] != 1 || (i != axis && !(r.shape(id)[i] == r.shape(p->inputs[0])[i]))) return nullptr;
    return a;
  };
  std::vector<ValueId> parts;
  for (ValueId id : node.inputs) {
    const SliceAttrs* next = run_of(id);
    const SliceAttrs* last = parts.empty() ? nullptr : run_of(parts.back());
    if (last && next && r.producer(parts.back())->inputs[0] == r.producer(id)->inputs[0]) {
      const int64_t begin = last->start[axis], count = r.shape(parts.back())[axis].value;
      if (begin + count == next->start[axis]) {
        const int64_t both = count + r.shape(id)[axis].value;
        KILN_ASSIGN(parts.back(), r.b.slice_axis(r.producer(id)->inputs[0], static_cast<int64_t>(axis), begin, both));
        continue;
      }
    }
    parts.push_back(id);
  }
  const ValueId out = node.outputs[0];
  if (parts.size() == node.inputs.size() || (parts.size() == 1 && r.is_output(out))) return false;
  if (parts.size() == 1) {
    r.replace(out, parts[0]);
    return true;
  }
  KILN_ASSIGN(const ValueId y, r.b.concat(parts, static_cast<int64_t>(axis)));
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
    case Op::concat:
      return concat(r, node);
    default:
      return false;
  }
}

}  // namespace kiln
