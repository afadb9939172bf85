// ONNX: shapes, views, parts and wholes.
#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"
#include "support/checked.h"

namespace kiln {

Result<DType> onnx_type(const Legalizer& l, const Node& node, int64_t type) {
  for (int i = 0; i < kNumDTypes; ++i)
    if (kDTypes[i].onnx == type) return static_cast<DType>(i);
  return l.unsupported(node, "the element type " + std::to_string(type) + " is not computed here");
}

namespace {

Status cast(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const DType to, onnx_type(l, node, l.integer(node, "to", 0)));
  pass_over(l, node, {"saturate", "round_mode"});  // of float8
  KILN_ASSIGN(const ValueId y, l.b.cast(x, to));
  return l.set(node, y);
}

Status cast_like(Legalizer& l, const Node& node) {
  pass_over(l, node, {"saturate", "round_mode"});
  return as(l, node, "aten.type_as.default");
}

Status shape(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const int64_t rank = l.b.rank(x);
  const auto clip = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  const int64_t from = clip(l.integer(node, "start", 0)), to = clip(l.integer(node, "end", rank));
  std::vector<int64_t> dims;
  for (int64_t i = from; i < to; ++i) dims.push_back(l.b.shape(x)[static_cast<size_t>(i)].value);
  return l.set(node, l.b.integers(dims, {Dim(static_cast<int64_t>(dims.size()))}));
}

Status size(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  return l.set(node, l.b.integers({element_count(l.b.shape(x))}, {}));
}

/// 0 stands for the operand's size, unless `allowzero`; -1 for what is left.
Status reshape(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(std::vector<int64_t> to, list(l, node, 1, "shape"));
  const Shape& from = l.b.shape(x);
  if (!l.flag(node, "allowzero", false))
    for (size_t i = 0; i < to.size(); ++i) {
      if (to[i] != 0) continue;
      if (i >= from.size()) return misfit(node.source + ": a size of 0 stands for a dim that the operand lacks");
      to[i] = from[i].value;
    }
  if (is_empty(from) && std::count(to.begin(), to.end(), -1) == 1) {  // of nothing: -1 is what makes the rest agree
    int64_t rest = 1;
    for (int64_t d : to) rest = times(rest, d == -1 ? 1 : d);
    if (rest != 0) std::replace(to.begin(), to.end(), int64_t{-1}, int64_t{0});
  }
  KILN_ASSIGN(const ValueId y, l.call("aten.view.default", {x}, {{"size", to}}));
  return l.set(node, y);
}

Status flatten(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape& s = l.b.shape(x);
  int64_t axis = l.integer(node, "axis", 1);
  const int64_t rank = l.b.rank(x);
  if (axis < -rank || axis > rank) return misfit(node.source + ": the axis is out of range");
  if (axis < 0) axis += rank;
  const int64_t rows = element_count(Shape(s.begin(), s.begin() + axis));
  const int64_t columns = element_count(Shape(s.begin() + axis, s.end()));
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, {Dim(rows), Dim(columns)}));
  return l.set(node, y);
}

Status squeeze(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> given, list(l, node, 1, "axes"));
  KILN_ASSIGN(const std::vector<int64_t> axes, l.axes(given, l.b.rank(x)));
  Shape to;
  for (int64_t i = 0; i < l.b.rank(x); ++i) {
    const Dim d = l.b.shape(x)[static_cast<size_t>(i)];
    const bool named = std::count(axes.begin(), axes.end(), i) > 0;
    if (named && d != Dim(1))
      return misfit(node.source + ": a dim of " + std::to_string(d.value) + " cannot be taken away");
    if (!(named || (axes.empty() && d == Dim(1)))) to.push_back(d);
  }
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, to));
  return l.set(node, y);
}

Status unsqueeze(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> given, list(l, node, 1, "axes"));
  const int64_t rank = l.b.rank(x) + static_cast<int64_t>(given.size());
  KILN_ASSIGN(std::vector<int64_t> axes, l.axes(given, rank));
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end())
    return misfit(node.source + ": an axis is named twice");
  Shape to = l.b.shape(x);
  for (int64_t axis : axes) to.insert(to.begin() + axis, Dim(1));
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, to));
  return l.set(node, y);
}

Status transpose(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  std::vector<int64_t> perm = l.integers(node, "perm");
  if (perm.empty()) {
    perm = all_axes(l.b.rank(x));
    std::reverse(perm.begin(), perm.end());
  }
  KILN_ASSIGN(const ValueId y, l.b.permute(x, perm));
  return l.set(node, y);
}

/// To what x and the wanted shape broadcast to together.
Status expand(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> wanted, l.whole_elements(node, 1, "the shape"));
  const Shape to = sizes(wanted), from = l.b.shape(x);
  KILN_ASSIGN(const Shape all, broadcast(l.b.graph, {&from, &to}));
  KILN_ASSIGN(const ValueId y, l.b.expand(x, all));
  return l.set(node, y);
}

