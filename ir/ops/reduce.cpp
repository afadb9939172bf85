// Reductions, and what is written with them: variance, norms, logsumexp.
#include <algorithm>
#include <cmath>

#include "ir/legalizer.h"

namespace kiln {
namespace {

/// The axes an operator names; none named means all.
Result<std::vector<int64_t>> axes_of(Legalizer& l, const Node& node, ValueId x, const char* name = "dim") {
  KILN_ASSIGN(std::vector<int64_t> axes, l.axes(l.integers(node, name), l.b.rank(x)));
  if (axes.empty())
    for (int64_t i = 0; i < l.b.rank(x); ++i) axes.push_back(i);
  if (l.b.rank(x) == 0) axes.clear();
  return axes;
}

Result<ValueId> reduce(Legalizer& l, ValueId x, ReduceKind kind, std::vector<int64_t> axes, bool keepdim) {
  if (l.b.rank(x) == 0 && kind != ReduceKind::argmax && kind != ReduceKind::argmin) return x;
  return l.b.reduce(x, ReduceAttrs{kind, std::move(axes), keepdim});
}

/// The greatest or least element, or its index. For booleans it says whether any or all are true.
Result<ValueId> extreme(Legalizer& l, ValueId x, ReduceKind kind, std::vector<int64_t> axes, bool keepdim) {
  const DType from = l.b.value(x).dtype;
  const bool is_index = kind == ReduceKind::argmax || kind == ReduceKind::argmin;
  if (from == DType::boolean && !is_index)
    return reduce(l, x, kind == ReduceKind::max ? ReduceKind::any : ReduceKind::all, std::move(axes), keepdim);
  KILN_ASSIGN(x, l.b.comparable(x));
  KILN_ASSIGN(const ValueId y, reduce(l, x, kind, std::move(axes), keepdim));
  return is_index ? y : l.b.from_comparable(y, from);
}

template <ReduceKind kKind>
Status plain(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  constexpr bool kTruth = kKind == ReduceKind::any || kKind == ReduceKind::all;
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  const bool keep = l.flag(node, "keepdim", false);
  const DType from = l.b.value(x).dtype;
  const DType own = kTruth ? from == DType::u8 ? from : DType::boolean : lane_of(from) == Lane::f32 ? from : DType::i64;
  const DType out = l.dtype(node, "dtype", own);
  // Totals of integers are int64, whatever comes in, and cut afterwards to what was asked for.
  const bool whole = kKind != ReduceKind::mean && lane_of(from) != Lane::f32 && lane_of(out) != Lane::f32;
  KILN_ASSIGN(x, l.b.cast(x, kTruth ? DType::boolean : whole ? from : out));
  KILN_ASSIGN(const ValueId y, reduce(l, x, kKind, axes, keep));
  KILN_ASSIGN(const ValueId typed, l.b.cast(y, out));
  return l.set(node, typed);
}

template <ReduceKind kKind>
Status extreme(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  KILN_ASSIGN(const ValueId y, extreme(l, x, kKind, axes, l.flag(node, "keepdim", false)));
  return l.set(node, y);
}

/// max.dim and min.dim: values and, if they are read, indices.
template <ReduceKind kValues, ReduceKind kIndices>
Status with_indices(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  const bool keep = l.flag(node, "keepdim", false);
  for (size_t i = 0; i < 2; ++i) {
    if (!l.wants(node, i)) continue;
    KILN_ASSIGN(const ValueId y, extreme(l, x, i == 0 ? kValues : kIndices, axes, keep));
    KILN_TRY(l.set(node, y, i));
  }
  return ok();
}

Result<ValueId> map1(Legalizer& l, ValueId x, Term (*make)(Fx& f, Term x, double p), double p = 0) {
  Fx f;
  const Term t = make(f, f.in(0), p);
  return l.b.map(f.finish(t), {x}, DType::f32);
}

Result<ValueId> minus(Legalizer& l, ValueId a, ValueId b) {
  Fx f;
  return l.b.map(f.finish(f.in(0) - f.in(1)), {a, b}, DType::f32);
}

Term square(Fx&, Term x, double) { return x * x; }
Term times(Fx&, Term x, double p) { return x * p; }
Term root(Fx& f, Term x, double) { return f.un(PointOp::sqrt, x); }

/// Takes two passes: the mean, then the mean of squared distances, scaled by n / (n − correction).
template <bool kRoot, bool kWithMean>
Status variance(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  const bool keep = l.flag(node, "keepdim", false);
  double correction = l.number(node, "correction", 1);
  if (l.has(node, "unbiased")) correction = l.flag(node, "unbiased", true) ? 1 : 0;
  KILN_ASSIGN(const ValueId mean, reduce(l, x, ReduceKind::mean, axes, true));
  KILN_ASSIGN(const ValueId centred, minus(l, x, mean));
  KILN_ASSIGN(const ValueId squares, map1(l, centred, square));
  KILN_ASSIGN(ValueId y, reduce(l, squares, ReduceKind::mean, axes, keep));
  double n = 1;
  for (int64_t axis : axes) n *= static_cast<double>(l.b.shape(x)[static_cast<size_t>(axis)].value);
  KILN_ASSIGN(y, map1(l, y, times, n / std::max(0.0, n - correction)));
  if (kRoot) {
    KILN_ASSIGN(y, map1(l, y, root));
  }
  KILN_TRY(l.set(node, y));
  if (!kWithMean || !l.wants(node, 1)) return ok();
  KILN_ASSIGN(const ValueId shaped, l.b.reshape(mean, l.b.shape(y)));
  return l.set(node, shaped, 1);
}

/// p-norms. 0 is refused; 1, 2 and ±inf have special forms.
Status vector_norm(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  const double p = l.number(node, l.has(node, "ord") ? "ord" : "p", 2);
  const bool keep = l.flag(node, "keepdim", false);
  if (p == 0 || p != p) return l.unsupported(node, "the order 0 is not supported");
  const auto absolute = [](Fx& f, Term t, double) { return f.un(PointOp::abs, t); };
  const auto power = [](Fx& f, Term t, double e) { return f.bin(PointOp::pow, t, f.c(e)); };
  if (p == 2) {
    KILN_ASSIGN(x, map1(l, x, square));
  } else {
    KILN_ASSIGN(x, map1(l, x, absolute));
  }
  if (std::isinf(p)) {
    KILN_ASSIGN(const ValueId y, reduce(l, x, p > 0 ? ReduceKind::max : ReduceKind::min, axes, keep));
    return l.set(node, y);
  }
  if (p != 2 && p != 1) {
    KILN_ASSIGN(x, map1(l, x, power, p));
  }
  KILN_ASSIGN(ValueId y, reduce(l, x, ReduceKind::sum, axes, keep));
  if (p == 2) {
    KILN_ASSIGN(y, map1(l, y, root));
  } else if (p != 1) {
    KILN_ASSIGN(y, map1(l, y, power, 1 / p));
  }
  return l.set(node, y);
}

/// max + log(sum(exp(x − max))). An infinite max counts as 0 in x − max.
Status logsumexp(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> axes, axes_of(l, node, x));
  KILN_ASSIGN(const ValueId like, reduce(l, x, ReduceKind::sum, axes, l.flag(node, "keepdim", false)));  // its shape
  if (is_empty(l.b.shape(x))) {  // the logarithm of a sum of nothing
    const ValueId none = l.b.scalar(-INFINITY, DType::f32);
    KILN_ASSIGN(const ValueId y, l.b.expand(none, l.b.shape(like)));
    return l.set(node, y);
  }
  KILN_ASSIGN(ValueId top, reduce(l, x, ReduceKind::max, axes, true));
  Fx finite;
  const Term infinite = finite.bin(PointOp::eq, finite.un(PointOp::abs, finite.in(0)), finite.c(INFINITY));
  const Term or_zero = finite.where(infinite, finite.c(0), finite.in(0));
  KILN_ASSIGN(top, l.b.map(finite.finish(or_zero), {top}, DType::f32));
  Fx below, back;
  KILN_ASSIGN(const ValueId e,
              l.b.map(below.finish(below.un(PointOp::exp, below.in(0) - below.in(1))), {x, top}, DType::f32));
  KILN_ASSIGN(const ValueId sum, reduce(l, e, ReduceKind::sum, axes, true));
  KILN_ASSIGN(const ValueId y,
              l.b.map(back.finish(back.un(PointOp::log, back.in(0)) + back.in(1)), {sum, top}, DType::f32));
  KILN_ASSIGN(const ValueId shaped, l.b.reshape(y, l.b.shape(like)));
  return l.set(node, shaped);
}

}  // namespace

