// Resizing. Each output of an axis is a weighted sum of the few inputs around its position. The position is computed in
// float32, as in PyTorch.
#include <algorithm>
#include <cmath>

#include "ir/legalizer.h"

namespace kiln {
namespace {

constexpr int64_t kMaxAxis = 65536;
constexpr int64_t kMaxTaps = 128;  // each is code of its own

/// ⌊v⌋, for any value that a file may give.
int64_t whole(float v) {
  constexpr float kFar = 1e9f;
  if (!(std::fabs(v) < kFar)) return v > 0 ? static_cast<int64_t>(kFar) : 0;
  return static_cast<int64_t>(std::floor(v));
}

struct Axis {
  int64_t in, out;
  bool align_corners;
  double given;   ///< what the size was asked to be multiplied by; 0: it follows from the sizes
  bool in_plane;  ///< one of two
  float step() const {
    if (align_corners) return out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0;
    return given > 0 ? static_cast<float>(1 / given) : static_cast<float>(in) / static_cast<float>(out);
  }
  /// The position of output o among the inputs.
  float place(int64_t o) const {
    const auto at = static_cast<float>(o);
    return align_corners ? at * step() : (at + 0.5f) * step() - 0.5f;
  }
  int32_t inside(int64_t i) const { return static_cast<int32_t>(std::clamp<int64_t>(i, 0, in - 1)); }
};

/// The input at or before the position, and the distance from it.
struct Split {
  int64_t first;
  float rest;
};
Split split(const Axis& axis, float place) {
  const int64_t first = std::min(whole(place), axis.in - 1);
  return {first, std::clamp(place - static_cast<float>(first), 0.0f, 1.0f)};
}

/// How many inputs an output is made of, and which: places() makes taps[t] and weights[t] of output o. `reach`, if not
/// 0, is how far the filter goes from its center; it is widened by as much as an axis shrinks, so that every input has
/// its part (antialias).
struct Filter {
  void (*places)(const Axis& axis, int64_t o, int64_t count, int32_t* taps, float* weights);
  int64_t taps;
  float reach = 0;

