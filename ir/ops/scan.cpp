// Running sums.
#include "ir/legalizer.h"

namespace kiln {
namespace {

Status cumsum(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const DType own = l.b.value(x).dtype, out = l.dtype(node, "dtype", own == DType::f32 ? own : DType::i64);
  KILN_ASSIGN(x, l.b.cast(x, out));
  if (l.b.rank(x) == 0) return l.set(node, x);
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  // Sums of bytes wrap. The low bits of a wider sum are the same.
  KILN_ASSIGN(x, l.b.cast(x, size_of(out) == 1 ? DType::i32 : out));
  KILN_ASSIGN(const ValueId sums, l.b.scan(x, axis));
  KILN_ASSIGN(const ValueId y, l.b.cast(sums, out));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> scan_ops() { return {{"aten.cumsum.default", cumsum}}; }

}  // namespace kiln
