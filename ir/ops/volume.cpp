#include "ir/ops/volume.h"

#include <algorithm>

namespace kiln {
namespace {

using Three = std::array<int64_t, 3>;

/// A list for three spatial dims: absent or empty → fallback, one entry → three times.
Result<Three> three(Legalizer& l, const Node& node, const char* name, int64_t fallback) {
  const std::vector<int64_t> list = l.integers(node, name);
  if (list.empty()) return Three{fallback, fallback, fallback};
  if (list.size() != 1 && list.size() != 3) return misfit(node.source + ": " + name + " has the wrong length");
  Three all{};
  for (size_t i = 0; i < 3; ++i) {
    all[i] = list[list.size() == 3 ? i : 0];
    if (all[i] < -(int64_t{1} << 30) || all[i] > int64_t{1} << 30) return misfit(node.source + ": out of range");
  }
  return all;
}

/// [N, D, …] with `stride` − 1 planes of zeros behind each but the last.
Result<ValueId> spread(Legalizer& l, ValueId x, int64_t stride) {
  if (stride == 1) return x;
  const Shape s = l.b.shape(x);
  Shape apart = s, together = s;
  apart.insert(apart.begin() + 2, Dim(1));
  KILN_ASSIGN(x, l.b.reshape(x, apart));
  PadAttrs zeros{std::vector<int64_t>(apart.size()), std::vector<int64_t>(apart.size())};
  zeros.after[2] = stride - 1;
  KILN_ASSIGN(x, l.b.pad(x, zeros));
  together[1] = Dim(s[1].value * stride);
  KILN_ASSIGN(x, l.b.reshape(x, together));
  return l.b.slice_axis(x, 1, 0, (s[1].value - 1) * stride + 1);
}

/// [N, D, C, H, W] with planes of zeros at both ends; negative: with fewer planes.
Result<ValueId> padded(Legalizer& l, ValueId x, int64_t before, int64_t after) {
  const int64_t cut = std::max<int64_t>(-before, 0), planes = l.b.shape(x)[1].value;
  const int64_t kept = planes - cut - std::max<int64_t>(-after, 0);
  if (kept < 1) return misfit("the padding leaves nothing of the depth");
  KILN_ASSIGN(x, l.b.slice_axis(x, 1, cut, kept));
  PadAttrs zeros{{0, std::max<int64_t>(before, 0), 0, 0, 0}, {0, std::max<int64_t>(after, 0), 0, 0, 0}};
  return l.b.pad(x, zeros);
}

}  // namespace

Result<ValueId> convolve(Legalizer& l, const Node& node, ValueId x, ValueId w, ValueId bias, const ConvAttrs& plane,
                         Depth depth) {
  const Shape sx = l.b.shape(x), sw = l.b.shape(w);
  const int64_t groups = plane.groups, taps = depth.kernel;
  if (sx.size() != 5 || sw.size() != 5) return misfit(node.source + ": 5 dims are expected");
  const int64_t channels = sx[1].value;
  if (groups < 1 || channels % groups || sw[0].value % groups)
    return misfit(node.source + ": the groups do not divide the channels");
  for (const int64_t v : {depth.stride, depth.dilation, taps})
    if (v < 1 || v > 65536) return misfit(node.source + ": attributes out of range");
  const int64_t reach = (taps - 1) * depth.dilation;
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3, 4}));
  if (plane.transposed) {  // along the depth it is a convolution of what is spread out, from the last tap to the first
    KILN_ASSIGN(x, spread(l, x, depth.stride));
    depth.pad_begin = reach - depth.pad_begin, depth.pad_end = reach - depth.pad_end, depth.stride = 1;
  }
  KILN_ASSIGN(x, padded(l, x, depth.pad_begin, depth.pad_end));
  const int64_t planes = l.b.shape(x)[1].value;
  if (planes <= reach) return misfit(node.source + ": the kernel is larger than the padded input");
  const int64_t out = (planes - reach - 1) / depth.stride + 1;
  std::vector<ValueId> slices;
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t from = (plane.transposed ? taps - 1 - t : t) * depth.dilation;
    KILN_ASSIGN(ValueId slice, l.b.slice_axis(x, 1, from, out, depth.stride));
    KILN_ASSIGN(slice, l.b.reshape(slice, {sx[0], out, groups, channels / groups, sx[3], sx[4]}));
    slices.push_back(slice);
  }
  KILN_ASSIGN(x, l.b.concat(slices, 3));
  KILN_ASSIGN(x, l.b.reshape(x, {sx[0].value * out, channels * taps, sx[3], sx[4]}));
  if (plane.transposed) {
    const int64_t inner = sw[0].value / groups;
    KILN_ASSIGN(w, l.b.reshape(w, {groups, inner, sw[1], sw[2], sw[3], sw[4]}));
    KILN_ASSIGN(w, l.b.permute(w, {0, 2, 3, 1, 4, 5}));
    KILN_ASSIGN(w, l.b.reshape(w, {groups * sw[1].value, sw[2].value * inner, sw[3], sw[4]}));
  } else {
    KILN_ASSIGN(w, l.b.permute(w, {0, 2, 1, 3, 4}));
    KILN_ASSIGN(w, l.b.reshape(w, {sw[0], sw[2].value * sw[1].value, sw[3], sw[4]}));
  }
  KILN_ASSIGN(ValueId y, l.b.conv(x, w, bias, plane));
  const Shape sy = l.b.shape(y);
  KILN_ASSIGN(y, l.b.reshape(y, {sx[0], out, sy[1], sy[2], sy[3]}));
  return l.b.permute(y, {0, 2, 1, 3, 4});
}

