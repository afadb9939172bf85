// Splits tensors, and joins them.
#include <algorithm>
#include <limits>

#include "ir/legalizer.h"

namespace kiln {
namespace {

constexpr int64_t kMaxScattered = 65536;

Status slice(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar cannot be sliced");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  const Dim dim = l.b.shape(x)[static_cast<size_t>(axis)];
  const int64_t step = l.integer(node, "step", 1);
  const int64_t first = l.integer(node, "start", 0), last = l.integer(node, "end", std::numeric_limits<int64_t>::max());
  if (step < 1 || step > kMaxElements) return misfit(node.source + ": the step must be positive");
  if (first == 0 && step == 1 && last >= kMaxElements) return l.set(node, x);
  if (!dim.is_constant())
    return misfit(node.source + ": the symbol '" + l.source.symbols[static_cast<size_t>(dim.symbol)].name +
                  "' cannot be sliced");
  const auto clip = [&](int64_t v) {
    return std::clamp<int64_t>(v < 0 ? std::max(v, -dim.value) + dim.value : v, 0, dim.value);
  };
  const int64_t begin = clip(first), end = std::max(clip(last), begin);
  KILN_ASSIGN(const ValueId y, l.b.slice_axis(x, axis, begin, ceil_div(end - begin, step), step));
  return l.set(node, y);
}

/// x[..., i, ...] without its axis.
Result<ValueId> pick(Legalizer& l, ValueId x, int64_t axis, int64_t i) {
  KILN_ASSIGN(const ValueId part, l.b.slice_axis(x, axis, i, 1));
  Shape shape = l.b.shape(part);
  shape.erase(shape.begin() + axis);
  return l.b.reshape(part, shape);
}

Status select(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar has nothing to select from");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  KILN_ASSIGN(const int64_t i, l.axis(l.integer(node, "index", 0), l.b.shape(x)[static_cast<size_t>(axis)].value));
  KILN_ASSIGN(const ValueId y, pick(l, x, axis, i));
  return l.set(node, y);
}

Status narrow(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  KILN_ASSIGN(const ValueId y, l.b.slice_axis(x, axis, l.integer(node, "start", 0), l.integer(node, "length", 0)));
  return l.set(node, y);
}

/// Sizes of the parts: a list, one size for all but the last, or a number of parts.
Result<std::vector<int64_t>> part_sizes(Legalizer& l, const Node& node, int64_t size) {
  for (const char* list : {"split_sizes", "split_size"}) {
    const std::vector<int64_t> sizes = l.integers(node, list);
    if (sizes.size() > 1 || (list[10] == 's' && !sizes.empty())) return sizes;
  }
  int64_t each = l.integer(node, "split_size", 0);
  if (l.has(node, "chunks")) {
    const int64_t chunks = l.integer(node, "chunks", 1);
    if (chunks < 1) return misfit(node.source + ": the number of chunks must be positive");
    each = size / chunks + (size % chunks != 0);
  }
  if (size == 0) return std::vector<int64_t>(node.outputs.size(), 0);
  if (each < 1) return misfit(node.source + ": the size of a part must be positive");
  if (size / each > static_cast<int64_t>(node.outputs.size())) return misfit(node.source + ": more parts than outputs");
  std::vector<int64_t> sizes;
  for (int64_t at = 0; at < size; at += each) sizes.push_back(std::min(each, size - at));
  return sizes;
}

Status split(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar cannot be split");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value;
  KILN_ASSIGN(const std::vector<int64_t> sizes, part_sizes(l, node, size));
  return l.set_parts(node, x, axis, sizes);
}

Status unbind(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar cannot be taken apart");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!l.wants(node, i)) continue;
    KILN_ASSIGN(const ValueId part, pick(l, x, axis, static_cast<int64_t>(i)));
    KILN_TRY(l.set(node, part, i));
  }
  return ok();
}

Status cat(Legalizer& l, const Node& node) {
  std::vector<ValueId> all, parts;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId part, l.need(node, i));
    all.push_back(part);
    if (l.b.shape(part) != Shape{0}) parts.push_back(part);  // PyTorch passes over empty 1-d tensors
  }
  if (node.inputs.empty()) return misfit(node.source + ": nothing to join");
  if (parts.empty()) parts.push_back(l.in(node, 0));
  const DType dtype = l.common_dtype(all);  // also that of the parts left out counts
  for (ValueId& part : parts) {
    KILN_ASSIGN(part, l.b.cast(part, dtype));
  }
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(parts[0])));
  KILN_ASSIGN(const ValueId y, l.b.concat(parts, axis));
  return l.set(node, y);
}

