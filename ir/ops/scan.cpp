// Running sums.
#include "ir/legalizer.h"

namespace kiln {
namespace {

Status cumsum(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(x, l.b.cast(x, l.out_dtype(node)));
  if (l.b.rank(x) == 0) return l.set(node, x);
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  KILN_ASSIGN(const ValueId y, l.b.scan(x, axis));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> scan_ops() { return {{"aten.cumsum.default", cumsum}}; }

}  // namespace kiln
