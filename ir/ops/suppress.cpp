// Non-maximum suppression. Each round of a loop takes the best box of every class at once, and drops what overlaps it:
// as many rounds as boxes are taken of the class that has most, each over all boxes.
#include <cmath>

#include "ir/ops/select.h"

namespace kiln {
namespace {

/// Corner `which` of boxes [B, N, 4] as [B, 1, N]: the lower ones first.
Result<ValueId> corner(Legalizer& l, ValueId boxes, int64_t which) {
  const Dim batch = l.b.shape(boxes)[0], n = l.b.shape(boxes)[1];
  KILN_ASSIGN(const ValueId a, l.b.slice_axis(boxes, 2, which % 2, 1));
  KILN_ASSIGN(const ValueId b, l.b.slice_axis(boxes, 2, which % 2 + 2, 1));
  Fx f;
  const Term t = f.bin(which < 2 ? PointOp::min : PointOp::max, f.in(0), f.in(1));
  KILN_ASSIGN(const ValueId y, l.b.map(f.finish(t), {a, b}, DType::f32));
  return l.b.reshape(y, {batch, Dim(1), n});
}

/// Which boxes overlap the chosen one by more than `most`, of corners in operands 0 to 3 and 4 to 7.
Term overlaps(Fx& f, double most) {
  const auto side = [&](int lower) { return f.in(lower + 2) - f.in(lower); };
  const auto shared = [&](int lower) {
    const Term from = f.bin(PointOp::max, f.in(lower), f.in(lower + 4)),
               to = f.bin(PointOp::min, f.in(lower + 2), f.in(lower + 6));
    return f.bin(PointOp::max, to - from, f.c(0));
  };
  const Term both = shared(0) * shared(1), all = side(0) * side(1) + side(4) * side(5) - both;
  return f.bin(PointOp::gt, both / all, f.c(most));
}

Term is_left(Fx& f, Term score) { return f.bin(PointOp::gt, score, f.c(-HUGE_VAL)); }

/// Of each class the best of the scores that are left, and which it is; −1 where none is.
struct Best {
  ValueId index = kNoValue, picked = kNoValue;  // [B, C], i64
};
Result<Best> best_of(Legalizer& l, ValueId scores) {
  Best best;
  KILN_ASSIGN(const ValueId score, l.b.reduce(scores, {ReduceKind::max, {2}, false}));
  KILN_ASSIGN(best.index, l.b.reduce(scores, {ReduceKind::argmax, {2}, false}));
  Fx f;
  const Term t = f.where(is_left(f, f.in(0)), f.in(1, Lane::i64), f.whole(-1, Lane::i64));
  KILN_ASSIGN(best.picked, l.b.map(f.finish(t), {score, best.index}, DType::i64));
  return best;
}

Result<ValueId> any_left(Legalizer& l, ValueId scores) {
  Fx f;
  KILN_ASSIGN(const ValueId left, l.b.map(f.finish(is_left(f, f.in(0))), {scores}, DType::boolean));
  return l.b.reduce(left, {ReduceKind::any, {0, 1, 2}, false});
}

}  // namespace

Result<ValueId> suppress(Legalizer& l, ValueId boxes, ValueId scores, const Suppression& how) {
  const Shape s = l.b.shape(scores);  // [B, C, N]
  std::vector<ValueId> corners;
  for (int64_t i = 0; i < 4; ++i) {
    KILN_ASSIGN(const ValueId each, corner(l, boxes, i));
    corners.push_back(each);
  }
  Fx counted;  // NaN does not count
  const Term score = counted.in(0);
  KILN_ASSIGN(const ValueId first,
              l.b.map(counted.finish(counted.where(counted.bin(PointOp::gt, score, counted.c(how.least)), score,
                                                   counted.c(-HUGE_VAL))),
                      {scores}, DType::f32));
  KILN_ASSIGN(const ValueId begins, any_left(l, first));
  KILN_ASSIGN(const ValueId none, l.b.expand(l.b.integers({-1}, {}), {Dim(how.most), s[0], s[1]}));
  KILN_ASSIGN(ValueId numbers, numbers_to(l, s[2].value));
  KILN_ASSIGN(numbers, l.b.cast(numbers, DType::i64));
  LoopAttrs attrs;
  attrs.bound = how.most;
  attrs.conditional = true;
  attrs.carried = 3;
  KILN_ASSIGN(const auto inside, l.b.several(Op::loop, {begins, first, none}, attrs));
  const ValueId round = inside[0], left = inside[2], picks = inside[3];
  KILN_ASSIGN(const Best best, best_of(l, left));
  std::vector<ValueId> operands = corners;
  for (const ValueId each : corners) {  // of the boxes that were chosen: [B, C, 1]
    KILN_ASSIGN(ValueId along, l.b.reshape(each, {s[0], s[2]}));
    KILN_ASSIGN(along, l.b.gather(along, best.index, 1, 1));
    KILN_ASSIGN(along, l.b.reshape(along, {s[0], s[1], Dim(1)}));
    operands.push_back(along);
  }
  KILN_ASSIGN(const ValueId chosen, l.b.reshape(best.picked, {s[0], s[1], Dim(1)}));
  operands.insert(operands.end(), {left, chosen, numbers});
  Fx f;
  const Term is_it = f.bin(PointOp::eq, f.in(9, Lane::i64), f.in(10, Lane::i64));
  const Term dropped = f.bin(PointOp::logical_or, overlaps(f, how.overlap), is_it);
  KILN_ASSIGN(const ValueId rest, l.b.map(f.finish(f.where(dropped, f.c(-HUGE_VAL), f.in(8))), operands, DType::f32));
  KILN_ASSIGN(const ValueId row, l.b.reshape(best.picked, {Dim(1), s[0], s[1]}));
  KILN_ASSIGN(const ValueId at, l.b.reshape(round, {Dim(1)}));
  KILN_ASSIGN(const ValueId more, l.b.scatter(picks, at, row, {}));
  KILN_ASSIGN(const ValueId goes_on, any_left(l, rest));
  KILN_ASSIGN(const auto ends, l.b.several(Op::end_loop, {round, goes_on, rest, more}, attrs));
  return l.b.permute(ends[2], {1, 2, 0});
}

}  // namespace kiln
