// Views and other rearrangements of one tensor.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// A size list of a tensor of `count` elements, in which one entry may be -1.
Result<Shape> wanted_shape(Legalizer& l, const Node& node, int64_t count, const char* attr) {
  Shape shape;
  int64_t known = 1;
  int unknown = -1;
  for (int64_t size : l.integers(node, attr)) {
    const bool too_large = size > 0 && (__builtin_mul_overflow(known, size, &known) || known > kMaxElements);
    if (size < -1 || (size == -1 && unknown >= 0) || too_large)
      return misfit(node.source + ": sizes that make no shape");
    if (size == -1) unknown = static_cast<int>(shape.size());
    shape.push_back(Dim(size));
  }
  if (unknown >= 0 && known == 0) return misfit(node.source + ": -1 stands for any size where another is 0");
  if (unknown >= 0) shape[static_cast<size_t>(unknown)] = Dim(count / known);
  return shape;
}

/// To the sizes that are given, or to the shape of a second operand (view_as).
Status view(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const char* attr = l.has(node, "size") ? "size" : "shape";
  KILN_ASSIGN(const Shape sizes, wanted_shape(l, node, element_count(l.b.shape(x)), attr));
  const ValueId like = l.in(node, 1);
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, like == kNoValue ? sizes : l.b.shape(like)));
  return l.set(node, y);
}

/// Several axes as one, a scalar as a vector; or one axis as several (unflatten).
Status flatten(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape& from = l.b.shape(x);
  const int64_t rank = l.b.rank(x);
  const bool splits = node.source == "aten.unflatten.int";
  KILN_ASSIGN(const int64_t first, l.axis(l.integer(node, splits ? "dim" : "start_dim", 0), rank));
  KILN_ASSIGN(const int64_t last, l.axis(l.integer(node, splits ? "dim" : "end_dim", splits ? 0 : -1), rank));
  if (last < first) return misfit(node.source + ": the last dim stands before the first");
  int64_t count = 1;
  for (int64_t i = first; i <= last && i < rank; ++i) count *= from[static_cast<size_t>(i)].value;
  Shape parts{Dim(count)}, to;
  if (splits) {
    KILN_ASSIGN(parts, wanted_shape(l, node, count, "sizes"));
  }
  for (int64_t i = 0; i <= rank; ++i) {
    if (i == first)
      for (const Dim& d : parts) to.push_back(d);
    if (i < rank && (i < first || i > last)) to.push_back(from[static_cast<size_t>(i)]);
  }
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, to));
  return l.set(node, y);
}

Status unsqueeze(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x) + 1));
  Shape to = l.b.shape(x);
  to.insert(to.begin() + axis, Dim(1));
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, to));
  return l.set(node, y);
}

Status squeeze(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, l.axes(l.integers(node, "dim"), l.b.rank(x)));
  const bool all = !l.has(node, "dim");
  Shape to;
  for (int64_t i = 0; i < l.b.rank(x); ++i) {
    const Dim d = l.b.shape(x)[static_cast<size_t>(i)];
    const bool chosen = all || std::count(axes.begin(), axes.end(), i);
    if (!(chosen && d == Dim(1))) to.push_back(d);
  }
  KILN_ASSIGN(const ValueId y, l.b.reshape(x, to));
  return l.set(node, y);
}

Status permute(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, l.axes(l.integers(node, "dims"), l.b.rank(x)));
  KILN_ASSIGN(const ValueId y, l.b.permute(x, axes));
  return l.set(node, y);
}

/// Swaps two axes: transpose.int and t.
Status transpose(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const int64_t rank = l.b.rank(x);
  if (rank < 2) return l.set(node, x);
  KILN_ASSIGN(const int64_t a, l.axis(l.integer(node, "dim0", 0), rank));
  KILN_ASSIGN(const int64_t b, l.axis(l.integer(node, "dim1", 1), rank));
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < rank; ++i) axes.push_back(i == a ? b : i == b ? a : i);
  KILN_ASSIGN(const ValueId y, l.b.permute(x, std::move(axes)));
  return l.set(node, y);
}