Status stack(Legalizer& l, const Node& node) {
  std::vector<ValueId> parts;
  int64_t axis = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId part, l.need(node, i));
    Shape shape = l.b.shape(part);
    KILN_ASSIGN(axis, l.axis(l.integer(node, "dim", 0), l.b.rank(part) + 1));
    shape.insert(shape.begin() + axis, Dim(1));
    KILN_ASSIGN(const ValueId lifted, l.b.reshape(part, shape));
    parts.push_back(lifted);
  }
  if (parts.empty()) return misfit(node.source + ": nothing to join");
  KILN_ASSIGN(const ValueId y, l.b.concat(parts, axis));
  return l.set(node, y);
}

/// Pairs (before, after) from the last dim on; a negative one crops.
Status pad(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (const std::string mode = l.text(node, "mode", "constant"); mode != "constant")
    return l.unsupported(node, "the mode '" + mode + "' is not supported");
  const std::vector<int64_t> list = l.integers(node, "pad");
  const auto rank = static_cast<size_t>(l.b.rank(x));
  if (list.size() % 2 || list.size() / 2 > rank)
    return misfit(node.source + ": two paddings per dim, at most " + std::to_string(rank) + " dims");
  PadAttrs attrs;
  attrs.before.assign(rank, 0);
  attrs.after.assign(rank, 0);
  const Number value = l.any_number(node, "value");
  attrs.value = static_cast<float>(value.real);
  attrs.whole = value.whole;
  bool any = false;
  for (size_t i = 0; i < list.size() / 2; ++i) {
    const size_t dim = rank - 1 - i;
    const int64_t before = list[2 * i], after = list[2 * i + 1], size = l.b.shape(x)[dim].value;
    for (const int64_t by : {before, after})
      if (by < -kMaxElements || by > kMaxElements) return misfit(node.source + ": a padding is out of range");
    if (before < 0 || after < 0) {
      const int64_t cut_before = std::min<int64_t>(before, 0), cut_after = std::min<int64_t>(after, 0);
      KILN_ASSIGN(x, l.b.slice_axis(x, static_cast<int64_t>(dim), -cut_before, size + cut_before + cut_after));
    }
    attrs.before[dim] = std::max<int64_t>(before, 0);
    attrs.after[dim] = std::max<int64_t>(after, 0);
    any = any || before > 0 || after > 0;
  }
  if (any) {
    KILN_ASSIGN(x, l.b.pad(x, attrs));
  }
  return l.set(node, x);
}

Status flip(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return l.set(node, x);
  KILN_ASSIGN(const std::vector<int64_t> axes, l.axes(l.integers(node, "dims"), l.b.rank(x)));
  for (int64_t axis : axes) {
    const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value;
    if (size < 2) continue;
    KILN_ASSIGN(x, l.b.slice_axis(x, axis, size - 1, size, -1));
  }
  return l.set(node, x);
}

/// Each axis rotated: its tail in front of its head.
Status roll(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (l.b.rank(x) == 0) return l.set(node, x);
  const std::vector<int64_t> shifts = l.integers(node, "shifts");
  KILN_ASSIGN(const std::vector<int64_t> axes, l.axes(l.integers(node, "dims"), l.b.rank(x)));
  if (axes.size() != shifts.size()) return l.unsupported(node, "one shift per dim is needed");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = l.b.shape(x)[static_cast<size_t>(axes[i])].value;
    const int64_t by = size ? ((shifts[i] % size) + size) % size : 0;
    if (by == 0) continue;
    KILN_ASSIGN(const ValueId tail, l.b.slice_axis(x, axes[i], size - by, by));
    KILN_ASSIGN(const ValueId head, l.b.slice_axis(x, axes[i], 0, size - by));
    KILN_ASSIGN(x, l.b.concat({tail, head}, axes[i]));
  }
  return l.set(node, x);
}