std::vector<OpRow> reduce_ops() {
  using K = ReduceKind;
  return {
      {"aten.all.default", plain<K::all>},
      {"aten.all.dim", plain<K::all>},
      {"aten.all.dims", plain<K::all>},
      {"aten.amax.default", extreme<K::max>},
      {"aten.amin.default", extreme<K::min>},
      {"aten.any.default", plain<K::any>},
      {"aten.any.dim", plain<K::any>},
      {"aten.any.dims", plain<K::any>},
      {"aten.argmax.default", extreme<K::argmax>},
      {"aten.argmin.default", extreme<K::argmin>},
      {"aten.linalg_vector_norm.default", vector_norm},
      {"aten.logsumexp.default", logsumexp},
      {"aten.max.default", extreme<K::max>},
      {"aten.max.dim", with_indices<K::max, K::argmax>},
      {"aten.mean.default", plain<K::mean>},
      {"aten.mean.dim", plain<K::mean>},
      {"aten.min.default", extreme<K::min>},
      {"aten.min.dim", with_indices<K::min, K::argmin>},
      {"aten.norm.ScalarOpt_dim", vector_norm},
      {"aten.prod.default", plain<K::prod>},
      {"aten.prod.dim_int", plain<K::prod>},
      {"aten.std.correction", variance<true, false>},
      {"aten.std.dim", variance<true, false>},
      {"aten.std_mean.correction", variance<true, true>},
      {"aten.sum.default", plain<K::sum>},
      {"aten.sum.dim_IntList", plain<K::sum>},
      {"aten.var.correction", variance<false, false>},
      {"aten.var.dim", variance<false, false>},
      {"aten.var_mean.correction", variance<false, true>},
  };
}

}  // namespace kiln