Status convolve_volume(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId w, l.need(node, 1));
  if (l.b.rank(w) != 5) return misfit(node.source + ": a weight of 5 dims is expected");
  KILN_ASSIGN(const Three stride, three(l, node, "stride", 1));
  KILN_ASSIGN(const Three padding, three(l, node, "padding", 0));
  KILN_ASSIGN(const Three dilation, three(l, node, "dilation", 1));
  KILN_ASSIGN(const Three extra, three(l, node, "output_padding", 0));
  ConvAttrs plane;
  plane.groups = l.integer(node, "groups", 1);
  plane.transposed = l.flag(node, "transposed", false) || node.source.find("transpose") != std::string::npos;
  const auto end = [&](size_t i) { return padding[i] - (plane.transposed ? extra[i] : 0); };
  for (size_t i = 0; i < 2; ++i) {
    plane.stride[i] = stride[i + 1], plane.dilation[i] = dilation[i + 1];
    plane.pad_begin[i] = padding[i + 1], plane.pad_end[i] = end(i + 1);
  }
  const Depth depth{l.b.shape(w)[2].value, stride[0], dilation[0], padding[0], end(0)};
  KILN_ASSIGN(const ValueId y, convolve(l, node, x, w, l.in(node, 2), plane, depth));
  return l.set(node, y);
}

namespace {

/// A row of images, of planes and then of the depth: the extremes and the means of a box are those of its planes.
/// `of_plane` and `of_depth` are its attributes.
Status pool_by(Legalizer& l, const Node& node, const char* row, const std::vector<SourceAttr>& of_plane,
               const std::vector<SourceAttr>& of_depth) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (l.wants(node, 1)) return l.unsupported(node, "the indices of pooling in three dims are not supported");
  const bool single = l.b.rank(x) == 4;
  Shape s = l.b.shape(x);
  if (single) s.insert(s.begin(), Dim(1));
  if (s.size() != 5) return misfit(node.source + ": the input has too few or too many dims");
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1].value * s[2].value, s[3], s[4]}));
  KILN_ASSIGN(x, l.call(row, {x}, of_plane));
  const Shape plane = l.b.shape(x);
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], s[2], plane[2].value * plane[3].value}));
  KILN_ASSIGN(x, l.call(row, {x}, of_depth));
  Shape to{s[0], s[1], l.b.shape(x)[2], plane[2], plane[3]};
  if (single) to.erase(to.begin());
  KILN_ASSIGN(x, l.b.reshape(x, to));
  return l.set(node, x);
}

using Ints = std::vector<int64_t>;

Status pool(Legalizer& l, const Node& node, bool average) {
  KILN_ASSIGN(const Three kernel, three(l, node, "kernel_size", 1));
  Three stride = kernel;
  if (!l.integers(node, "stride").empty()) {
    KILN_ASSIGN(stride, three(l, node, "stride", 1));
  }
  KILN_ASSIGN(const Three padding, three(l, node, "padding", 0));
  KILN_ASSIGN(const Three dilation, three(l, node, "dilation", 1));
  const bool ceils = l.flag(node, "ceil_mode", false), counts = l.flag(node, "count_include_pad", true);
  const int64_t divisor = l.integer(node, "divisor_override", 0);
  std::vector<SourceAttr> plane{{"kernel_size", Ints{kernel[1], kernel[2]}},
                                {"stride", Ints{stride[1], stride[2]}},
                                {"padding", Ints{padding[1], padding[2]}},
                                {"ceil_mode", ceils}};
  std::vector<SourceAttr> depth{{"kernel_size", Ints{kernel[0], 1}},
                                {"stride", Ints{stride[0], 1}},
                                {"padding", Ints{padding[0], 0}},
                                {"ceil_mode", ceils}};
  if (!average) {
    plane.push_back({"dilation", Ints{dilation[1], dilation[2]}});
    depth.push_back({"dilation", Ints{dilation[0], 1}});
    return pool_by(l, node, "aten.max_pool2d.default", plane, depth);
  }
  for (auto* attrs : {&plane, &depth}) attrs->push_back({"count_include_pad", counts});
  if (divisor) plane.push_back({"divisor_override", int64_t{1}}), depth.push_back({"divisor_override", divisor});
  return pool_by(l, node, "aten.avg_pool2d.default", plane, depth);
}
Status max_pool(Legalizer& l, const Node& node) { return pool(l, node, false); }
Status average_pool(Legalizer& l, const Node& node) { return pool(l, node, true); }

Status adaptive(Legalizer& l, const Node& node, const char* row) {
  KILN_ASSIGN(const Three size, three(l, node, "output_size", 1));
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  if (l.b.rank(x) < 2) return misfit(node.source + ": the input has too few dims");
  const int64_t width = size[1] * size[2];  // of the depth's images
  return pool_by(l, node, row, {{"output_size", Ints{size[1], size[2]}}}, {{"output_size", Ints{size[0], width}}});
}
Status adaptive_average(Legalizer& l, const Node& node) {
  return adaptive(l, node, "aten.adaptive_avg_pool2d.default");
}
Status adaptive_max(Legalizer& l, const Node& node) { return adaptive(l, node, "aten.adaptive_max_pool2d.default"); }

}  // namespace

std::vector<OpRow> volume_ops() {
  return {
      {"aten._adaptive_avg_pool3d.default", adaptive_average},
      {"aten.adaptive_avg_pool3d.default", adaptive_average},
      {"aten.adaptive_max_pool3d.default", adaptive_max},
      {"aten.avg_pool3d.default", average_pool},
      {"aten.conv3d.default", convolve_volume},
      {"aten.conv_transpose3d.input", convolve_volume},
      {"aten.max_pool3d.default", max_pool},
      {"aten.max_pool3d_with_indices.default", max_pool},
  };
}

}  // namespace kiln
