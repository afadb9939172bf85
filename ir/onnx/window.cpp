// ONNX: pooling and resizing.
#include "ir/onnx/window.h"

#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {

/// Paddings: given, or what keeps the size over the stride (auto_pad).
Result<Window> window_of(Legalizer& l, const Node& node, const Shape& in, const std::vector<int64_t>& kernel,
                         size_t first, size_t last) {
  const size_t dims = kernel.size();
  last = std::min(last, dims);
  if (in.size() != dims + 2 || first >= last || last - first > 2 || dims > 3)
    return l.unsupported(node, "1 to 3 spatial dims are supported, not an input of " + to_string(in));
  Window w;
  const auto fill = [&](const char* name, std::array<int64_t, 2>& to) -> Status {
    const std::vector<int64_t> given = l.integers(node, name);
    if (!given.empty() && given.size() != dims) return misfit(node.source + ": " + name + " has the wrong length");
    for (size_t i = first; i < last && !given.empty(); ++i) to[2 - last + i] = given[i];
    return ok();
  };
  KILN_TRY(fill("strides", w.stride));
  KILN_TRY(fill("dilations", w.dilation));
  const std::vector<int64_t> pads = l.integers(node, "pads");
  if (!pads.empty() && pads.size() != 2 * dims) return misfit(node.source + ": pads has the wrong length");
  w.automatic = l.text(node, "auto_pad", "NOTSET");
  constexpr int64_t kMax = int64_t{1} << 30;
  for (size_t i = first; i < last; ++i) {
    const size_t at = 2 - last + i;
    const int64_t size = in[2 + i].value;
    w.kernel[at] = kernel[i];
    if (w.stride[at] < 1 || w.stride[at] > kMax || w.dilation[at] < 1 || w.dilation[at] > kMax || kernel[i] < 1 ||
        kernel[i] > kMax || size > kMax)
      return misfit(node.source + ": attributes out of range");
    if (!pads.empty()) w.pad_begin[at] = pads[i], w.pad_end[at] = pads[dims + i];
    const auto far = [](int64_t pad) { return pad > kMax || pad < -kMax; };
    if (far(w.pad_begin[at]) || far(w.pad_end[at])) return misfit(node.source + ": attributes out of range");
    if (w.automatic != "SAME_UPPER" && w.automatic != "SAME_LOWER") continue;
    const int64_t outs = ceil_div(size, w.stride[at]);
    const int64_t total = std::max<int64_t>((outs - 1) * w.stride[at] + w.reach(at) - size, 0);
    w.pad_begin[at] = w.automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.pad_end[at] = total - w.pad_begin[at];
  }
  return w;
}

Result<Window> depth_of(Legalizer& l, const Node& node, const Shape& in, const std::vector<int64_t>& kernel) {
  KILN_ASSIGN(Window w, window_of(l, node, in, kernel, 0, 1));
  for (auto* each : {&w.kernel, &w.stride, &w.dilation, &w.pad_begin, &w.pad_end}) std::swap((*each)[0], (*each)[1]);
  return w;
}

Result<ValueId> as_image(Legalizer& l, ValueId x) {
  Shape s = l.b.shape(x);
  if (s.size() == 3) s.insert(s.begin() + 2, Dim(1));
  return l.b.reshape(x, s);
}

Result<ValueId> from_image(Legalizer& l, ValueId y, size_t rank) {
  Shape s = l.b.shape(y);
  if (rank == 3) s.erase(s.begin() + 2);
  return l.b.reshape(y, s);
}

