// Pooling.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// One spatial dim is a row: [N,C,L] ↔ [N,C,1,L].
Result<ValueId> lift(Legalizer& l, const Node& node, ValueId x, bool& flat) {
  flat = l.b.rank(x) == 3;
  const Shape s = l.b.shape(x);
  // max_pool1d's 3 dims are [N,C,L]; an unbatched 2-d input reads as [C,H,W] and cannot be told apart by its rank
  // alone.
  if (flat && node.source.find("1d") == std::string::npos)
    return l.unsupported(node, "an input without a batch dim is not supported");
  if (flat) return l.b.reshape(x, {s[0], s[1], Dim(1), s[2]});
  return x;
}

Status finish(Legalizer& l, const Node& node, ValueId y, bool flat) {
  if (flat) {
    const Shape s = l.b.shape(y);
    KILN_ASSIGN(y, l.b.reshape(y, {s[0], s[1], s[3]}));
  }
  return l.set(node, y);
}

/// With ceil_mode a last window may reach over the end, if it starts inside the input or its left padding: more padding
/// at the end.
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

template <WindowKind kKind>
Status pool(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  bool flat = false;
  KILN_ASSIGN(x, lift(l, node, x, flat));
  if (l.b.rank(x) != 4) return misfit(node.source + ": the input must have 4 dims");
  PoolAttrs a;
  a.kind = kKind;
  a.kernel = l.pair(node, "kernel_size", 1);
  a.stride = l.integers(node, "stride").empty() ? a.kernel : l.pair(node, "stride", 1);
  a.pad_begin = a.pad_end = l.pair(node, "padding", 0);
  if (kKind == WindowKind::max) a.dilation = l.pair(node, "dilation", 1);
  a.count_include_pad = l.flag(node, "count_include_pad", true);
  a.divisor = l.integer(node, "divisor_override", 0);
  if (flat) a.kernel[0] = a.stride[0] = a.dilation[0] = 1, a.pad_begin[0] = a.pad_end[0] = 0;
  if (l.flag(node, "ceil_mode", false)) {
    const auto before = a.pad_end;
    KILN_TRY(extend(node, a, l.b.shape(x)));
    const bool reaches_over = a.pad_end[0] > before[0] || a.pad_end[1] > before[1];
    if (kKind == WindowKind::average && a.count_include_pad && !a.divisor && reaches_over) {
      if (before != std::array<int64_t, 2>{0, 0})
        return l.unsupported(node, "ceil_mode with padding that counts is not supported");
      a.count_include_pad = false;  // what lies over the end never counts
    }
  }
  KILN_ASSIGN(const ValueId y, l.b.pool(x, a));
  return finish(l, node, y, flat);
}

/// Windows of equal size, when the input divides evenly; the whole input is a plain reduction.
template <WindowKind kKind>
Status adaptive(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  bool flat = false;
  KILN_ASSIGN(x, lift(l, node, x, flat));
  if (l.b.rank(x) != 4) return misfit(node.source + ": the input must have 4 dims");
  std::array<int64_t, 2> size = l.pair(node, "output_size", 1);
  if (flat) size[0] = 1;
  if (size == std::array<int64_t, 2>{1, 1}) {
    KILN_ASSIGN(
        const ValueId y,
        l.b.reduce(x, ReduceAttrs{kKind == WindowKind::max ? ReduceKind::max : ReduceKind::mean, {2, 3}, true}));
    return finish(l, node, y, flat);
  }
  PoolAttrs a;
  a.kind = kKind;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = l.b.shape(x)[2 + i].value;
    if (size[i] < 1 || in % size[i])
      return l.unsupported(node, "an output size that does not divide the input is not supported");
    a.kernel[i] = a.stride[i] = in / size[i];
  }
  KILN_ASSIGN(const ValueId y, l.b.pool(x, a));
  return finish(l, node, y, flat);
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
