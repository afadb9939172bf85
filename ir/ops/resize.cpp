// Resizing: each output of an axis is a weighted sum of the few inputs around its place, as PyTorch computes where that
// is (in float32).
#include <algorithm>
#include <cmath>

#include "ir/legalizer.h"

namespace kiln {
namespace {

constexpr int64_t kMaxAxis = 65536;

/// ⌊v⌋, of what a file may ask for.
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
  /// Where output o lies among the inputs.
  float place(int64_t o) const {
    const auto at = static_cast<float>(o);
    return align_corners ? at * step() : (at + 0.5f) * step() - 0.5f;
  }
  int32_t inside(int64_t i) const { return static_cast<int32_t>(std::clamp<int64_t>(i, 0, in - 1)); }
};

/// The input at or before the place, and how far behind it that lies.
struct Split {
  int64_t first;
  float rest;
};
Split split(const Axis& axis, float place) {
  const int64_t first = std::min(whole(place), axis.in - 1);
  return {first, std::clamp(place - static_cast<float>(first), 0.0f, 1.0f)};
}

// Each makes taps[t] and weights[t] of output o.
using Places = void (*)(const Axis& axis, int64_t o, int32_t* taps, float* weights);

void nearest(const Axis& axis, int64_t o, int32_t* taps, float*) {
  const bool twice = axis.in_plane && axis.out == 2 * axis.in;  // whatever factor was given
  taps[0] = twice ? axis.inside(o / 2) : axis.inside(whole(static_cast<float>(o) * axis.step()));
}
void nearest_exact(const Axis& axis, int64_t o, int32_t* taps, float*) {
  taps[0] = axis.inside(whole((static_cast<float>(o) + 0.5f) * axis.step()));
}
void linear(const Axis& axis, int64_t o, int32_t* taps, float* weights) {
  const Split at = split(axis, std::max(axis.place(o), 0.0f));
  taps[0] = axis.inside(at.first), taps[1] = axis.inside(at.first + 1);
  weights[0] = 1 - at.rest, weights[1] = at.rest;
}
/// Keys' convolution with a = −0.75.
void cubic(const Axis& axis, int64_t o, int32_t* taps, float* weights) {
  constexpr float kA = -0.75f;
  const auto near = [](float x) { return ((kA + 2) * x - (kA + 3)) * x * x + 1; };
  const auto far = [](float x) { return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA; };
  const Split at = split(axis, axis.place(o));
  for (int t = 0; t < 4; ++t) taps[t] = axis.inside(at.first + t - 1);
  weights[0] = far(at.rest + 1), weights[1] = near(at.rest), weights[2] = near(1 - at.rest),
  weights[3] = far(2 - at.rest);
}

Result<ValueId> resize_axis(Legalizer& l, ValueId x, int64_t dim, const Axis& axis, Places places, size_t taps) {
  TapsAttrs a;
  a.axis = dim;
  a.taps = static_cast<int64_t>(taps);
  const auto outs = static_cast<size_t>(axis.out);
  a.index.resize(taps * outs);
  if (taps > 1) a.weights.resize(taps * outs);
  for (size_t o = 0; o < outs; ++o) {
    int32_t index[4];
    float weights[4];
    places(axis, static_cast<int64_t>(o), index, weights);
    for (size_t t = 0; t < taps; ++t) {
      a.index[t * outs + o] = index[t];
      if (taps > 1) a.weights[t * outs + o] = weights[t];
    }
  }
  return l.b.taps(x, std::move(a));
}

/// What the spatial dims become: the size that is asked for, else as many times as many, rounded down.
Result<Shape> resized(Legalizer& l, const Node& node, const Shape& from) {
  Shape to = from;
  const std::vector<int64_t> size = l.integers(node, "output_size");
  const size_t dims = from.size() < 2 ? 0 : from.size() - 2;
  if (!size.empty() && size.size() != dims) return misfit(node.source + ": a size for each spatial dim is expected");
  for (size_t i = 0; i < dims; ++i) {
    const double scale = given_scale(l, node, i, dims);
    if (size.empty() && !(scale > 0 && scale < 65536)) return misfit(node.source + ": neither a size nor a scale");
    to[2 + i] = size.empty() ? Dim(whole_part(static_cast<double>(from[2 + i].value) * scale)) : Dim(size[i]);
  }
  return to;
}

/// [N, C, …] with its other dims resized one by one, those first that leave the least to do.
Status resize(Legalizer& l, const Node& node, Places places, size_t taps) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (taps > 1) {
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
    const bool by_size = places == linear || (places == nearest && axis.in_plane);  // whatever factor was given
    if (axis.in == axis.out && (by_size || axis.given <= 0 || axis.given == 1)) continue;
    KILN_ASSIGN(x, resize_axis(l, x, static_cast<int64_t>(i), axis, places, taps));
  }
  return l.set(node, x);
}
Status resize_nearest_exact(Legalizer& l, const Node& node) { return resize(l, node, nearest_exact, 1); }
Status resize_linear(Legalizer& l, const Node& node) { return resize(l, node, linear, 2); }
Status resize_cubic(Legalizer& l, const Node& node) { return resize(l, node, cubic, 4); }

/// By whole factors every element comes several times over, which is a view: [N,C,H,W] → [N,C,H,1,W,1] →
/// [N,C,H,k,W,k].
Status resize_nearest(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape from = l.b.shape(x);
  KILN_ASSIGN(const Shape to, resized(l, node, from));
  if (from.size() != 3 && from.size() != 4) return resize(l, node, nearest, 1);
  if (to.size() != from.size()) return misfit(node.source + ": expected 3 or 4 dims");
  Shape lifted{from[0], from[1]}, wide = lifted;
  for (size_t i = 2; i < from.size(); ++i) {
    const int64_t in = from[i].value, out = to[i].value;
    if (in < 1 || out % in) return resize(l, node, nearest, 1);
    const double given = given_scale(l, node, i - 2, from.size() - 2);
    const bool exact = given <= 0 || given * static_cast<double>(in) == static_cast<double>(out);
    if (!exact && !(from.size() == 4 && out / in <= 2)) return resize(l, node, nearest, 1);  // 3.2 makes 6 of 2
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
