// Images sampled at positions that the model computes.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

enum class Filter { linear, nearest, cubic };
enum class Outside { zeros, border, reflection };  // what stands beyond the edge

struct Sampling {
  Filter filter;
  Outside outside;
  bool align_corners;
  double cubic_a;
};

/// Positions in pixels of an axis of `size`, from coordinates between -1 and 1.
Term in_pixels(Term x, double size, bool align_corners) {
  return align_corners ? (x + 1) / 2 * (size - 1) : ((x + 1) * size - 1) / 2;
}

/// A position beyond an edge, mirrored there as often as it takes: at the middle of the pixel, or at its border.
Term mirrored(Fx& f, Term x, double size, bool align_corners) {
  const double low = align_corners ? 0 : -0.5, span = align_corners ? size - 1 : size;
  if (span <= 0) return f.c(0);
  const Term far = f.un(PointOp::abs, x - low);
  const Term extra = f.bin(PointOp::fmod, far, f.c(span)), flips = f.un(PointOp::floor, far / span);
  const Term even = f.bin(PointOp::eq, f.bin(PointOp::fmod, flips, f.c(2)), f.c(0));
  return f.where(even, extra + low, f.c(span + low) - extra);
}

Term clipped(Fx& f, Term x, double size) { return f.bin(PointOp::min, f.bin(PointOp::max, x, f.c(0)), f.c(size - 1)); }

Term moved_inside(Fx& f, Term x, double size, const Sampling& how) {
  if (how.outside == Outside::zeros) return x;
  if (how.outside == Outside::reflection) x = mirrored(f, x, size, how.align_corners);
  return clipped(f, x, size);
}

/// A pixel among those of an image in a row, from its position on each axis, which are whole numbers. Beyond an edge it
/// is the pixel of zeros that stands behind the image.
Term pixel(Fx& f, const std::vector<Term>& places, const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  Term flat = f.whole(0, Lane::i32), inside = f.to(f.whole(1, Lane::i32), Lane::mask);
  for (size_t d = 0; d < sizes.size(); ++d) {
    const Term end = f.c(static_cast<double>(sizes[d] - 1));
    inside =
        f.bin(PointOp::logical_and, inside,
              f.bin(PointOp::logical_and, f.bin(PointOp::ge, places[d], f.c(0)), f.bin(PointOp::le, places[d], end)));
    flat = flat * f.whole(sizes[d], Lane::i32) + f.to(places[d], Lane::i32);
  }
  return f.where(inside, flat, f.whole(count, Lane::i32));
}

/// Keys' weight of the tap `t` (0 to 3) at distance `rest` behind tap 1.
Term cubic_weight(Fx& f, Term rest, int t, double a) {
  const auto near = [&](Term x) { return (x * (a + 2) - (a + 3)) * x * x + 1; };
  const auto far = [&](Term x) { return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a; };
  if (t == 0) return far(rest + 1);
  if (t == 1) return near(rest);
  return t == 2 ? near(f.c(1) - rest) : far(f.c(2) - rest);
}

/// One pixel that an output is made of: where, and with which weight, from positions on each axis (the operands).
struct Tap {
  Expr place, weight;
};

/// A tap for each choice of one neighbour on each axis.
std::vector<Tap> taps_of(const Sampling& how, const std::vector<int64_t>& sizes) {
  const size_t dims = sizes.size();
  const int each = how.filter == Filter::nearest ? 1 : how.filter == Filter::linear ? 2 : 4;
  int count = 1;
  for (size_t d = 0; d < dims; ++d) count *= each;
  std::vector<Tap> taps;
  for (int n = 0; n < count; ++n) {
    Fx at, by;
    std::vector<Term> places;
    Term weight = by.c(1);
    int rest = n;
    for (size_t d = dims; d-- > 0; rest /= each) {
      const int neighbour = rest % each, operand = static_cast<int>(d);
      const auto size = static_cast<double>(sizes[d]);
      if (how.filter == Filter::nearest) {
        places.insert(places.begin(), at.un(PointOp::round, at.in(operand)));
        continue;
      }
      const int first = how.filter == Filter::cubic ? -1 : 0;
      Term place = at.un(PointOp::floor, at.in(operand)) + (neighbour + first);
      if (how.filter == Filter::cubic) place = moved_inside(at, place, size, how);
      places.insert(places.begin(), place);
      const Term x = by.in(operand), behind = x - by.un(PointOp::floor, x);
      const Term own = how.filter == Filter::cubic ? cubic_weight(by, behind, neighbour, how.cubic_a)
                       : neighbour == 0            ? by.c(1) - behind
                                                   : behind;
      weight = weight * own;
    }
    taps.push_back({at.finish(pixel(at, places, sizes)), by.finish(weight)});
  }
  return taps;
}