  int64_t count(const Axis& axis) const {
    return reach > 0 ? std::min(whole(std::ceil(2 * reach * widened(axis))), axis.in) : taps;
  }
  static float widened(const Axis& axis) { return std::max(axis.step(), 1.0f); }
};

void nearest(const Axis& axis, int64_t o, int64_t, int32_t* taps, float*) {
  const bool twice = axis.in_plane && axis.out == 2 * axis.in;  // whatever factor was given
  taps[0] = twice ? axis.inside(o / 2) : axis.inside(whole(static_cast<float>(o) * axis.step()));
}
void nearest_exact(const Axis& axis, int64_t o, int64_t, int32_t* taps, float*) {
  taps[0] = axis.inside(whole((static_cast<float>(o) + 0.5f) * axis.step()));
}
void linear(const Axis& axis, int64_t o, int64_t, int32_t* taps, float* weights) {
  const Split at = split(axis, std::max(axis.place(o), 0.0f));
  taps[0] = axis.inside(at.first), taps[1] = axis.inside(at.first + 1);
  weights[0] = 1 - at.rest, weights[1] = at.rest;
}
/// Keys' convolution at distances up to 1, and from 1 to 2.
float cubic_near(float x, float a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
float cubic_far(float x, float a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }
void cubic(const Axis& axis, int64_t o, int64_t, int32_t* taps, float* weights) {
  constexpr float kA = -0.75f;
  const Split at = split(axis, axis.place(o));
  for (int t = 0; t < 4; ++t) taps[t] = axis.inside(at.first + t - 1);
  weights[0] = cubic_far(at.rest + 1, kA), weights[1] = cubic_near(at.rest, kA);
  weights[2] = cubic_near(1 - at.rest, kA), weights[3] = cubic_far(2 - at.rest, kA);
}

/// Where fewer inputs are in reach than there are taps, the last input comes again and shares its weight: with a weight
/// of 0 an infinity would become NaN.
template <float (*kWeight)(float distance), int kReach>
void widened(const Axis& axis, int64_t o, int64_t count, int32_t* taps, float* weights) {
  const float wide = Filter::widened(axis), narrow = 1 / wide;
  const float center = axis.step() * (static_cast<float>(o) + 0.5f);
  const int64_t first = axis.inside(whole(center - kReach * wide + 0.5f));
  const int64_t end = std::min(whole(center + kReach * wide + 0.5f), axis.in);
  const int64_t inputs = std::clamp<int64_t>(end - first, 1, count);
  float total = 0;
  for (int64_t t = 0; t < count; ++t) {
    taps[t] = static_cast<int32_t>(first + std::min(t, inputs - 1));
    weights[t] = kWeight(std::fabs((static_cast<float>(taps[t]) - center + 0.5f) * narrow));
    if (t >= inputs - 1) weights[t] /= static_cast<float>(count - inputs + 1);
    total += weights[t];
  }
  for (int64_t t = 0; t < count; ++t) weights[t] /= total;
}
float triangle(float x) { return std::max(1 - x, 0.0f); }
float cubic_wide(float x) {
  constexpr float kA = -0.5f;
  return x < 1 ? cubic_near(x, kA) : x < 2 ? cubic_far(x, kA) : 0;
}

constexpr Filter kNearest{nearest, 1}, kNearestExact{nearest_exact, 1}, kLinear{linear, 2}, kCubic{cubic, 4};
constexpr Filter kLinearWidened{widened<triangle, 1>, 0, 1}, kCubicWidened{widened<cubic_wide, 2>, 0, 2};

Result<ValueId> resize_axis(Legalizer& l, ValueId x, int64_t dim, const Axis& axis, const Filter& filter) {
  TapsAttrs a;
  a.axis = dim;
  a.taps = filter.count(axis);
  const auto taps = static_cast<size_t>(a.taps), outs = static_cast<size_t>(axis.out);
  a.index.resize(taps * outs);
  const bool weighted = filter.places != nearest && filter.places != nearest_exact;
  if (weighted) a.weights.resize(taps * outs);
  std::vector<int32_t> index(taps);
  std::vector<float> weights(taps);
  for (size_t o = 0; o < outs; ++o) {
    filter.places(axis, static_cast<int64_t>(o), a.taps, index.data(), weights.data());
    for (size_t t = 0; t < taps; ++t) {
      a.index[t * outs + o] = index[t];
      if (weighted) a.weights[t * outs + o] = weights[t];
    }
  }
  return l.b.taps(x, std::move(a));
}

/// What the spatial dims become: the size that is asked for, else as many times as many, rounded down.
Result<Shape> resized(Legalizer& l, const Node& node, const Shape& from) {
  Shape to = from;
  const std::vector<int64_t> size = l.integers(node, "output_size");
  const size_t dims = from.size() < 2 ? 0 : from.size() - 2;
  for (size_t i = 0; i < dims; ++i) {
    const double scale = given_scale(l, node, i, dims);
    if (size.empty() ? !(scale > 0 && scale < 65536) : size.size() != dims)
      return misfit(node.source + ": neither a size nor a scale for each spatial dim");
    to[2 + i] = size.empty() ? Dim(whole_part(static_cast<double>(from[2 + i].value) * scale)) : Dim(size[i]);
  }
  return to;
}

/// [N, C, …] with its other dims resized one by one, those first that leave the least to do.
Status resize(Legalizer& l, const Node& node, const Filter& filter) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (filter.taps != 1) {
    KILN_ASSIGN(x, l.need_f32(node, 0));
  }
  const Shape from = l.b.shape(x);
  KILN_ASSIGN(const Shape to, resized(l, node, from));
  if (from.size() < 3 || from.size() > 5 || to.size() != from.size())
    return misfit(node.source + ": expected 3 to 5 dims");
  std::vector<size_t> left;
  for (size_t i = 2; i < from.size(); ++i) {
    if (from[i].value < 1 || to[i].value < 1 || from[i].value > kMaxAxis || to[i].value > kMaxAxis)
      return l.unsupported(node, "sizes of 1 to 65536 are supported");
    left.push_back(i);
  }
  const bool align = l.flag(node, "align_corners", false);
  while (!left.empty()) {
    size_t next = 0;
    for (size_t k = 1; k < left.size(); ++k)
      if (to[left[k]].value * from[left[next]].value < to[left[next]].value * from[left[k]].value) next = k;
    const size_t i = left[next];
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(next));
    const Axis axis{from[i].value, to[i].value, align, given_scale(l, node, i - 2, from.size() - 2), from.size() == 4};
    // Whatever factor was given.
    const bool by_size = filter.places == linear || filter.reach > 0 || (filter.places == nearest && axis.in_plane);
    if (axis.in == axis.out && (by_size || axis.given <= 0 || axis.given == 1)) continue;
    if (filter.count(axis) > kMaxTaps)
      return l.unsupported(node, "shrinking so much at once is not supported with antialias: pool before");
    KILN_ASSIGN(x, resize_axis(l, x, static_cast<int64_t>(i), axis, filter));
  }
  return l.set(node, x);
}
Status resize_nearest_exact(Legalizer& l, const Node& node) { return resize(l, node, kNearestExact); }
Status resize_linear(Legalizer& l, const Node& node) { return resize(l, node, kLinear); }
Status resize_cubic(Legalizer& l, const Node& node) { return resize(l, node, kCubic); }
Status resize_linear_widened(Legalizer& l, const Node& node) { return resize(l, node, kLinearWidened); }
Status resize_cubic_widened(Legalizer& l, const Node& node) { return resize(l, node, kCubicWidened); }

/// With whole factors every element is repeated, which is a view: [N,C,H,W] → [N,C,H,1,W,1] → [N,C,H,k,W,k].
Status resize_nearest(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape from = l.b.shape(x);
  KILN_ASSIGN(const Shape to, resized(l, node, from));
  if (from.size() != 3 && from.size() != 4) return resize(l, node, kNearest);
  if (to.size() != from.size()) return misfit(node.source + ": expected 3 or 4 dims");
  Shape lifted{from[0], from[1]}, wide = lifted;
  for (size_t i = 2; i < from.size(); ++i) {
    const int64_t in = from[i].value, out = to[i].value;
    if (in < 1 || out % in) return resize(l, node, kNearest);
    const double given = given_scale(l, node, i - 2, from.size() - 2);
    const bool exact = given <= 0 || given * static_cast<double>(in) == static_cast<double>(out);
    if (!exact && !(from.size() == 4 && out / in <= 2)) return resize(l, node, kNearest);  // 3.2 makes 6 of 2
    lifted.insert(lifted.end(), {from[i], Dim(1)});
    wide.insert(wide.end(), {from[i], Dim(to[i].value / from[i].value)});
  }
  KILN_ASSIGN(const ValueId a, l.b.reshape(x, lifted));
  KILN_ASSIGN(const ValueId b, l.b.expand(a, wide));
  KILN_ASSIGN(const ValueId y, l.b.reshape(b, to));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> resize_ops() {
  return {
      {"aten._upsample_bicubic2d_aa.default", resize_cubic_widened},
      {"aten._upsample_bilinear2d_aa.default", resize_linear_widened},
      {"aten._upsample_nearest_exact1d.vec", resize_nearest_exact},
      {"aten._upsample_nearest_exact2d.vec", resize_nearest_exact},
      {"aten._upsample_nearest_exact3d.vec", resize_nearest_exact},
      {"aten.upsample_bicubic2d.vec", resize_cubic},
      {"aten.upsample_bilinear2d.default", resize_linear},
      {"aten.upsample_bilinear2d.vec", resize_linear},
      {"aten.upsample_linear1d.vec", resize_linear},
      {"aten.upsample_nearest1d.vec", resize_nearest},
      {"aten.upsample_nearest2d.default", resize_nearest},
      {"aten.upsample_nearest2d.vec", resize_nearest},
      {"aten.upsample_nearest3d.vec", resize_nearest},
      {"aten.upsample_trilinear3d.vec", resize_linear},
  };
}

}  // namespace kiln