Status tile(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> repeats, l.whole_elements(node, 1, "the repeats"));
  KILN_ASSIGN(const ValueId y, l.call("aten.repeat.default", {x}, {{"repeats", repeats}}));
  return l.set(node, y);
}

Status concat(Legalizer& l, const Node& node) {
  std::vector<ValueId> parts;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId part, l.need(node, i));
    parts.push_back(part);
  }
  if (parts.empty()) return misfit(node.source + ": nothing to join");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 0), l.b.rank(parts[0])));
  KILN_ASSIGN(const ValueId y, l.b.concat(parts, axis));
  return l.set(node, y);
}

Status split(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(std::vector<int64_t> parts, list(l, node, 1, "split"));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar cannot be split");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  const int64_t whole = l.b.shape(x)[static_cast<size_t>(axis)].value,
                count = static_cast<int64_t>(node.outputs.size());
  if (l.integer(node, "num_outputs", count) != count) return misfit(node.source + ": num_outputs is not their number");
  if (parts.empty() && count > 0) {
    const int64_t each = ceil_div(whole, count);
    for (int64_t i = 0; i < count; ++i) parts.push_back(std::clamp<int64_t>(whole - i * each, 0, each));
  }
  if (static_cast<int64_t>(parts.size()) < count) return misfit(node.source + ": more outputs than parts");
  return l.set_parts(node, x, axis, parts);
}

/// Along each axis from start to before end, backwards too.
Status slice(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> starts, list(l, node, 1, "starts"));
  KILN_ASSIGN(const std::vector<int64_t> ends, list(l, node, 2, "ends"));
  KILN_ASSIGN(std::vector<int64_t> axes, list(l, node, 3, "axes"));
  KILN_ASSIGN(std::vector<int64_t> steps, list(l, node, 4, "steps"));
  if (axes.empty()) axes = all_axes(static_cast<int64_t>(starts.size()));
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (starts.size() != ends.size() || starts.size() != axes.size() || starts.size() != steps.size())
    return misfit(node.source + ": starts, ends, axes and steps differ in number");
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar cannot be sliced");
  for (size_t i = 0; i < starts.size(); ++i) {
    KILN_ASSIGN(const int64_t axis, l.axis(axes[i], l.b.rank(x)));
    const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value, step = steps[i];
    if (step == 0 || step == INT64_MIN) return misfit(node.source + ": a step of 0");
    const bool up = step > 0;
    const auto clip = [&](int64_t v) {
      if (v < 0) v = v < -size ? -1 : v + size;  // -1: before the first
      return up ? std::clamp<int64_t>(v, 0, size) : std::clamp<int64_t>(v, -1, size - 1);
    };
    const int64_t from = clip(starts[i]), to = clip(ends[i]);
    const int64_t way = up ? to - from : from - to, stride = up ? step : -step;
    const int64_t count = way > 0 ? (way - 1) / stride + 1 : 0;
    KILN_ASSIGN(x, l.b.slice_axis(x, axis, count ? from : 0, count, count > 1 ? step : 1));
  }
  return l.set(node, x);
}

/// Where each element of a padded axis comes from; -1: from nowhere.
std::vector<int64_t> sources(const std::string& mode, int64_t size, int64_t before, int64_t after) {
  std::vector<int64_t> out;
  for (int64_t i = -before; i < size + after; ++i) {
    if (mode == "edge")
      out.push_back(std::clamp<int64_t>(i, 0, size - 1));
    else if (mode == "wrap")
      out.push_back(((i % size) + size) % size);
    else {  // reflect
      const int64_t period = std::max<int64_t>(2 * (size - 1), 1), at = ((i % period) + period) % period;
      out.push_back(std::min(at, period - at) % std::max<int64_t>(size, 1));
    }
  }
  return out;
}

Status pad(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> pads, list(l, node, 1, "pads"));
  KILN_ASSIGN(const std::vector<int64_t> named, list(l, node, 3, "axes"));
  KILN_ASSIGN(std::vector<int64_t> axes, axes_of(l, named, l.b.rank(x)));
  if (axes.empty()) axes = all_axes(l.b.rank(x));
  if (pads.size() != 2 * axes.size()) return misfit(node.source + ": two pads for each axis are expected");
  const std::string mode = l.text(node, "mode", "constant");
  if (mode == "constant") {
    const auto rank = l.b.shape(x).size();
    std::vector<int64_t> around(2 * rank, 0);  // from the last dim on
    for (size_t i = 0; i < axes.size(); ++i) {
      const size_t at = 2 * (rank - 1 - static_cast<size_t>(axes[i]));
      around[at] = pads[i], around[at + 1] = pads[axes.size() + i];
    }
    std::vector<SourceAttr> attrs{{"pad", around}};
    if (l.in(node, 2) != kNoValue) {
      KILN_ASSIGN(const std::vector<Number> value, l.elements(node, 2, "the value"));
      if (value.size() == 1 && l.b.value(x).dtype == DType::f32)
        attrs.push_back({"value", value[0].real});
      else if (value.size() == 1)
        attrs.push_back({"value", value[0].whole});
    } else if (l.has(node, "value")) {
      attrs.push_back({"value", l.number(node, "value", 0)});
    }
    KILN_ASSIGN(const ValueId y, l.call("aten.constant_pad_nd.default", {x}, std::move(attrs)));
    return l.set(node, y);
  }
  if (mode != "reflect" && mode != "edge" && mode != "wrap")
    return l.unsupported(node, "the mode '" + mode + "' is not supported");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = l.b.shape(x)[static_cast<size_t>(axes[i])].value, before = pads[i],
                  after = pads[axes.size() + i];
    if (before == 0 && after == 0) continue;
    if (size < 1) return misfit(node.source + ": an axis without elements has nothing to repeat");
    if (before < -size || after < -size || before > kMaxWritten || after > kMaxWritten || size > kMaxWritten)
      return l.unsupported(node, "axes of at most 65536 elements are supported in the mode '" + mode + "'");
    const std::vector<int64_t> from = sources(mode, size, before, after);
    KILN_ASSIGN(x, l.b.gather(x, l.b.integers(from, {Dim(static_cast<int64_t>(from.size()))}, DType::i32), axes[i]));
  }
  return l.set(node, x);
}