Status expand(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  Shape to;
  const std::vector<int64_t> sizes = l.integers(node, "size");
  const Shape& from = l.b.shape(x);
  if (sizes.size() < from.size()) return misfit(node.source + ": fewer sizes than dims");
  const size_t added = sizes.size() - from.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 && (sizes[i] != -1 || i < added)) return misfit(node.source + ": a size is negative");
    to.push_back(sizes[i] == -1 ? from[i - added] : Dim(sizes[i]));
  }
  KILN_ASSIGN(const ValueId y, l.b.expand(x, to));
  return l.set(node, y);
}

Status expand_as(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId like, l.need(node, 1));
  KILN_ASSIGN(const ValueId y, l.b.expand(x, Shape(l.b.shape(like))));
  return l.set(node, y);
}

/// Repeats each axis of size n r times: [n] → [1,n] → [r,n] → [r·n].
Status repeat(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  std::vector<int64_t> repeats = l.integers(node, l.has(node, "repeats") ? "repeats" : "dims");
  while (static_cast<int64_t>(repeats.size()) < l.b.rank(x)) repeats.insert(repeats.begin(), 1);  // tile allows fewer
  Shape from(repeats.size() - l.b.shape(x).size(), Dim(1));
  from.insert(from.end(), l.b.shape(x).begin(), l.b.shape(x).end());
  KILN_ASSIGN(x, l.b.reshape(x, from));
  for (size_t i = 0; i < repeats.size(); ++i) {
    const int64_t times = repeats[i];
    if (times == 1) continue;
    if (times < 0 || times > kMaxElements) return misfit(node.source + ": repeats must not be negative");
    Shape shape = l.b.shape(x);
    const int64_t size = shape[i].value;
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(i), Dim(1));
    KILN_ASSIGN(const ValueId lifted, l.b.reshape(x, shape));
    shape[i] = Dim(times);
    KILN_ASSIGN(const ValueId wide, l.b.expand(lifted, shape));
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(i));
    shape[i] = Dim(size * times);
    KILN_ASSIGN(x, l.b.reshape(wide, shape));
  }
  return l.set(node, x);
}

/// [N, C·r², H, W] → [N, C, H·r, W·r], or back.
template <bool kUnshuffle>
Status pixel_shuffle(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  const Shape s = l.b.shape(x);
  const int64_t r = l.integer(node, kUnshuffle ? "downscale_factor" : "upscale_factor", 1);
  if (s.size() != 4 || r < 1 || r > 1024) return misfit(node.source + ": expected 4 dims and a positive factor");
  const int64_t n = s[0].value, c = s[1].value, h = s[2].value, w = s[3].value;
  if (kUnshuffle ? h % r || w % r : c % (r * r)) return misfit(node.source + ": the factor does not divide the shape");
  const Shape split = kUnshuffle ? Shape{n, c, h / r, r, w / r, r} : Shape{n, c / (r * r), r, r, h, w};
  KILN_ASSIGN(const ValueId a, l.b.reshape(x, split));
  KILN_ASSIGN(const ValueId b, l.b.permute(a, kUnshuffle ? std::vector<int64_t>{0, 1, 3, 5, 2, 4}
                                                         : std::vector<int64_t>{0, 1, 4, 2, 5, 3}));
  KILN_ASSIGN(const ValueId y,
              l.b.reshape(b, kUnshuffle ? Shape{n, c * r * r, h / r, w / r} : Shape{n, c / (r * r), h * r, w * r}));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> layout_ops() {
  return {
      {"aten._unsafe_view.default", view},
      {"aten.expand.default", expand},
      {"aten.expand_as.default", expand_as},
      {"aten.flatten.using_ints", flatten},
      {"aten.numpy_T.default", transpose},
      {"aten.permute.default", permute},
      {"aten.permute_copy.default", permute},
      {"aten.pixel_shuffle.default", pixel_shuffle<false>},
      {"aten.pixel_unshuffle.default", pixel_shuffle<true>},
      {"aten.repeat.default", repeat},
      {"aten.reshape.default", view},
      {"aten.squeeze.default", squeeze},
      {"aten.squeeze.dim", squeeze},
      {"aten.squeeze.dims", squeeze},
      {"aten.t.default", transpose},
      {"aten.tile.default", repeat},
      {"aten.transpose.int", transpose},
      {"aten.unflatten.int", flatten},
      {"aten.unsqueeze.default", unsqueeze},
      {"aten.view.default", view},
      {"aten.view_as.default", view},
      {"aten.view_copy.default", view},
  };
}

}  // namespace kiln
