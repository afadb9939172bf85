// ONNX: images of parts of images, whose corners a run brings.
#include <cstdint>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// Along one axis, of points [R, P]: the elements before and after each (i32), how far it is beyond the first, and
/// whether it lies in the image.
struct Points {
  ValueId low = kNoValue, high = kNoValue, beyond = kNoValue, inside = kNoValue;
};

class RoiAlign {
 public:
  RoiAlign(Legalizer& l, const Node& node) : l_(l), b_(l.b), node_(node) {}

  Status run() {
    KILN_ASSIGN(ValueId x, l_.need_f32(node_, 0));
    KILN_ASSIGN(rois_, l_.need_f32(node_, 1));
    KILN_ASSIGN(const ValueId image, l_.need(node_, 2));
    const Shape s = b_.shape(x), regions = b_.shape(rois_);
    if (s.size() != 4 || regions.size() != 2 || regions[1].value != 4 || b_.shape(image) != Shape{regions[0]})
      return misfit(node_.source + ": images, regions of 4 numbers, and the image of each are expected");
    KILN_TRY(read());
    if (is_empty(s) || regions[0].value == 0) return l_.unsupported(node_, "no images, or no regions");
    const int64_t rows = s[2].value, columns = s[3].value;
    if (s[0].value > INT32_MAX / rows / columns) return l_.unsupported(node_, "images of so many elements");
    KILN_ASSIGN(const Points down, points(1, height_, rows));
    KILN_ASSIGN(const Points across, points(0, width_, columns));
    KILN_ASSIGN(x, b_.permute(x, {0, 2, 3, 1}));
    KILN_ASSIGN(x, b_.reshape(x, {s[0].value * rows * columns, s[1]}));
    KILN_ASSIGN(const ValueId first, image_at(image, rows * columns));
    std::vector<ValueId> operands;
    for (const ValueId y : {down.low, down.high})
      for (const ValueId z : {across.low, across.high}) {
        Fx f;
        const Term at = f.in(0, Lane::i32) + f.in(1, Lane::i32) * f.whole(columns, Lane::i32) + f.in(2, Lane::i32);
        KILN_ASSIGN(const ValueId index, b_.map(f.finish(at), {first, y, z}, DType::i32));
        KILN_ASSIGN(const ValueId taken, b_.gather(x, index, 0));
        operands.push_back(taken);  // [R, rows, columns, C]
      }
    for (const ValueId each : {down.beyond, across.beyond, down.inside, across.inside}) {
      Shape lifted = b_.shape(each);
      lifted.push_back(Dim(1));
      KILN_ASSIGN(const ValueId along, b_.reshape(each, lifted));
      operands.push_back(along);
    }
    KILN_ASSIGN(ValueId y, between(operands));
    KILN_ASSIGN(y, b_.reshape(y, {regions[0], height_, samples_, width_, samples_, s[1]}));
    KILN_ASSIGN(y, b_.reduce(y, {most_ ? ReduceKind::max : ReduceKind::mean, {2, 4}, false}));
    KILN_ASSIGN(y, b_.permute(y, {0, 3, 1, 2}));
    return l_.set(node_, y);
  }

 private:
  Status read() {
    const std::string mode = l_.text(node_, "mode", "avg");
    const std::string places =
        l_.text(node_, "coordinate_transformation_mode", opset(l_, node_) < 16 ? "output_half_pixel" : "half_pixel");
    most_ = mode == "max", half_ = places == "half_pixel";
    if ((mode != "avg" && !most_) || (places != "output_half_pixel" && !half_))
      return misfit(node_.source + ": there is no such mode");
    height_ = l_.integer(node_, "output_height", 1), width_ = l_.integer(node_, "output_width", 1);
    samples_ = l_.integer(node_, "sampling_ratio", 0), scale_ = l_.number(node_, "spatial_scale", 1);
    if (samples_ == 0)
      return l_.unsupported(node_, "a number of samples that each region decides: give a sampling_ratio");
    for (const int64_t v : {height_, width_, samples_})
      if (v < 1 || v > 256) return l_.unsupported(node_, "sizes and samples of 1 to 256 are supported");
    return ok();
  }

