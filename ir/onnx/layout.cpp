// ONNX: shapes, views, parts and wholes.
#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

constexpr int64_t kMaxWritten = 65536;  ///< elements of what the compiler writes out

Result<DType> type_of(Legalizer& l, const Node& node, int64_t type) {
  switch (type) {
    case 1:
      return DType::f32;
    case 2:
      return DType::u8;
    case 3:
      return DType::i8;
    case 6:
      return DType::i32;
    case 7:
      return DType::i64;
    case 9:
      return DType::boolean;
    default:
      return l.unsupported(node, "the element type " + std::to_string(type) +
                                     " is not computed here: there are float32, int64, int32, int8, uint8 and bool");
  }
}

Status cast(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const DType to, type_of(l, node, l.integer(node, "to", 0)));
  KILN_ASSIGN(const ValueId y, l.b.cast(x, to));
  return l.set(node, y);
}

Status cast_like(Legalizer& l, const Node& node) { return as(l, node, "aten.type_as.default"); }

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
    for (int64_t d : to) rest *= d == -1 ? 1 : d;
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
  if (parts.empty() && count > 0) {
    const int64_t each = ceil_div(whole, count);
    for (int64_t i = 0; i < count; ++i) parts.push_back(std::clamp<int64_t>(whole - i * each, 0, each));
  }
  if (static_cast<int64_t>(parts.size()) < count) return misfit(node.source + ": more outputs than parts");
  int64_t at = 0;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (parts[i] < 0 || parts[i] > whole - at) return misfit(node.source + ": the parts are larger than the whole");
    if (l.wants(node, i)) {
      KILN_ASSIGN(const ValueId part, l.b.slice_axis(x, axis, at, parts[i]));
      KILN_TRY(l.set(node, part, i));
    }
    at += parts[i];
  }
  return ok();
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
  KILN_ASSIGN(std::vector<int64_t> axes, l.axes(named, l.b.rank(x)));
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

Status gather(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar has nothing to gather from");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, index, axis));
  return l.set(node, y);
}

Status gather_elements(Legalizer& l, const Node& node) {
  return as(l, node, "aten.gather.default", {{"dim", l.integer(node, "axis", 0)}});
}

/// Each vector along the last axis of the index names an element, or a slice: one gather of the flattened axes.
Status gather_nd(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId index, l.need(node, 1));
  const Shape sx = l.b.shape(x), si = l.b.shape(index);
  const auto batch = static_cast<size_t>(std::max<int64_t>(l.integer(node, "batch_dims", 0), 0));
  if (si.empty() || batch >= si.size() || batch > sx.size()) return misfit(node.source + ": batch_dims out of range");
  const auto depth = static_cast<size_t>(si.back().value);
  if (depth < 1 || batch + depth > sx.size()) return misfit(node.source + ": the index does not fit the data");
  int64_t merged = 1;
  for (size_t i = 0; i < batch + depth; ++i)
    if (__builtin_mul_overflow(merged, sx[i].value, &merged) || merged >= (int64_t{1} << 31))
      return l.unsupported(node, "the indexed tensor is too large");
  Fx f;
  std::vector<ValueId> operands;
  const DType dtype = l.b.value(index).dtype;
  const Lane own = lane_of(dtype);
  Term flat = f.whole(0, Lane::i32), outside = f.to(f.whole(0, Lane::i32), Lane::mask);
  int64_t stride = merged;
  for (size_t i = 0; i < batch + depth; ++i) {
    stride /= std::max<int64_t>(sx[i].value, 1);
    Shape along(si.size() - 1, Dim(1));
    if (i < batch) along[i] = si[i];
    ValueId part = kNoValue;
    if (i < batch) {
      if (si[i].value > kMaxWritten) return l.unsupported(node, "a batch dim of more than 65536 is not supported");
      part = ramp(l, si[i].value, along, dtype);
    } else {
      KILN_ASSIGN(part, l.b.slice_axis(index, l.b.rank(index) - 1, static_cast<int64_t>(i - batch), 1));
      KILN_ASSIGN(part, l.b.reshape(part, Shape(si.begin(), si.end() - 1)));
    }
    const Term end = f.whole(sx[i].value, own), zero = f.whole(0, own),
               given = f.in(static_cast<int>(operands.size()), own);
    const Term at = f.where(f.bin(PointOp::lt, given, zero), given + end, given);
    outside = f.bin(PointOp::logical_or, outside,
                    f.bin(PointOp::logical_or, f.bin(PointOp::lt, at, zero), f.bin(PointOp::ge, at, end)));
    flat = flat + f.to(at, Lane::i32) * f.whole(stride, Lane::i32);
    operands.push_back(part);
  }
  KILN_ASSIGN(const ValueId rows,
              l.b.map(f.finish(f.where(outside, f.whole(INT32_MIN, Lane::i32), flat)), operands, DType::i32));
  Shape table(sx.begin() + static_cast<std::ptrdiff_t>(batch + depth), sx.end());
  table.insert(table.begin(), Dim(merged));
  KILN_ASSIGN(x, l.b.reshape(x, table));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, rows, 0));
  return l.set(node, y);
}

/// One number everywhere: of type and value of an attribute that is an operand here.
Status constant_of_shape(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const std::vector<int64_t> to, l.whole_elements(node, 0, "the shape"));
  ValueId value = l.b.scalar(0, DType::f32);
  if (l.has(node, "value.operand")) {
    KILN_ASSIGN(const ValueId given, l.need(node, static_cast<size_t>(l.integer(node, "value.operand", 1))));
    KILN_ASSIGN(value, l.b.reshape(given, {}));
  }
  KILN_ASSIGN(const ValueId y, l.b.expand(value, sizes(to)));
  return l.set(node, y);
}