namespace {

PoolAttrs pool_of(const Window& w, WindowKind kind) {
  PoolAttrs a;
  a.kind = kind;
  a.kernel = w.kernel, a.stride = w.stride, a.dilation = w.dilation, a.pad_begin = w.pad_begin, a.pad_end = w.pad_end;
  return a;
}

/// With ceil_mode a last window may reach over the end, if it begins before it.
void reach_over(Window& w, const Shape& image) {
  for (size_t i = 0; i < 2; ++i) {
    const int64_t size = image[2 + i].value, reach = w.reach(i);
    int64_t outs = ceil_div(std::max<int64_t>(size + w.pad_begin[i] + w.pad_end[i] - reach, 0), w.stride[i]) + 1;
    if ((outs - 1) * w.stride[i] >= size + w.pad_begin[i]) --outs;
    w.pad_end[i] = std::max<int64_t>((outs - 1) * w.stride[i] + reach - size - w.pad_begin[i], 0);
  }
}

enum class Pool : uint8_t { max, average, power };

/// An image by its windows.
Result<ValueId> pooled(Legalizer& l, const Node& node, ValueId x, Pool kind, Window w) {
  const bool counts = kind == Pool::average && l.flag(node, "count_include_pad", false);
  const bool ceils = l.flag(node, "ceil_mode", false);
  const std::array<int64_t, 2> given = w.pad_end;
  if (ceils) reach_over(w, l.b.shape(x));
  if (counts && ceils) {  // padding counts, what lies beyond it does not: zeros are elements then
    PadAttrs zeros;
    zeros.before = {0, 0, w.pad_begin[0], w.pad_begin[1]};
    zeros.after = {0, 0, std::min(given[0], w.pad_end[0]), std::min(given[1], w.pad_end[1])};
    w.pad_begin = {0, 0};
    for (size_t i = 0; i < 2; ++i) w.pad_end[i] -= zeros.after[2 + i];
    KILN_ASSIGN(x, l.b.pad(x, zeros));
  }
  PoolAttrs a = pool_of(w, kind == Pool::max ? WindowKind::max : WindowKind::average);
  a.count_include_pad = counts && !ceils;
  if (kind == Pool::power) a.divisor = 1;
  return l.b.pool(x, a);
}

/// Extremes, means and sums of a box are those of its planes.
Result<ValueId> pooled(Legalizer& l, const Node& node, ValueId x, Pool kind) {
  const std::vector<int64_t> kernel = l.integers(node, "kernel_shape");
  const Shape s = l.b.shape(x);
  if (s.size() != 5 || kernel.size() != 3) {
    KILN_ASSIGN(const Window w, window_of(l, node, s, kernel));
    KILN_ASSIGN(x, as_image(l, x));
    KILN_ASSIGN(x, pooled(l, node, x, kind, w));
    return from_image(l, x, s.size());
  }
  KILN_ASSIGN(const Window plane, window_of(l, node, s, kernel, 1, 3));
  KILN_ASSIGN(const Window depth, depth_of(l, node, s, kernel));
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1].value * s[2].value, s[3], s[4]}));
  KILN_ASSIGN(x, pooled(l, node, x, kind, plane));
  const Shape made = l.b.shape(x);
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], s[2], made[2].value * made[3].value}));
  KILN_ASSIGN(x, pooled(l, node, x, kind, depth));
  return l.b.reshape(x, {s[0], s[1], l.b.shape(x)[2], made[2], made[3]});
}

template <Pool kKind>
Status pool(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (kKind == Pool::max && l.wants(node, 1)) return l.unsupported(node, "indices of pooling are not supported");
  if (kKind == Pool::max) pass_over(l, node, {"storage_order"});  // of indices
  const DType own = l.b.value(x).dtype;
  if (own != DType::f32 && (kKind != Pool::max || size_of(own) > 2 || own == DType::boolean))
    return l.unsupported(node, std::string(name_of(own)) + " is not supported here");
  KILN_ASSIGN(x, l.b.cast(x, DType::f32));  // integers of 16 bits are exact in it
  const double p = kKind == Pool::power ? static_cast<double>(l.integer(node, "p", 2)) : 1;
  if (kKind == Pool::power) {
    Fx f;
    const Term a = f.un(PointOp::abs, f.in(0));
    KILN_ASSIGN(x, l.b.map(f.finish(p == 2 ? a * a : p == 1 ? a : f.bin(PointOp::pow, a, f.c(p))), {x}, DType::f32));
  }
  KILN_ASSIGN(ValueId y, pooled(l, node, x, kKind));
  if (kKind == Pool::power && p != 1) {
    Fx f;
    const Term t = p == 2 ? f.un(PointOp::sqrt, f.in(0)) : f.bin(PointOp::pow, f.in(0), f.c(1 / p));
    KILN_ASSIGN(y, l.b.map(f.finish(t), {y}, DType::f32));
  }
  KILN_ASSIGN(y, l.b.cast(y, own));
  return l.set(node, y);
}