/// sum + Σ pixels[i] · weights[i], in the order of the taps.
Result<ValueId> weighted_sum(Legalizer& l, ValueId sum, const std::vector<ValueId>& pixels,
                             const std::vector<ValueId>& weights) {
  Fx f;
  std::vector<ValueId> operands = pixels;
  operands.insert(operands.end(), weights.begin(), weights.end());
  const auto count = static_cast<int>(pixels.size());
  Term t = f.in(0) * f.in(count);
  if (sum != kNoValue) {
    operands.push_back(sum);
    t = f.in(2 * count) + t;
  }
  for (int i = 1; i < count; ++i) t = t + f.in(i)*f.in(count + i);
  return l.b.map(f.finish(t), operands, DType::f32);
}

/// x as [N, pixels and one of zeros, C]: what one position takes lies together.
Result<ValueId> rows_of_pixels(Legalizer& l, ValueId x, int64_t pixels) {
  const Shape s = l.b.shape(x);
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], Dim(pixels)}));
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1}));
  PadAttrs pad;
  pad.before = {0, 0, 0}, pad.after = {0, 1, 0};
  return l.b.pad(x, pad);
}

/// Positions in pixels on each axis, [N, points]; the last axis of the grid has the innermost one first.
Result<std::vector<ValueId>> positions(Legalizer& l, ValueId grid, const std::vector<int64_t>& sizes, const Dim& points,
                                       const Sampling& how) {
  const Shape s = l.b.shape(grid);
  std::vector<ValueId> out;
  for (size_t d = 0; d < sizes.size(); ++d) {
    const auto size = static_cast<double>(sizes[d]);
    KILN_ASSIGN(ValueId at, l.b.slice_axis(grid, l.b.rank(grid) - 1, static_cast<int64_t>(sizes.size() - 1 - d), 1));
    KILN_ASSIGN(at, l.b.reshape(at, {s[0], points}));
    Fx f;
    Term t = in_pixels(f.in(0), size, how.align_corners);
    if (how.filter != Filter::cubic) t = moved_inside(f, t, size, how);
    KILN_ASSIGN(at, l.b.map(f.finish(t), {at}, DType::f32));
    out.push_back(at);
  }
  return out;
}

/// x [N, C, spatial…], grid [N, out…, as many coordinates] → [N, C, out…]. As in PyTorch's GridSamplerKernel.cpp.
Result<ValueId> grid_sample(Legalizer& l, const Node& node, ValueId x, ValueId grid, const Sampling& how) {
  const Shape sx = l.b.shape(x), sg = l.b.shape(grid);
  const size_t dims = sx.size() < 3 ? 0 : sx.size() - 2;
  if (dims < 1 || dims > 3 || sg.size() != sx.size() || sg[0] != sx[0] || sg.back().value != static_cast<int64_t>(dims))
    return misfit(node.source + ": input " + to_string(sx) + " and grid " + to_string(sg) + " do not fit");
  if (how.filter == Filter::cubic && dims != 2) return l.unsupported(node, "bicubic sampling is of images");
  std::vector<int64_t> sizes;
  int64_t pixels = 1;
  for (size_t d = 0; d < dims; ++d) {
    sizes.push_back(sx[2 + d].value);
    if (sizes.back() < 1) return misfit(node.source + ": the input has no pixels");
    if (__builtin_mul_overflow(pixels, sizes.back(), &pixels) || pixels >= (int64_t{1} << 24))
      return l.unsupported(node, "an image of 2^24 pixels or more");  // floats no longer count them
  }
  Shape to(sg.begin() + 1, sg.end() - 1);
  to.insert(to.begin(), {sx[0], sx[1]});
  if (is_empty(to)) return l.b.expand(l.b.scalar(0, DType::f32), to);
  const Dim points(element_count(Shape(sg.begin() + 1, sg.end() - 1)));
  KILN_ASSIGN(const std::vector<ValueId> at, positions(l, grid, sizes, points, how));
  KILN_ASSIGN(const ValueId table, rows_of_pixels(l, x, pixels));
  constexpr size_t kTogether = 4;  // taps of one pass
  ValueId sum = kNoValue;
  std::vector<ValueId> taken, weights;
  const std::vector<Tap> taps = taps_of(how, sizes);
  for (const Tap& tap : taps) {
    KILN_ASSIGN(const ValueId place, l.b.map(tap.place, at, DType::i32));
    KILN_ASSIGN(const ValueId pixel, l.b.gather(table, place, 1, 1));
    if (taps.size() == 1) {
      sum = pixel;
      break;
    }
    KILN_ASSIGN(ValueId weight, l.b.map(tap.weight, at, DType::f32));
    KILN_ASSIGN(weight, l.b.reshape(weight, {sx[0], points, Dim(1)}));
    taken.push_back(pixel), weights.push_back(weight);
    if (taken.size() < kTogether && &tap != &taps.back()) continue;
    KILN_ASSIGN(sum, weighted_sum(l, sum, taken, weights));
    taken.clear(), weights.clear();
  }
  KILN_ASSIGN(const ValueId turned, l.b.permute(sum, {0, 2, 1}));
  return l.b.reshape(turned, to);
}

