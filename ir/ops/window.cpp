// Pooling.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// Adds dims of 1 that an input lacks, and removes them. One spatial dim is a row, [N,C,L] ↔ [N,C,1,L]. One image is a
/// batch.
struct Lifted {
  ValueId x = kNoValue;
  bool row = false, single = false;
};

Result<Lifted> lift(Legalizer& l, const Node& node) {
  Lifted lifted;
  KILN_ASSIGN(lifted.x, l.need(node, 0));
  lifted.row = node.source.find("1d") != std::string::npos;
  Shape s = l.b.shape(lifted.x);
  if (lifted.row && !s.empty()) s.insert(s.end() - 1, Dim(1));
  lifted.single = s.size() == 3;
  if (lifted.single) s.insert(s.begin(), Dim(1));
  if (s.size() != 4) return misfit(node.source + ": the input has too few or too many dims");
  KILN_ASSIGN(lifted.x, l.b.reshape(lifted.x, s));
  return lifted;
}

Status finish(Legalizer& l, const Node& node, ValueId y, const Lifted& lifted) {
  Shape s = l.b.shape(y);
  if (lifted.row) s.erase(s.end() - 2);
  if (lifted.single) s.erase(s.begin());
  KILN_ASSIGN(y, l.b.reshape(y, s));
  return l.set(node, y);
}

/// With ceil_mode the last window may reach beyond the end, if it starts inside the input or its left padding. That is
/// more padding at the end.
Status extend(const Node& node, PoolAttrs& a, const Shape& in) {
  for (size_t i = 0; i < 2; ++i) {
    constexpr int64_t kMax = 1 << 30;
    const int64_t size = in[2 + i].value;
    if (a.stride[i] < 1 || a.kernel[i] < 1 || a.kernel[i] > kMax || a.dilation[i] < 1 || a.dilation[i] > kMax ||
        a.stride[i] > kMax || a.pad_begin[i] < 0 || a.pad_begin[i] > kMax || size > kMaxElements)
      return misfit(node.source + ": attributes out of range");
    const int64_t reach = (a.kernel[i] - 1) * a.dilation[i] + 1;
    int64_t out = ceil_div(std::max<int64_t>(size + 2 * a.pad_begin[i] - reach, 0), a.stride[i]) + 1;
    if ((out - 1) * a.stride[i] >= size + a.pad_begin[i]) --out;
    a.pad_end[i] = std::max<int64_t>((out - 1) * a.stride[i] + reach - size - a.pad_begin[i], 0);
  }
  return ok();
}

constexpr int64_t kMaxAxis = 65536;  ///< of what is written out element by element

ValueId reals(Legalizer& l, const std::vector<double>& values, const Shape& shape) {
  return l.b.constant(DType::f32, shape, write_constant(values, DType::f32));
}

/// Means where padding counts but elements beyond it do not: sums, divided by the number of elements inside.
Result<ValueId> average_within(Legalizer& l, const Node& node, ValueId x, PoolAttrs a,
                               const std::array<int64_t, 2>& pad_end) {
  a.divisor = 1;
  KILN_ASSIGN(const ValueId sums, l.b.pool(x, a));
  if (std::max(l.b.shape(sums)[2].value, l.b.shape(sums)[3].value) > kMaxAxis)
    return l.unsupported(node, "at most 65536 rows and columns are supported with padding that counts in ceil_mode");
  std::array<ValueId, 2> lengths{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t end = l.b.shape(x)[2 + i].value + a.pad_begin[i] + pad_end[i], out = l.b.shape(sums)[2 + i].value;
    std::vector<double> inside;
    for (int64_t o = 0; o < out; ++o)
      inside.push_back(static_cast<double>(std::min(a.kernel[i], end - o * a.stride[i])));
    lengths[i] = reals(l, inside, i == 0 ? Shape{out, 1} : Shape{out});
  }
  Fx f;
  return l.b.map(f.finish(f.in(0) / (f.in(1) * f.in(2))), {sums, lengths[0], lengths[1]}, DType::f32);
}