/// Replaces a range of one axis of self by src: joins the part before, src, and the part after.
Result<ValueId> replace_run(Legalizer& l, ValueId x, ValueId src, int64_t axis, int64_t begin) {
  const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value,
                count = l.b.shape(src)[static_cast<size_t>(axis)].value;
  std::vector<ValueId> parts;
  if (begin > 0) {
    KILN_ASSIGN(const ValueId head, l.b.slice_axis(x, axis, 0, begin));
    parts.push_back(head);
  }
  parts.push_back(src);
  if (begin + count < size) {
    KILN_ASSIGN(const ValueId tail, l.b.slice_axis(x, axis, begin + count, size - begin - count));
    parts.push_back(tail);
  }
  return l.b.concat(parts, axis);
}

/// Replaces every `step`-th element of self from `begin` on by src. A mask by position selects; src is read by index.
Result<ValueId> replace_steps(Legalizer& l, ValueId x, ValueId src, int64_t axis, int64_t begin, int64_t step) {
  const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value,
                count = l.b.shape(src)[static_cast<size_t>(axis)].value;
  if (count == 0) return x;
  std::vector<int64_t> index;
  std::vector<double> replaced;
  for (int64_t i = 0; i < size; ++i) {
    index.push_back(std::clamp<int64_t>((i - begin) / step, 0, count - 1));
    replaced.push_back(i >= begin && (i - begin) % step == 0 && (i - begin) / step < count);
  }
  KILN_ASSIGN(const ValueId spread, l.b.gather(src, l.b.integers(index, {size}), axis));
  Shape along(l.b.shape(x).size() - static_cast<size_t>(axis), Dim(1));
  along[0] = Dim(size);
  const ValueId mask = l.b.constant(DType::boolean, along, write_constant(replaced, DType::boolean));
  const DType dtype = l.b.value(x).dtype;
  const Lane lane = lane_of(dtype);
  Fx f;
  return l.b.map(f.finish(f.where(f.in(0, Lane::mask), f.in(1, lane), f.in(2, lane))), {mask, spread, x}, dtype);
}

Status slice_scatter(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId given, l.need(node, 1));
  KILN_ASSIGN(const ValueId src, l.b.cast(given, l.b.value(x).dtype));
  if (l.b.rank(x) == 0 || l.b.rank(src) != l.b.rank(x)) return misfit(node.source + ": the source does not fit");
  const int64_t step = l.integer(node, "step", 1);
  if (step < 1) return misfit(node.source + ": the step must be positive");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value, first = l.integer(node, "start", 0);
  const int64_t begin = std::clamp<int64_t>(first < 0 ? std::max(first, -size) + size : first, 0, size);
  if (size > kMaxScattered && step > 1) return l.unsupported(node, "at most 65536 elements with a step are supported");
  KILN_ASSIGN(const ValueId y,
              step > 1 ? replace_steps(l, x, src, axis, begin, step) : replace_run(l, x, src, axis, begin));
  return l.set(node, y);
}

Status select_scatter(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId given, l.need(node, 1));
  KILN_ASSIGN(const ValueId src, l.b.cast(given, l.b.value(x).dtype));
  if (l.b.rank(x) == 0 || l.b.rank(src) + 1 != l.b.rank(x)) return misfit(node.source + ": the source does not fit");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  KILN_ASSIGN(const int64_t i, l.axis(l.integer(node, "index", 0), l.b.shape(x)[static_cast<size_t>(axis)].value));
  Shape lifted = l.b.shape(src);
  lifted.insert(lifted.begin() + axis, Dim(1));
  KILN_ASSIGN(const ValueId row, l.b.reshape(src, lifted));
  KILN_ASSIGN(const ValueId y, replace_run(l, x, row, axis, i));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> join_ops() {
  return {
      {"aten.cat.default", cat},
      {"aten.chunk.default", split},
      {"aten.constant_pad_nd.default", pad},
      {"aten.flip.default", flip},
      {"aten.narrow.default", narrow},
      {"aten.pad.default", pad},
      {"aten.roll.default", roll},
      {"aten.select.int", select},
      {"aten.select_copy.int", select},
      {"aten.select_scatter.default", select_scatter},
      {"aten.slice.Tensor", slice},
      {"aten.slice_copy.Tensor", slice},
      {"aten.slice_scatter.default", slice_scatter},
      {"aten.split.Tensor", split},
      {"aten.split.sizes", split},
      {"aten.split_with_sizes.default", split},
      {"aten.split_with_sizes_copy.default", split},
      {"aten.stack.default", stack},
      {"aten.unbind.int", unbind},
  };
}

}  // namespace kiln