Status grid_sampler(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const ValueId grid, l.need_f32(node, 1));
  const int64_t mode = l.integer(node, "interpolation_mode", 0), beyond = l.integer(node, "padding_mode", 0);
  if (mode < 0 || mode > 2 || beyond < 0 || beyond > 2) return misfit(node.source + ": there is no such mode");
  const Sampling how{static_cast<Filter>(mode), static_cast<Outside>(beyond), l.flag(node, "align_corners", false),
                     l.number(node, "cubic_coeff_a", -0.75)};
  KILN_ASSIGN(const ValueId y, grid_sample(l, node, x, grid, how));
  return l.set(node, y);
}

/// theta [N, d, d + 1] → [N, out…, d]: where each pixel of the output lies in the input, between -1 and 1.
Status affine_grid(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId theta, l.need_f32(node, 0));
  const std::vector<int64_t> size = l.integers(node, "size");
  const Shape s = l.b.shape(theta);
  const size_t dims = size.size() < 4 ? 0 : size.size() - 2;
  if (dims < 2 || dims > 3 || s.size() != 3 || s[0].value != size[0] || s[1].value != static_cast<int64_t>(dims) ||
      s[2].value != static_cast<int64_t>(dims) + 1)
    return misfit(node.source + ": theta does not fit the size");
  Shape column(dims + 2, Dim(1));
  column[0] = s[0], column.back() = s[1];
  std::vector<ValueId> operands;
  Fx f;
  Term sum = f.in(static_cast<int>(2 * dims));
  for (size_t c = 0; c <= dims; ++c) {
    KILN_ASSIGN(const ValueId part, l.b.slice_axis(theta, 2, static_cast<int64_t>(c), 1));
    KILN_ASSIGN(const ValueId shaped, l.b.reshape(part, column));
    operands.push_back(shaped);
    if (c == dims) break;
    const size_t axis = dims - c;  // of the result; coordinates have the innermost axis first
    const int64_t count = size[axis + 1];
    if (count < 1 || count > 65536) return l.unsupported(node, "axes of 1 to 65536 pixels are supported");
    std::vector<double> places;
    const bool corners = l.flag(node, "align_corners", false);
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<double>(i), n = static_cast<double>(count);
      places.push_back(corners ? (n > 1 ? 2 * at / (n - 1) - 1 : 0) : (2 * at + 1) / n - 1);
    }
    Shape along(dims + 2, Dim(1));
    along[axis] = Dim(count);
    operands.push_back(l.b.constant(DType::f32, along, write_constant(places, DType::f32)));
    sum = sum + f.in(static_cast<int>(2 * c)) * f.in(static_cast<int>(2 * c + 1));
  }
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(sum), operands, DType::f32));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> sample_ops() {
  return {
      {"aten.affine_grid_generator.default", affine_grid},
      {"aten.grid_sampler.default", grid_sampler},
      {"aten.grid_sampler_2d.default", grid_sampler},
      {"aten.grid_sampler_3d.default", grid_sampler},
  };
}

}  // namespace kiln
