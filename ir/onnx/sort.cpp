// ONNX: sorting.
#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Status topk(Legalizer& l, const Node& node) {
  int64_t k = l.integer(node, "k", 0);
  if (l.in(node, 1) != kNoValue) {
    KILN_ASSIGN(const std::vector<int64_t> given, l.whole_elements(node, 1, "the number of elements"));
    if (given.size() != 1) return misfit(node.source + ": k is one number");
    k = given[0];
  }
  (void)l.integer(node, "sorted", 1);  // they always are
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -1), l.b.rank(x)));
  KILN_ASSIGN(const auto results, l.call_all("aten.topk.default", 2, {x},
                                             {{"k", k}, {"dim", axis}, {"largest", l.integer(node, "largest", 1)}}));
  KILN_TRY(l.set(node, results[0]));
  return l.set(node, results[1], 1);
}

}  // namespace

std::vector<OpRow> onnx_sort_ops() { return {{"onnx.TopK", topk}}; }

}  // namespace kiln
