// ONNX: results whose size the data decide.
#include "ir/ops/select.h"

#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Status non_zero(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId y, nonzero(l, node, x, true));
  return l.set(node, y);
}

/// The parts along an axis, or the elements, for which a condition holds. It may be shorter than they are many.
Status compress(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId condition, l.need(node, 1));
  int64_t axis = 0;
  if (l.has(node, "axis")) {
    KILN_ASSIGN(axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  } else {
    KILN_ASSIGN(x, l.b.reshape(x, {Dim(element_count(l.b.shape(x)))}));
  }
  if (l.b.rank(x) == 0 || l.b.rank(condition) != 1) return misfit(node.source + ": the condition is a vector");
  const int64_t parts = l.b.shape(x)[static_cast<size_t>(axis)].value, given = l.b.shape(condition)[0].value;
  KILN_ASSIGN(condition, l.b.cast(condition, DType::boolean));
  KILN_ASSIGN(condition, l.b.slice_axis(condition, 0, 0, std::min(parts, given)));
  KILN_ASSIGN(const Chosen chosen, places(l, condition));
  KILN_ASSIGN(const ValueId y, l.b.gather(x, chosen.index, axis));
  return l.set(node, bounded(l, y, axis, chosen));
}

Status unique(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const RowOrder order = l.integer(node, "sorted", 1) ? RowOrder::sorted : RowOrder::first;
  int64_t axis = 0;
  if (l.has(node, "axis")) {
    KILN_ASSIGN(axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  } else {
    KILN_ASSIGN(x, l.b.reshape(x, {Dim(element_count(l.b.shape(x)))}));
  }
  if (l.b.rank(x) == 0) return misfit(node.source + ": a scalar has no axes");
  std::vector<int64_t> order_of{axis}, back(static_cast<size_t>(l.b.rank(x)));
  for (int64_t i = 0; i < l.b.rank(x); ++i)
    if (i != axis) order_of.push_back(i);
  for (size_t i = 0; i < back.size(); ++i) back[static_cast<size_t>(order_of[i])] = static_cast<int64_t>(i);
  KILN_ASSIGN(x, l.b.permute(x, order_of));
  Shape to = l.b.shape(x);
  KILN_ASSIGN(x, l.b.reshape(x, {to[0], Dim(element_count({to.begin() + 1, to.end()}))}));
  KILN_ASSIGN(const Distinct d, distinct(l, node, x, order));
  to[0] = l.b.shape(d.rows)[0];
  KILN_ASSIGN(ValueId y, l.b.reshape(d.rows, to));
  KILN_ASSIGN(y, l.b.permute(y, back));
  if (const Legalizer::Bound* bound = l.bound_of(d.rows)) l.bound(y, axis, bound->count);
  const ValueId results[] = {y, d.first, d.inverse, d.counts};
  for (size_t i = 0; i < 4; ++i)
    if (l.wants(node, i)) KILN_TRY(l.set(node, results[i], i));
  return ok();
}

/// Boxes given by their centre and size, as corners.
Result<ValueId> corners_of(Legalizer& l, ValueId boxes) {
  KILN_ASSIGN(const ValueId centre, l.b.slice_axis(boxes, 2, 0, 2));
  KILN_ASSIGN(const ValueId size, l.b.slice_axis(boxes, 2, 2, 2));
  std::vector<ValueId> parts;
  for (const double sign : {-0.5, 0.5}) {
    Fx f;
    KILN_ASSIGN(const ValueId each, l.b.map(f.finish(f.in(0) + f.in(1) * sign), {centre, size}, DType::f32));
    parts.push_back(each);
  }
  return l.b.concat(parts, 2);
}

/// One number, which must be known; `fallback` if it is not given.
Result<Number> known_number(Legalizer& l, const Node& node, size_t i, const char* what, Number fallback) {
  if (l.in(node, i) == kNoValue) return fallback;
  KILN_ASSIGN(const std::vector<Number> given, l.elements(node, i, what));
  if (given.empty()) return fallback;
  return given[0];
}

/// For each box that is taken, class by class and the best first: batch, class, number of the box.
Status non_max_suppression(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId boxes, l.need_f32(node, 0));
  KILN_ASSIGN(const ValueId scores, l.need_f32(node, 1));
  const Shape s = l.b.shape(scores), sb = l.b.shape(boxes);
  if (s.size() != 3 || sb.size() != 3 || sb[2].value != 4 || sb[0] != s[0] || sb[1] != s[2])
    return misfit(node.source + ": boxes [B, N, 4] and scores [B, C, N] are expected");
  Suppression how;
  KILN_ASSIGN(const Number most, known_number(l, node, 2, "the number of boxes", {0, 0}));
  KILN_ASSIGN(const Number overlap, known_number(l, node, 3, "the threshold of overlap", {0, 0}));
  KILN_ASSIGN(const Number least, known_number(l, node, 4, "the least score", {-HUGE_VAL, 0}));
  how.most = std::min(most.whole, s[2].value), how.overlap = overlap.real, how.least = least.real;
  const bool centres = l.integer(node, "center_point_box", 0) != 0;
  if (how.most < 1 || is_empty(s)) return l.set(node, l.b.graph.add_value("", DType::i64, {Dim(0), Dim(3)}));
  if (centres) {
    KILN_ASSIGN(boxes, corners_of(l, boxes));
  }
  KILN_ASSIGN(const ValueId picks, suppress(l, boxes, scores, how));
  const Dim all(s[0].value * s[1].value * how.most);
  KILN_ASSIGN(const ValueId flat, l.b.reshape(picks, {all}));
  Fx f;
  const Term taken = f.bin(PointOp::ge, f.in(0, Lane::i64), f.whole(0, Lane::i64));
  KILN_ASSIGN(const ValueId mask, l.b.map(f.finish(taken), {flat}, DType::boolean));
  KILN_ASSIGN(const Chosen chosen, places(l, mask));
  KILN_ASSIGN(const ValueId box, l.b.gather(flat, chosen.index, 0));
  std::vector<ValueId> columns;
  for (const auto& [stride, end] : {std::pair(s[1].value * how.most, s[0].value), std::pair(how.most, s[1].value)}) {
    Fx g;
    const Term at = g.bin(PointOp::div, g.in(0, Lane::i32), g.whole(stride, Lane::i32));
    const Term t = g.bin(PointOp::fmod, at, g.whole(end, Lane::i32));
    KILN_ASSIGN(const ValueId column, l.b.map(g.finish(g.to(t, Lane::i64)), {chosen.index}, DType::i64));
    columns.push_back(column);
  }
  columns.push_back(box);
  for (ValueId& column : columns) {
    KILN_ASSIGN(column, l.b.reshape(column, {all, Dim(1)}));
  }
  KILN_ASSIGN(const ValueId y, l.b.concat(columns, 1));
  return l.set(node, bounded(l, y, 0, chosen));
}

}  // namespace

std::vector<OpRow> onnx_select_ops() {
  return {
      {"onnx.Compress", compress},
      {"onnx.NonMaxSuppression", non_max_suppression},
      {"onnx.NonZero", non_zero},
      {"onnx.Unique", unique},
  };
}

}  // namespace kiln
