// Losses of classes given by number.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

enum Reduction : int64_t { kNone = 0, kMean = 1, kSum = 2 };  // as PyTorch numbers them

Result<ValueId> sum_of_all(Legalizer& l, ValueId x) {
  ReduceAttrs all;
  for (int64_t i = 0; i < l.b.rank(x); ++i) all.axes.push_back(i);
  if (all.axes.empty()) return x;
  return l.b.reduce(x, all);
}

Term counts(Fx& f, Term target, int64_t ignored) { return f.bin(PointOp::ne, target, f.whole(ignored, Lane::i64)); }

/// What each position counts: the weight of its class, or 1; nothing where the class is the one to be ignored.
Result<ValueId> weights_of(Legalizer& l, ValueId weight, ValueId classes, ValueId target, int64_t ignored) {
  Fx f;
  const Term counted = counts(f, f.in(0, Lane::i64), ignored);
  if (weight == kNoValue) return l.b.map(f.finish(f.to(counted, Lane::f32)), {target}, DType::f32);
  KILN_ASSIGN(const ValueId of_class, l.b.gather(weight, classes, 0));
  return l.b.map(f.finish(f.where(counted, f.in(1), f.c(0))), {target, of_class}, DType::f32);
}

/// Negative log likelihood: scores [N, C, …] or [C] in logarithms, targets [N, …] or a number; the loss, and the sum of
/// the weights that it is divided by.
Status nll_loss(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId scores, l.need_f32(node, 0));
  KILN_ASSIGN(ValueId target, l.need(node, 1));
  const int64_t reduction = l.integer(node, "reduction", kMean), ignored = l.integer(node, "ignore_index", -100);
  if (!is_integer(lane_of(l.b.value(target).dtype))) return misfit(node.source + ": the classes are integers");
  KILN_ASSIGN(target, l.b.cast(target, DType::i64));
  if (reduction < kNone || reduction > kSum) return misfit(node.source + ": no such reduction");
  Shape s = l.b.shape(scores), lifted = l.b.shape(target);
  const size_t axis = s.size() == 1 ? 0 : 1;
  lifted.insert(lifted.begin() + static_cast<std::ptrdiff_t>(std::min(axis, lifted.size())), Dim(1));
  if (s.empty() || lifted.size() != s.size()) return misfit(node.source + ": the classes do not fit the scores");
  for (size_t i = 0; i < s.size(); ++i)
    if (i != axis && s[i] != lifted[i]) return misfit(node.source + ": the classes do not fit the scores");
  if (const ValueId w = l.in(node, 2); w != kNoValue && l.b.shape(w) != Shape{s[axis]})
    return misfit(node.source + ": a weight for each class is expected");

  Fx named;  // an ignored class need not be one
  const Term number = named.in(0, Lane::i64), counted = counts(named, number, ignored);
  KILN_ASSIGN(const ValueId classes,
              l.b.map(named.finish(named.where(counted, number, named.whole(0, Lane::i64))), {target}, DType::i64));
  KILN_ASSIGN(const ValueId index, l.b.reshape(classes, lifted));
  KILN_ASSIGN(ValueId picked, l.call("aten.gather.default", {scores, index}, {{"dim", static_cast<int64_t>(axis)}}));
  KILN_ASSIGN(picked, l.b.reshape(picked, l.b.shape(target)));
  KILN_ASSIGN(const ValueId weights, weights_of(l, l.in(node, 2), classes, target, ignored));
  Fx f;
  const Term loss = f.un(PointOp::neg, f.in(0)) * f.in(1);
  KILN_ASSIGN(ValueId y, l.b.map(f.finish(f.where(counts(f, f.in(2, Lane::i64), ignored), loss, f.c(0))),
                                 {picked, weights, target}, DType::f32));
  KILN_ASSIGN(const ValueId total, sum_of_all(l, weights));
  if (reduction != kNone) {
    KILN_ASSIGN(y, sum_of_all(l, y));
  }
  if (reduction == kMean) {
    Fx g;
    KILN_ASSIGN(y, l.b.map(g.finish(g.in(0) / g.in(1)), {y, total}, DType::f32));
  }
  KILN_TRY(l.set(node, y));
  if (!l.wants(node, 1)) return ok();
  return l.set(node, reduction == kNone ? l.b.scalar(0, DType::f32) : total, 1);
}

}  // namespace

std::vector<OpRow> loss_ops() {
  return {
      {"aten.nll_loss2d_forward.default", nll_loss},
      {"aten.nll_loss_forward.default", nll_loss},
  };
}

}  // namespace kiln