template <WindowKind kKind>
Status pool(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Lifted lifted, lift(l, node));
  const ValueId x = lifted.x;
  PoolAttrs a;
  a.kind = kKind;
  a.kernel = l.pair(node, "kernel_size", 1);
  a.stride = l.integers(node, "stride").empty() ? a.kernel : l.pair(node, "stride", 1);
  a.pad_begin = a.pad_end = l.pair(node, "padding", 0);
  if (kKind == WindowKind::max) a.dilation = l.pair(node, "dilation", 1);
  a.count_include_pad = l.flag(node, "count_include_pad", true);
  a.divisor = l.integer(node, "divisor_override", 0);
  if (lifted.row) a.kernel[0] = a.stride[0] = a.dilation[0] = 1, a.pad_begin[0] = a.pad_end[0] = 0;
  if (l.flag(node, "ceil_mode", false)) {
    const auto before = a.pad_end;
    KILN_TRY(extend(node, a, l.b.shape(x)));
    const bool reaches_over = a.pad_end[0] > before[0] || a.pad_end[1] > before[1];
    if (kKind == WindowKind::average && a.count_include_pad && !a.divisor && reaches_over) {
      if (before != std::array<int64_t, 2>{0, 0}) {
        KILN_ASSIGN(const ValueId y, average_within(l, node, x, a, before));
        return finish(l, node, y, lifted);
      }
      a.count_include_pad = false;  // what lies over the end never counts
    }
  }
  KILN_ASSIGN(const ValueId y, l.b.pool(x, a));
  return finish(l, node, y, lifted);
}

/// The most elements from ⌊o · in / out⌋ to before ⌈(o + 1) · in / out⌉. What in / out leaves is r: where r divides
/// out, a share begins or ends on the edge of an element, and so reaches over one more at most; else some reach over
/// two.
int64_t largest_share(int64_t in, int64_t out) {
  const int64_t each = in / out, r = in % out;
  return r == 0 ? each : out % r == 0 ? each + 1 : each + 2;
}

/// A window of the whole input is a plain reduction. Windows may have one size or several.
template <WindowKind kKind>
Status adaptive(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Lifted lifted, lift(l, node));
  const ValueId x = lifted.x;
  std::array<int64_t, 2> size = l.pair(node, "output_size", 1);
  if (lifted.row) size[0] = 1;
  if (size == std::array<int64_t, 2>{1, 1}) {
    KILN_ASSIGN(
        const ValueId y,
        l.b.reduce(x, ReduceAttrs{kKind == WindowKind::max ? ReduceKind::max : ReduceKind::mean, {2, 3}, true}));
    return finish(l, node, y, lifted);
  }
  PoolAttrs a;
  a.kind = kKind;
  bool equal = true;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = l.b.shape(x)[2 + i].value;
    if (size[i] < 1) return l.unsupported(node, "an output size must be positive");
    if (in < 1 || size[i] > kMaxElements / in) return misfit(node.source + ": sizes must be positive, and not absurd");
    equal = equal && in % size[i] == 0;
    a.kernel[i] = a.stride[i] = in / size[i];
  }
  if (!equal) {
    a.even = size;
    for (size_t i = 0; i < 2; ++i) a.kernel[i] = largest_share(l.b.shape(x)[2 + i].value, size[i]);
  }
  KILN_ASSIGN(const ValueId y, l.b.pool(x, a));
  return finish(l, node, y, lifted);
}

}  // namespace

std::vector<OpRow> window_ops() {
  constexpr auto kMax = WindowKind::max;
  constexpr auto kAverage = WindowKind::average;
  return {
      {"aten._adaptive_avg_pool2d.default", adaptive<kAverage>},
      {"aten.adaptive_avg_pool1d.default", adaptive<kAverage>},
      {"aten.adaptive_avg_pool2d.default", adaptive<kAverage>},
      {"aten.adaptive_max_pool2d.default", adaptive<kMax>},
      {"aten.avg_pool1d.default", pool<kAverage>},
      {"aten.avg_pool2d.default", pool<kAverage>},
      {"aten.max_pool1d.default", pool<kMax>},
      {"aten.max_pool2d.default", pool<kMax>},
      {"aten.max_pool2d_with_indices.default", pool<kMax>},
  };
}

}  // namespace kiln