template <Pool kKind>
Status global_pool(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) < 3) return misfit(node.source + ": at least 3 dims are needed");
  const std::vector<SourceAttr> attrs{{"dim", all_axes(l.b.rank(x), 2)}, {"keepdim", true}};
  if (kKind == Pool::power) {
    std::vector<SourceAttr> norm = attrs;
    norm.push_back({"ord", static_cast<double>(l.integer(node, "p", 2))});
    return as(l, node, "aten.linalg_vector_norm.default", std::move(norm));
  }
  return as(l, node, kKind == Pool::max ? "aten.amax.default" : "aten.mean.dim", attrs);
}

// -- resizing

struct Resize {
  std::string mode, places, nearest;
  double a = -0.75;  ///< of the cubic
  bool exclude_outside = false, antialias = false;
  double begin = 0, end = 1;  ///< of tf_crop_and_resize: the part of the current axis that is taken
  bool crops() const { return places == "tf_crop_and_resize"; }
};

/// Where output o of `out` lies among `in` inputs.
double place(const Resize& r, int64_t o, int64_t in, int64_t out, double scale) {
  const auto at = static_cast<double>(o), ins = static_cast<double>(in), outs = static_cast<double>(out);
  if (r.places == "asymmetric") return at / scale;
  if (r.places == "align_corners") {
    const double length = scale * ins;
    return length == 1 || outs <= 1 ? 0 : at * (ins - 1) / (length - 1);
  }
  if (r.places == "pytorch_half_pixel") return scale * ins > 1 ? (at + 0.5) / scale - 0.5 : 0;
  if (r.places == "tf_half_pixel_for_nn") return (at + 0.5) / scale;
  if (r.crops()) {
    const double first = r.begin * (ins - 1), length = (r.end - r.begin) * (ins - 1);
    return outs > 1 ? first + at * length / (outs - 1) : first + length / 2;
  }
  double left = 0;
  if (r.places == "half_pixel_symmetric") left = ins / 2 * (1 - outs / (ins * scale));
  return left + (at + 0.5) / scale - 0.5;
}

double nearest_of(const Resize& r, double x) {
  if (r.nearest == "floor") return std::floor(x);
  if (r.nearest == "ceil") return std::ceil(x);
  if (r.nearest == "round_prefer_ceil") return std::floor(x + 0.5);
  return std::ceil(x - 0.5);
}

/// The filter's weight at distance d.
double filter(const Resize& r, double d) {
  d = std::fabs(d);
  if (r.mode == "linear") return std::max(0.0, 1 - d);
  if (d <= 1) return ((r.a + 2) * d - (r.a + 3)) * d * d + 1;
  return d < 2 ? ((r.a * d - 5 * r.a) * d + 8 * r.a) * d - 4 * r.a : 0;
}

/// One axis by taps: each output is a weighted sum of the inputs about its place; those beyond the ends are the last
/// ones.
Result<ValueId> resize_axis(Legalizer& l, ValueId x, int64_t axis, int64_t out, double scale, const Resize& r) {
  const int64_t in = l.b.shape(x)[static_cast<size_t>(axis)].value;
  TapsAttrs a;
  a.axis = axis;
  const double width = r.antialias && scale < 1 ? scale : 1, support = (r.mode == "linear" ? 1 : 2) / width;
  const bool one = r.mode == "nearest";
  if (!(support <= 128))
    return Error{ErrorCode::unsupported_operator, "an image cannot be made that much smaller at once", ""};
  a.taps = one ? 1 : static_cast<int64_t>(2 * std::ceil(support));
  const auto outs = static_cast<size_t>(out);
  a.index.resize(static_cast<size_t>(a.taps) * outs);
  if (!one) a.weights.resize(a.index.size());
  const auto inside = [&](double v) {
    return static_cast<int32_t>(std::clamp<double>(v == v ? v : 0, 0, static_cast<double>(in - 1)));
  };
  for (int64_t o = 0; o < out; ++o) {
    const double at = place(r, o, in, out, scale);
    if (one) {
      a.index[static_cast<size_t>(o)] = inside(nearest_of(r, at));
      continue;
    }
    const double first = std::floor(at) - std::ceil(support) + 1;
    double sum = 0;
    for (int64_t t = 0; t < a.taps; ++t) {
      const double input = first + static_cast<double>(t);
      double weight = filter(r, (at - input) * width);
      if (r.exclude_outside && (input < 0 || input > static_cast<double>(in - 1))) weight = 0;
      const size_t slot = static_cast<size_t>(t) * outs + static_cast<size_t>(o);
      a.index[slot] = inside(input);
      a.weights[slot] = static_cast<float>(weight);
      sum += weight;
    }
    if ((r.exclude_outside || r.antialias) && sum != 0)
      for (int64_t t = 0; t < a.taps; ++t) {
        float& weight = a.weights[static_cast<size_t>(t) * outs + static_cast<size_t>(o)];
        weight = static_cast<float>(static_cast<double>(weight) / sum);
      }
  }
  return l.b.taps(x, std::move(a));
}