/// [N, C·b², H, W] ↔ [N, C, H·b, W·b]; DCR has the block in front of the channels.
template <bool kToSpace>
Status blocks(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const Shape s = l.b.shape(x);
  const int64_t b = l.integer(node, "blocksize", 1);
  if (s.size() != 4 || b < 1 || b > 1024) return misfit(node.source + ": expected 4 dims and a positive block size");
  const int64_t n = s[0].value, c = s[1].value, h = s[2].value, w = s[3].value;
  if (kToSpace ? c % (b * b) : h % b || w % b) return misfit(node.source + ": the block does not divide the shape");
  const bool crd = l.text(node, "mode", "DCR") == "CRD";
  if (kToSpace) {
    KILN_ASSIGN(x, l.b.reshape(x, crd ? Shape{n, c / (b * b), b, b, h, w} : Shape{n, b, b, c / (b * b), h, w}));
    KILN_ASSIGN(x,
                l.b.permute(x, crd ? std::vector<int64_t>{0, 1, 4, 2, 5, 3} : std::vector<int64_t>{0, 3, 4, 1, 5, 2}));
    KILN_ASSIGN(x, l.b.reshape(x, {n, c / (b * b), h * b, w * b}));
  } else {
    KILN_ASSIGN(x, l.b.reshape(x, {n, c, h / b, b, w / b, b}));
    KILN_ASSIGN(x,
                l.b.permute(x, crd ? std::vector<int64_t>{0, 1, 3, 5, 2, 4} : std::vector<int64_t>{0, 3, 5, 1, 2, 4}));
    KILN_ASSIGN(x, l.b.reshape(x, {n, c * b * b, h / b, w / b}));
  }
  return l.set(node, x);
}

/// Cut or padded to a size, in the middle.
Status center_crop_pad(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> to, l.whole_elements(node, 1, "the shape"));
  KILN_ASSIGN(std::vector<int64_t> axes, axes_of(l, l.integers(node, "axes"), l.b.rank(x)));
  if (axes.empty()) axes = all_axes(l.b.rank(x));
  if (axes.size() != to.size()) return misfit(node.source + ": a size for each axis is expected");
  PadAttrs pad;
  pad.before.assign(l.b.shape(x).size(), 0);
  pad.after = pad.before;
  bool any = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    const int64_t size = l.b.shape(x)[axis].value, wanted = to[i];
    if (wanted < 0 || wanted > kMaxElements) return misfit(node.source + ": a size is out of range");
    if (wanted < size) {
      KILN_ASSIGN(x, l.b.slice_axis(x, axes[i], (size - wanted) / 2, wanted));
    } else {
      pad.before[axis] = (wanted - size) / 2, pad.after[axis] = wanted - size - pad.before[axis];
      any = any || wanted > size;
    }
  }
  if (any) {
    KILN_ASSIGN(x, l.b.pad(x, pad));
  }
  return l.set(node, x);
}

}  // namespace

std::vector<OpRow> onnx_layout_ops() {
  return {
      {"onnx.Cast", cast},
      {"onnx.CastLike", cast_like},
      {"onnx.CenterCropPad", center_crop_pad},
      {"onnx.Concat", concat},
      {"onnx.DepthToSpace", blocks<true>},
      {"onnx.Expand", expand},
      {"onnx.Flatten", flatten},
      {"onnx.Pad", pad},
      {"onnx.Reshape", reshape},
      {"onnx.Shape", shape},
      {"onnx.Size", size},
      {"onnx.Slice", slice},
      {"onnx.SpaceToDepth", blocks<false>},
      {"onnx.Split", split},
      {"onnx.Squeeze", squeeze},
      {"onnx.Tile", tile},
      {"onnx.Transpose", transpose},
      {"onnx.Unsqueeze", unsqueeze},
  };
}

}  // namespace kiln