Status range(Legalizer& l, const Node& node) {
  std::vector<Number> bounds;
  for (size_t i = 0; i < 3; ++i) {
    KILN_ASSIGN(const std::vector<Number> n, l.elements(node, i, "a bound of the range"));
    if (n.size() != 1) return misfit(node.source + ": a bound is one number");
    bounds.push_back(n[0]);
  }
  const DType dtype = l.b.value(l.in(node, 0)).dtype;
  std::vector<SourceAttr> attrs{{"dtype", std::string(name_of(dtype))}};
  constexpr const char* kNames[] = {"start", "end", "step"};
  for (size_t i = 0; i < 3; ++i) {
    attrs.push_back({kNames[i], {}});
    if (dtype == DType::f32)
      attrs.back().value = bounds[i].real;
    else
      attrs.back().value = bounds[i].whole;
  }
  KILN_ASSIGN(const ValueId y, l.call("aten.arange.start_step", {}, std::move(attrs)));
  return l.set(node, y);
}

Status trilu(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  int64_t k = 0;
  if (l.in(node, 1) != kNoValue) {
    KILN_ASSIGN(const std::vector<int64_t> given, l.whole_elements(node, 1, "k"));
    if (!given.empty()) k = given[0];
  }
  KILN_ASSIGN(const ValueId y,
              l.call(l.flag(node, "upper", true) ? "aten.triu.default" : "aten.tril.default", {x}, {{"diagonal", k}}));
  return l.set(node, y);
}

Status eye_like(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape s = l.b.shape(x);
  if (s.size() != 2 || s[0].value > kMaxWritten || s[1].value > kMaxWritten)
    return l.unsupported(node, "2 dims of at most 65536 are supported");
  DType dtype = l.b.value(x).dtype;
  if (l.has(node, "dtype")) {
    KILN_ASSIGN(dtype, type_of(l, node, l.integer(node, "dtype", 1)));
  }
  Fx f;
  const Term t =
      f.bin(PointOp::eq, f.in(1, Lane::i64), f.in(0, Lane::i64) + f.whole(l.integer(node, "k", 0), Lane::i64));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(f.to(t, lane_of(dtype))),
                                       {ramp(l, s[0].value, {s[0], Dim(1)}), ramp(l, s[1].value, {s[1]})}, dtype));
  return l.set(node, y);
}

/// An index that counts from the end may; one out of range is nowhere hot.
Status one_hot(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId given, l.need(node, 0));
  KILN_ASSIGN(const std::vector<Number> depths, l.elements(node, 1, "the depth"));
  KILN_ASSIGN(const ValueId values, l.need(node, 2));
  if (depths.size() != 1) return misfit(node.source + ": the depth is one number");
  const Value& depth_value = l.b.value(l.in(node, 1));
  const int64_t depth = depth_value.dtype == DType::f32 ? whole_part(depths[0].real) : depths[0].whole;
  if (depth < 1 || depth > kMaxWritten) return l.unsupported(node, "a depth of 1 to 65536 is supported");
  KILN_ASSIGN(ValueId index, l.b.cast(given, DType::i64));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -1), l.b.rank(index) + 1));
  Shape lifted = l.b.shape(index), along(lifted.size() + 1, Dim(1));
  lifted.insert(lifted.begin() + axis, Dim(1));
  along[static_cast<size_t>(axis)] = Dim(depth);
  KILN_ASSIGN(index, l.b.reshape(index, lifted));
  KILN_ASSIGN(ValueId off, l.b.slice_axis(values, 0, 0, 1));
  KILN_ASSIGN(ValueId on, l.b.slice_axis(values, 0, 1, 1));
  KILN_ASSIGN(off, l.b.reshape(off, {}));
  KILN_ASSIGN(on, l.b.reshape(on, {}));
  const DType dtype = l.b.value(values).dtype;
  Fx f;
  const Term at = f.in(0, Lane::i64),
             positive = f.where(f.bin(PointOp::lt, at, f.whole(0, Lane::i64)), at + f.whole(depth, Lane::i64), at);
  const Term hot = f.bin(PointOp::eq, positive, f.in(1, Lane::i64));
  const Term t = f.where(hot, f.in(3, lane_of(dtype)), f.in(2, lane_of(dtype)));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {index, ramp(l, depth, along), off, on}, dtype));
  return l.set(node, y);
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
  KILN_ASSIGN(std::vector<int64_t> axes, l.axes(l.integers(node, "axes"), l.b.rank(x)));
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
      {"onnx.ConstantOfShape", constant_of_shape},
      {"onnx.DepthToSpace", blocks<true>},
      {"onnx.Expand", expand},
      {"onnx.EyeLike", eye_like},
      {"onnx.Flatten", flatten},
      {"onnx.Gather", gather},
      {"onnx.GatherElements", gather_elements},
      {"onnx.GatherND", gather_nd},
      {"onnx.OneHot", one_hot},
      {"onnx.Pad", pad},
      {"onnx.Range", range},
      {"onnx.Reshape", reshape},
      {"onnx.Shape", shape},
      {"onnx.Size", size},
      {"onnx.Slice", slice},
      {"onnx.SpaceToDepth", blocks<false>},
      {"onnx.Split", split},
      {"onnx.Squeeze", squeeze},
      {"onnx.Tile", tile},
      {"onnx.Transpose", transpose},
      {"onnx.Trilu", trilu},
      {"onnx.Unsqueeze", unsqueeze},
  };
}

}  // namespace kiln