/// Sizes of all axes, and what each is multiplied by.
struct Sizes {
  std::vector<int64_t> out;
  std::vector<double> scale;
  std::vector<double> begin, end;  ///< of the part that is taken
};

Result<Sizes> sizes_of(Legalizer& l, const Node& node, const Shape& from) {
  const bool old = node.source == "onnx.Upsample" || opset(l, node) < 11;
  const size_t scales_at = old ? 1 : 2, sizes_at = 3;
  Sizes s;
  std::vector<double> scales = l.numbers(node, "scales");
  if (l.in(node, scales_at) != kNoValue) {
    KILN_ASSIGN(const std::vector<Number> given, l.elements(node, scales_at, "the scales"));
    for (const Number& n : given) scales.push_back(n.real);
  }
  std::vector<int64_t> wanted;
  if (!old && l.in(node, sizes_at) != kNoValue) {
    KILN_ASSIGN(wanted, l.whole_elements(node, sizes_at, "the sizes"));
  }
  const auto rank = static_cast<int64_t>(from.size());
  KILN_ASSIGN(std::vector<int64_t> axes, axes_of(l, l.integers(node, "axes"), rank));
  if (axes.empty()) axes = all_axes(rank);
  if (wanted.empty() ? scales.size() != axes.size() : wanted.size() != axes.size())
    return misfit(node.source + ": a size or a scale for each axis is expected");
  for (const Dim& d : from) s.out.push_back(d.value), s.scale.push_back(1);
  s.begin.assign(from.size(), 0), s.end.assign(from.size(), 1);
  const std::string policy = l.text(node, "keep_aspect_ratio_policy", "stretch");
  double common = 0;
  for (size_t i = 0; i < axes.size() && !wanted.empty(); ++i) {
    const double scale = static_cast<double>(wanted[i]) / static_cast<double>(from[static_cast<size_t>(axes[i])].value);
    common = i == 0 ? scale : policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    const auto in = static_cast<double>(from[axis].value);
    s.scale[axis] = wanted.empty() ? scales[i] : policy == "stretch" ? static_cast<double>(wanted[i]) / in : common;
    if (!(s.scale[axis] > 0) || !(in * s.scale[axis] < 65537))
      return l.unsupported(node, "sizes of 1 to 65536 are supported");
    if (wanted.empty())
      s.out[axis] = whole_part(std::floor(in * s.scale[axis]));
    else
      s.out[axis] = policy == "stretch" ? wanted[i] : whole_part(std::floor(in * common + 0.5));
  }
  return s;
}

/// Takes in which parts are taken (tf_crop_and_resize).
Status crop(Legalizer& l, const Node& node, const Shape& from, Sizes& s) {
  KILN_ASSIGN(const std::vector<Number> parts, l.elements(node, 1, "the parts to take"));
  KILN_ASSIGN(std::vector<int64_t> axes, axes_of(l, l.integers(node, "axes"), static_cast<int64_t>(from.size())));
  if (axes.empty()) axes = all_axes(static_cast<int64_t>(from.size()));
  if (parts.size() != 2 * axes.size()) return misfit(node.source + ": a part of each axis is expected");
  const bool scales = l.in(node, 3) == kNoValue;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    s.begin[axis] = parts[i].real, s.end[axis] = parts[axes.size() + i].real;
    if (!(std::fabs(s.begin[axis]) <= kMaxWritten) || !(std::fabs(s.end[axis]) <= kMaxWritten))
      return misfit(node.source + ": the parts are out of range");
    const double share = s.end[axis] - s.begin[axis];
    if (scales) s.out[axis] = whole_part(std::floor(static_cast<double>(from[axis].value) * share * s.scale[axis]));
  }
  return ok();
}

