// Sorting: all of an axis in order, or some of it.
#include "ir/legalizer.h"

namespace kiln {
namespace {

constexpr bool kDescending = true;

/// The operand and an axis of it. A number is sorted as a vector of one.
struct Sorted {
  ValueId x = kNoValue;
  int64_t axis = 0, size = 1;
  bool number = false;
};
Result<Sorted> sorted_of(Legalizer& l, const Node& node, int64_t dim) {
  Sorted s;
  KILN_ASSIGN(s.x, l.need(node, 0));
  KILN_ASSIGN(s.axis, l.axis(dim, l.b.rank(s.x)));
  s.number = l.b.rank(s.x) == 0;
  if (s.number) {
    KILN_ASSIGN(s.x, l.b.reshape(s.x, {Dim(1)}));
  }
  s.size = l.b.shape(s.x)[static_cast<size_t>(s.axis)].value;
  return s;
}

/// The results as outputs `values` and `indices` of the node; −1: not one of them. Without `keep` the axis goes.
Status set_sorted(Legalizer& l, const Node& node, const Sorted& s, std::vector<ValueId> results, int values,
                  int indices, bool keep = true) {
  const int outputs[] = {values, indices};
  for (size_t i = 0; i < 2; ++i) {
    if (outputs[i] < 0 || !l.wants(node, static_cast<size_t>(outputs[i]))) continue;
    Shape to = s.number ? Shape{} : l.b.shape(results[i]);
    if (!keep && !s.number) to.erase(to.begin() + s.axis);
    KILN_ASSIGN(const ValueId y, l.b.reshape(results[i], to));
    KILN_TRY(l.set(node, y, static_cast<size_t>(outputs[i])));
  }
  return ok();
}

Result<std::vector<ValueId>> in_order(Legalizer& l, const Sorted& s, bool descending, int64_t first, int64_t count) {
  const DType own = l.b.value(s.x).dtype;
  if (size_of(own) == 1) return l.b.sort(s.x, {s.axis, first, count, descending});
  KILN_ASSIGN(const ValueId x, l.b.comparable(s.x));
  KILN_ASSIGN(std::vector<ValueId> results, l.b.sort(x, {s.axis, first, count, descending}));
  KILN_ASSIGN(results[0], l.b.from_comparable(results[0], own));
  return results;
}

Status sort(Legalizer& l, const Node& node) {
  (void)l.flag(node, "stable", true);  // it always is
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, l.integer(node, "dim", -1)));
  KILN_ASSIGN(const auto results, in_order(l, s, l.flag(node, "descending", false), 0, s.size));
  return set_sorted(l, node, s, results, 0, 1);
}
Status argsort(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, l.integer(node, "dim", -1)));
  KILN_ASSIGN(const auto results, in_order(l, s, l.flag(node, "descending", false), 0, s.size));
  return set_sorted(l, node, s, results, -1, 0);
}
Status msort(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, 0));
  KILN_ASSIGN(const auto results, in_order(l, s, !kDescending, 0, s.size));
  return set_sorted(l, node, s, results, 0, -1);
}

Status topk(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, l.integer(node, "dim", -1)));
  (void)l.flag(node, "sorted", true);  // they always are
  KILN_ASSIGN(const auto results, in_order(l, s, l.flag(node, "largest", true), 0, l.integer(node, "k", 1)));
  return set_sorted(l, node, s, results, 0, 1);
}

Status kthvalue(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, l.integer(node, "dim", -1)));
  const int64_t k = l.integer(node, "k", 1);
  if (k < 1 || k > s.size) return misfit(node.source + ": k is out of range");
  KILN_ASSIGN(const auto results, in_order(l, s, !kDescending, k - 1, 1));
  return set_sorted(l, node, s, results, 0, 1, l.flag(node, "keepdim", false));
}

/// The lower of two middles. One NaN makes it NaN, and the first of them is where it is.
Status middle(Legalizer& l, const Node& node, const Sorted& s, bool keep) {
  if (s.size < 1) return l.unsupported(node, "a median of no elements");
  KILN_ASSIGN(auto results, in_order(l, s, !kDescending, (s.size - 1) / 2, 1));
  if (l.b.value(s.x).dtype == DType::f32) {
    ReduceAttrs greatest{ReduceKind::max, {s.axis}, true};
    KILN_ASSIGN(const ValueId most, l.b.reduce(s.x, greatest));
    greatest.kind = ReduceKind::argmax;
    KILN_ASSIGN(const ValueId where, l.b.reduce(s.x, greatest));
    for (size_t i = 0; i < 2; ++i) {
      Fx f;
      const Lane lane = i ? Lane::i64 : Lane::f32;
      const Term m = f.in(0), nan = f.bin(PointOp::ne, m, m);
      const Term t = f.where(nan, i ? f.in(1, lane) : m, f.in(i ? 2 : 1, lane));
      std::vector<ValueId> operands{most, results[i]};
      if (i) operands.insert(operands.begin() + 1, where);
      KILN_ASSIGN(results[i], l.b.map(f.finish(t), operands, i ? DType::i64 : DType::f32));
    }
  }
  return set_sorted(l, node, s, results, 0, 1, keep);
}
Status median_dim(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Sorted s, sorted_of(l, node, l.integer(node, "dim", 0)));
  return middle(l, node, s, l.flag(node, "keepdim", false));
}
/// Of all elements.
Status median(Legalizer& l, const Node& node) {
  Sorted s;
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  s.size = element_count(l.b.shape(x));
  KILN_ASSIGN(s.x, l.b.reshape(x, {Dim(s.size)}));
  return middle(l, node, s, false);
}

}  // namespace

std::vector<OpRow> sort_ops() {
  return {
      {"aten.argsort.default", argsort}, {"aten.argsort.stable", argsort}, {"aten.kthvalue.default", kthvalue},
      {"aten.median.default", median},   {"aten.median.dim", median_dim},  {"aten.msort.default", msort},
      {"aten.sort.default", sort},       {"aten.sort.stable", sort},       {"aten.topk.default", topk},
  };
}

}  // namespace kiln
