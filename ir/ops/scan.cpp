// Running sums, products and extremes.
#include "ir/legalizer.h"

namespace kiln {
namespace {

template <ScanKind kKind>
Status running(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const DType own = l.b.value(x).dtype, out = l.dtype(node, "dtype", own == DType::f32 ? own : DType::i64);
  KILN_ASSIGN(x, l.b.cast(x, out));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  if (l.b.rank(x) == 0) return l.set(node, x);
  KILN_ASSIGN(x, l.b.cast(x, kernel_type(out)));  // integers wrap: the low bits of a wider sum are the same
  KILN_ASSIGN(const auto results, l.b.scan(x, {axis, kKind}));
  KILN_ASSIGN(const ValueId y, l.b.cast(results[0], out));
  return l.set(node, y);
}

template <ScanKind kKind>
Status extreme(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const DType own = l.b.value(x).dtype;
  const Shape to = l.b.shape(x);
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  if (to.empty()) {
    KILN_ASSIGN(x, l.b.reshape(x, {Dim(1)}));
  }
  KILN_ASSIGN(x, l.b.comparable(x));
  KILN_ASSIGN(auto results, l.b.scan(x, {axis, kKind}));
  KILN_ASSIGN(results[0], l.b.from_comparable(results[0], own));
  for (size_t i = 0; i < 2; ++i) {
    KILN_ASSIGN(const ValueId y, l.b.reshape(results[i], to));
    KILN_TRY(l.set(node, y, i));
  }
  return ok();
}

}  // namespace

std::vector<OpRow> scan_ops() {
  return {
      {"aten.cummax.default", extreme<ScanKind::max>},
      {"aten.cummin.default", extreme<ScanKind::min>},
      {"aten.cumprod.default", running<ScanKind::prod>},
      {"aten.cumsum.default", running<ScanKind::sum>},
      {"aten.logcumsumexp.default", running<ScanKind::log_sum_exp>},
  };
}

}  // namespace kiln