  /// As [R, 1, P] across and [R, P, 1] down. `first` is the column of the regions where the axis begins.
  Result<Points> points(int64_t first, int64_t outputs, int64_t size) {
    const Dim regions = b_.shape(rois_)[0], all(outputs * samples_);
    std::vector<double> steps;
    for (int64_t i = 0; i < all.value; ++i)
      steps.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(samples_));
    const ValueId step = b_.constant(DType::f32, {all}, write_constant(steps, DType::f32));
    KILN_ASSIGN(const ValueId begin, b_.slice_axis(rois_, 1, first, 1));
    KILN_ASSIGN(const ValueId end, b_.slice_axis(rois_, 1, first + 2, 1));
    Fx f;
    const double offset = half_ ? 0.5 : 0;
    const Term from = f.in(0) * scale_ - offset, length = f.in(1) * scale_ - offset - from;
    const Term long_enough = half_ ? length : f.bin(PointOp::max, length, f.c(1));
    const Term t = from + long_enough / f.c(static_cast<double>(outputs)) * f.in(2);
    KILN_ASSIGN(ValueId at, b_.map(f.finish(t), {begin, end, step}, DType::f32));
    KILN_ASSIGN(at, b_.reshape(at, first == 1 ? Shape{regions, all, Dim(1)} : Shape{regions, Dim(1), all}));
    const auto last = static_cast<double>(size - 1);
    Points p;
    const auto element = [&](int64_t after) {
      Fx g;
      const Term low = g.to(g.bin(PointOp::min, g.bin(PointOp::max, g.in(0), g.c(0)), g.c(last)), Lane::i32);
      const Term moved = g.bin(PointOp::min, low + g.whole(after, Lane::i32), g.whole(size - 1, Lane::i32));
      return b_.map(g.finish(moved), {at}, DType::i32);
    };
    KILN_ASSIGN(p.low, element(0));
    KILN_ASSIGN(p.high, element(1));
    Fx g;
    const Term place = g.bin(PointOp::min, g.bin(PointOp::max, g.in(0), g.c(0)), g.c(last));
    KILN_ASSIGN(p.beyond, b_.map(g.finish(place - g.un(PointOp::trunc, place)), {at}, DType::f32));
    Fx h;
    const Term there = h.bin(PointOp::logical_and, h.bin(PointOp::ge, h.in(0), h.c(-1)),
                             h.bin(PointOp::le, h.in(0), h.c(static_cast<double>(size))));
    KILN_ASSIGN(p.inside, b_.map(h.finish(there), {at}, DType::boolean));
    return p;
  }

  /// Where the image of each region begins; below 0 is no image.
  Result<ValueId> image_at(ValueId image, int64_t size) {
    const Dim regions = b_.shape(rois_)[0];
    KILN_ASSIGN(image, b_.cast(image, DType::i64));
    KILN_ASSIGN(image, b_.reshape(image, {regions, Dim(1), Dim(1)}));
    Fx f;
    const Term number = f.in(0, Lane::i64);
    const Term within = f.bin(PointOp::logical_and, f.bin(PointOp::ge, number, f.whole(0, Lane::i64)),
                              f.bin(PointOp::lt, number, f.whole(INT32_MAX / size, Lane::i64)));
    const Term at = f.to(number * f.whole(size, Lane::i64), Lane::i32);
    return b_.map(f.finish(f.where(within, at, f.whole(INT32_MIN, Lane::i32))), {image}, DType::i32);
  }

  /// Of the four neighbours in operands 0 to 3: their weighted sum, or the largest of their weighted values.
  Result<ValueId> between(const std::vector<ValueId>& operands) {
    Fx f;
    const Term y = f.in(4), x = f.in(5), one = f.c(1);
    const Term a = (one - y) * (one - x) * f.in(0), b = (one - y) * x * f.in(1), c = y * (one - x) * f.in(2),
               d = y * x * f.in(3);
    const auto both = [&](Term u, Term v) { return most_ ? f.bin(PointOp::max, u, v) : u + v; };
    const Term inside = f.bin(PointOp::logical_and, f.in(6, Lane::mask), f.in(7, Lane::mask));
    return b_.map(f.finish(f.where(inside, both(both(a, b), both(c, d)), f.c(0))), operands, DType::f32);
  }

  Legalizer& l_;
  Builder& b_;
  const Node& node_;
  ValueId rois_ = kNoValue;
  bool most_ = false, half_ = true;
  int64_t height_ = 1, width_ = 1, samples_ = 1;
  double scale_ = 1;
};

Status roi_align(Legalizer& l, const Node& node) { return RoiAlign(l, node).run(); }

}  // namespace

std::vector<OpRow> onnx_region_ops() { return {{"onnx.RoiAlign", roi_align}}; }

}  // namespace kiln