/// Whether each output of an axis lies among its inputs.
std::vector<uint8_t> inside(const Resize& r, int64_t in, int64_t out) {
  std::vector<uint8_t> is(static_cast<size_t>(out));
  for (int64_t o = 0; o < out; ++o) {
    const double at = place(r, o, in, out, 1);
    is[static_cast<size_t>(o)] = at >= 0 && at <= static_cast<double>(in - 1);
  }
  return is;
}
Shape along(int64_t axis, const Sizes& s) {
  Shape shape(s.out.size(), Dim(1));
  shape[static_cast<size_t>(axis)] = Dim(s.out[static_cast<size_t>(axis)]);
  return shape;
}

/// What every network asks for: whole factors, every element several times over, which is a view.
bool repeats(const Resize& r, const Shape& from, const Sizes& s) {
  if (r.mode != "nearest" || from.size() != 4 || s.out[0] != from[0].value || s.out[1] != from[1].value) return false;
  const bool plain =
      (r.places == "asymmetric" && r.nearest == "floor") ||
      (r.places == "half_pixel" && (r.nearest == "round_prefer_floor" || r.nearest == "round_prefer_ceil"));
  for (size_t i = 2; i < 4; ++i) {
    if (from[i].value < 1 || s.out[i] % from[i].value) return false;
    const int64_t factor = s.out[i] / from[i].value;
    if (s.scale[i] != static_cast<double>(factor)) return false;
  }
  return plain;
}

Status resize(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const Shape from = l.b.shape(x);
  const bool old = node.source == "onnx.Upsample" || opset(l, node) < 11;
  Resize r;
  r.mode = l.text(node, "mode", "nearest");
  r.places = l.text(node, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  r.nearest = l.text(node, "nearest_mode", old ? "floor" : "round_prefer_floor");
  r.a = l.number(node, "cubic_coeff_a", -0.75);
  r.exclude_outside = l.flag(node, "exclude_outside", false);
  const double outside = l.number(node, "extrapolation_value", 0);
  r.antialias = l.flag(node, "antialias", false) && r.mode != "nearest";
  if (r.mode != "nearest" && r.mode != "linear" && r.mode != "cubic")
    return misfit(node.source + ": there is no mode '" + r.mode + "'");
  KILN_ASSIGN(Sizes s, sizes_of(l, node, from));
  if (r.crops()) {
    KILN_TRY(crop(l, node, from, s));
  }
  if (repeats(r, from, s)) {
    KILN_ASSIGN(const ValueId y, l.call("aten.upsample_nearest2d.vec", {x},
                                        {{"output_size", std::vector<int64_t>{s.out[2], s.out[3]}}}));
    return l.set(node, y);
  }
  const DType own = l.b.value(x).dtype;
  if (r.mode != "nearest") {
    if (own != DType::f32) return l.unsupported(node, std::string(name_of(own)) + " is not supported here");
  }
  std::vector<ValueId> inside_at;
  for (size_t i = 0; i < from.size(); ++i) {
    r.begin = s.begin[i], r.end = s.end[i];
    if (s.scale[i] == 1 && s.out[i] == from[i].value && r.begin == 0 && r.end == 1) continue;
    if (s.out[i] < 1 || s.out[i] > 65536 || from[i].value < 1 || from[i].value > 65536)
      return l.unsupported(node, "sizes of 1 to 65536 are supported");
    const auto axis = static_cast<int64_t>(i);
    KILN_ASSIGN(x, resize_axis(l, x, axis, s.out[i], s.scale[i], r));
    if (r.crops())
      inside_at.push_back(l.b.constant(DType::boolean, along(axis, s), inside(r, from[i].value, s.out[i])));
  }
  for (const ValueId mask : inside_at) {
    Fx f;
    const Lane lane = lane_of(own);
    KILN_ASSIGN(x, l.b.map(f.finish(f.where(f.in(0, Lane::mask), f.in(1, lane), f.c(outside, lane))), {mask, x}, own));
  }
  return l.set(node, x);
}

}  // namespace

std::vector<OpRow> onnx_window_ops() {
  return {
      {"onnx.AveragePool", pool<Pool::average>},
      {"onnx.GlobalAveragePool", global_pool<Pool::average>},
      {"onnx.GlobalLpPool", global_pool<Pool::power>},
      {"onnx.GlobalMaxPool", global_pool<Pool::max>},
      {"onnx.LpPool", pool<Pool::power>},
      {"onnx.MaxPool", pool<Pool::max>},
      {"onnx.Resize", resize},
      {"onnx.Upsample", resize},
  };
}

}  // namespace kiln
