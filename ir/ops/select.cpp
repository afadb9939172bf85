// Elements that data choose. Results have room for all that might be chosen, and their true size beside them.
#include "ir/ops/select.h"

#include <algorithm>
#include <cstdint>

namespace kiln {
namespace {

/// Longer ramps are running sums of ones, which a load computes.
constexpr int64_t kMaxRamp = 4096;
/// Of rows that are sorted: what 2 become 1 of in ten rounds.
constexpr int64_t kMaxColumns = 1024;

/// Running sums of a vector of booleans (i32).
Result<ValueId> running(Legalizer& l, ValueId mask) {
  KILN_ASSIGN(const ValueId whole, l.b.cast(mask, DType::i32));
  KILN_ASSIGN(const auto sums, l.b.scan(whole, {0, ScanKind::sum}));
  return sums[0];
}
Result<ValueId> last_of(Legalizer& l, ValueId x) {
  KILN_ASSIGN(const ValueId last, l.b.slice_axis(x, 0, l.b.shape(x)[0].value - 1, 1));
  return l.b.reshape(last, {});
}
Result<ValueId> less_one(Legalizer& l, ValueId x) {
  Fx f;
  return l.b.map(f.finish(f.in(0, Lane::i32) - f.whole(1, Lane::i32)), {x}, DType::i32);
}

}  // namespace

Result<ValueId> numbers_to(Legalizer& l, int64_t count) {
  if (count <= kMaxRamp) {
    std::vector<int64_t> numbers;
    for (int64_t i = 0; i < count; ++i) numbers.push_back(i);
    return l.b.integers(numbers, {Dim(count)}, DType::i32);
  }
  KILN_ASSIGN(const ValueId ones, l.b.expand(l.b.integers({1}, {}, DType::i32), {Dim(count)}));
  KILN_ASSIGN(const auto sums, l.b.scan(ones, {0, ScanKind::sum}));
  return less_one(l, sums[0]);
}

Result<Chosen> places(Legalizer& l, ValueId mask) {
  const Value& given = l.b.value(mask);
  const int64_t n = given.shape[0].value;
  if (n > INT32_MAX - 1)
    return Error{ErrorCode::unsupported_operator, "so many elements to choose from are not supported", ""};
  if (n == 0) return Chosen{l.b.graph.add_value("", DType::i32, {Dim(0)}), kNoValue};
  if (given.is_constant()) {
    std::vector<int64_t> found;
    for (size_t i = 0; i < given.data.size(); ++i)
      if (given.data[i]) found.push_back(static_cast<int64_t>(i));
    const Shape all{Dim(static_cast<int64_t>(found.size()))};
    if (found.empty()) return Chosen{l.b.graph.add_value("", DType::i32, all), kNoValue};
    return Chosen{l.b.integers(found, all, DType::i32), kNoValue};
  }
  KILN_ASSIGN(const ValueId sums, running(l, mask));
  Fx f;  // what is not chosen goes behind all
  const Term before = f.in(0, Lane::i32) - f.whole(1, Lane::i32);
  KILN_ASSIGN(const ValueId to,
              l.b.map(f.finish(f.where(f.in(1, Lane::mask), before, f.whole(n, Lane::i32))), {sums, mask}, DType::i32));
  KILN_ASSIGN(const ValueId zeros, l.b.expand(l.b.integers({0}, {}, DType::i32), {Dim(n + 1)}));
  KILN_ASSIGN(const ValueId numbers, numbers_to(l, n));
  Chosen chosen;
  KILN_ASSIGN(chosen.index, l.b.scatter(zeros, to, numbers, {}));
  KILN_ASSIGN(chosen.index, l.b.slice_axis(chosen.index, 0, 0, n));
  KILN_ASSIGN(chosen.count, last_of(l, sums));
  return chosen;
}

ValueId bounded(Legalizer& l, ValueId y, int64_t axis, const Chosen& chosen, bool zeros) {
  if (chosen.count != kNoValue) l.bound(y, axis, chosen.count, zeros);
  return y;
}

Result<ValueId> nonzero(Legalizer& l, const Node& node, ValueId x, bool dims_first) {
  const Shape s = l.b.shape(x);
  const auto rank = static_cast<int64_t>(s.size());
  if (rank == 0) return l.unsupported(node, "a scalar has no coordinates: reshape it to a vector of one element");
  KILN_ASSIGN(ValueId mask, l.b.cast(x, DType::boolean));
  KILN_ASSIGN(mask, l.b.reshape(mask, {Dim(element_count(s))}));
  KILN_ASSIGN(const Chosen chosen, places(l, mask));
  const Dim n = l.b.shape(chosen.index)[0], one(1), dims(rank);
  if (n.value == 0) return l.b.graph.add_value("", DType::i64, dims_first ? Shape{dims, n} : Shape{n, dims});
  std::vector<int64_t> strides, ends;
  for (size_t i = 0; i < s.size(); ++i) {
    strides.push_back(element_count({s.begin() + static_cast<std::ptrdiff_t>(i) + 1, s.end()}));
    ends.push_back(s[i].value);
  }
  const Shape along = dims_first ? Shape{dims, one} : Shape{one, dims};
  KILN_ASSIGN(const ValueId index, l.b.reshape(chosen.index, dims_first ? Shape{one, n} : Shape{n, one}));
  Fx f;
  const Term at = f.bin(PointOp::div, f.in(0, Lane::i32), f.in(1, Lane::i32));
  const Term t = rank == 1 ? f.in(0, Lane::i32) : f.bin(PointOp::fmod, at, f.in(2, Lane::i32));
  std::vector<ValueId> operands{index};
  if (rank > 1) {
    operands.push_back(l.b.integers(strides, along, DType::i32));
    operands.push_back(l.b.integers(ends, along, DType::i32));
    KILN_ASSIGN(const ValueId y, l.b.map(f.finish(f.to(t, Lane::i64)), operands, DType::i64));
    return bounded(l, y, dims_first ? 1 : 0, chosen, true);
  }
  KILN_ASSIGN(const ValueId y, l.b.cast(index, DType::i64));
  return bounded(l, y, dims_first ? 1 : 0, chosen, true);
}

namespace {

Result<ValueId> differ(Legalizer& l, ValueId x, ValueId y) {
  const Lane lane = lane_of(l.b.value(x).dtype);
  Fx f;
  const PointOp differs = lane == Lane::mask ? PointOp::logical_xor : PointOp::ne;
  return l.b.map(f.finish(f.bin(differs, f.in(0, lane), f.in(1, lane))), {x, y}, DType::boolean);
}

/// For each element of sequences [m, n] how many smaller ones there are, equal ones counted once (i64).
Result<ValueId> ranks_of(Legalizer& l, ValueId x) {
  const Shape s = l.b.shape(x);
  KILN_ASSIGN(const auto sorted, l.b.sort(x, {1, 0, s[1].value, false}));
  KILN_ASSIGN(const ValueId before, l.b.slice_axis(sorted[0], 1, 0, s[1].value - 1));
  KILN_ASSIGN(const ValueId after, l.b.slice_axis(sorted[0], 1, 1, s[1].value - 1));
  KILN_ASSIGN(ValueId steps, differ(l, before, after));
  KILN_ASSIGN(steps, l.b.cast(steps, DType::i64));
  PadAttrs first{{0, 1}, {0, 0}};
  KILN_ASSIGN(steps, l.b.pad(steps, first));
  KILN_ASSIGN(const auto ranks, l.b.scan(steps, {1, ScanKind::sum}));
  KILN_ASSIGN(const ValueId room, l.b.expand(l.b.scalar(0, DType::i64), s));
  return l.b.scatter(room, sorted[1], ranks[0], {1, 1, ScatterKind::replace});
}

/// The order of rows [n, m], equal ones as they stand. Pairs of columns become one of their ranks, until one is left.
Result<ValueId> sorted_order(Legalizer& l, ValueId rows) {
  KILN_ASSIGN(ValueId keys, l.b.permute(rows, {1, 0}));
  const Dim n = l.b.shape(rows)[0];
  for (int64_t columns = l.b.shape(rows)[1].value; columns > 1 && n.value > 1; columns = l.b.shape(keys)[0].value) {
    KILN_ASSIGN(ValueId ranks, ranks_of(l, keys));
    KILN_ASSIGN(ranks, l.b.pad(ranks, {{0, 0}, {columns % 2, 0}}));
    KILN_ASSIGN(ranks, l.b.reshape(ranks, {Dim((columns + 1) / 2), Dim(2), n}));
    KILN_ASSIGN(const ValueId greater, l.b.slice_axis(ranks, 1, 0, 1));
    KILN_ASSIGN(const ValueId less, l.b.slice_axis(ranks, 1, 1, 1));
    Fx f;
    const Term t = f.in(0, Lane::i64) * f.whole(n.value, Lane::i64) + f.in(1, Lane::i64);
    KILN_ASSIGN(keys, l.b.map(f.finish(t), {greater, less}, DType::i64));
    KILN_ASSIGN(keys, l.b.reshape(keys, {Dim((columns + 1) / 2), n}));
  }
  KILN_ASSIGN(keys, l.b.slice_axis(keys, 0, 0, 1));
  KILN_ASSIGN(const auto sorted, l.b.sort(keys, {1, 0, n.value, false}));
  return l.b.reshape(sorted[1], {n});
}

/// Whether each row differs from the one before.
Result<ValueId> begins(Legalizer& l, ValueId rows) {
  const int64_t n = l.b.shape(rows)[0].value;
  const ValueId yes = l.b.scalar(1, DType::boolean);
  KILN_ASSIGN(const ValueId always, l.b.reshape(yes, {Dim(1)}));
  if (n == 1) return always;
  KILN_ASSIGN(const ValueId before, l.b.slice_axis(rows, 0, 0, n - 1));
  KILN_ASSIGN(const ValueId after, l.b.slice_axis(rows, 0, 1, n - 1));
  KILN_ASSIGN(ValueId y, differ(l, before, after));
  KILN_ASSIGN(y, l.b.reduce(y, {ReduceKind::any, {1}, false}));
  return l.b.concat({always, y}, 0);
}

/// From the groups in the order of their rows to that of their first rows: which group each place gets.
Result<ValueId> by_first(Legalizer& l, ValueId first, const Chosen& chosen, int64_t n) {
  ValueId keys = first;
  if (chosen.count != kNoValue) {  // what is beyond the true size goes last
    KILN_ASSIGN(const ValueId numbers, numbers_to(l, l.b.shape(first)[0].value));
    Fx f;
    const Term there = f.bin(PointOp::lt, f.in(1, Lane::i32), f.in(2, Lane::i32));
    KILN_ASSIGN(keys, l.b.map(f.finish(f.where(there, f.in(0, Lane::i64), f.whole(n, Lane::i64))),
                              {first, numbers, chosen.count}, DType::i64));
  }
  KILN_ASSIGN(const auto sorted, l.b.sort(keys, {0, 0, l.b.shape(keys)[0].value, false}));
  return sorted[1];
}

/// out[index[i]] = values[i], of a permutation.
Result<ValueId> put(Legalizer& l, ValueId index, ValueId values) {
  const Value& v = l.b.value(values);
  KILN_ASSIGN(const ValueId room, l.b.expand(l.b.scalar(0, v.dtype), Shape(l.b.shape(index))));
  return l.b.scatter(room, index, values, {});
}

}  // namespace

Result<Distinct> distinct(Legalizer& l, const Node& node, ValueId rows, RowOrder order) {
  const int64_t n = l.b.shape(rows)[0].value, columns = l.b.shape(rows)[1].value;
  Distinct d;
  if (n == 0 || columns == 0) {
    if (n > 0) return l.unsupported(node, "rows without elements");
    d.rows = rows;
    d.first = d.inverse = d.counts = l.b.graph.add_value("", DType::i64, {Dim(0)});
    return d;
  }
  if (columns > kMaxColumns && order != RowOrder::as_given)
    return l.unsupported(node, "rows of up to 1024 elements are supported, not of " + std::to_string(columns));
  KILN_ASSIGN(const ValueId numbers, numbers_to(l, n));
  ValueId where = numbers;  // each sorted row stood
  if (order != RowOrder::as_given) {
    KILN_ASSIGN(where, sorted_order(l, rows));
    KILN_ASSIGN(rows, l.b.gather(rows, where, 0));
  }
  KILN_ASSIGN(where, l.b.cast(where, DType::i64));
  KILN_ASSIGN(const ValueId starts, begins(l, rows));
  KILN_ASSIGN(const Chosen chosen, places(l, starts));
  const Dim groups = l.b.shape(chosen.index)[0];
  KILN_ASSIGN(d.rows, l.b.gather(rows, chosen.index, 0));
  KILN_ASSIGN(d.first, l.b.gather(where, chosen.index, 0));
  KILN_ASSIGN(ValueId group, running(l, starts));
  KILN_ASSIGN(group, less_one(l, group));
  KILN_ASSIGN(group, l.b.cast(group, DType::i64));
  KILN_ASSIGN(d.inverse, put(l, where, group));
  // A group ends where the next one begins, the last one with the rows.
  const ValueId end = l.b.integers({n}, {Dim(1)}, DType::i32);
  KILN_ASSIGN(ValueId next, l.b.slice_axis(chosen.index, 0, 1, groups.value - 1));
  KILN_ASSIGN(next, l.b.concat({next, end}, 0));
  KILN_ASSIGN(const ValueId own, numbers_to(l, groups.value));
  const ValueId count = chosen.count == kNoValue ? l.b.integers({groups.value}, {}, DType::i32) : chosen.count;
  Fx f;
  const Term last = f.bin(PointOp::ge, f.in(2, Lane::i32) + f.whole(1, Lane::i32), f.in(3, Lane::i32));
  const Term size = f.where(last, f.whole(n, Lane::i32), f.in(1, Lane::i32)) - f.in(0, Lane::i32);
  KILN_ASSIGN(d.counts, l.b.map(f.finish(f.to(size, Lane::i64)), {chosen.index, next, own, count}, DType::i64));
  if (order == RowOrder::first) {
    KILN_ASSIGN(const ValueId turned, by_first(l, d.first, chosen, n));
    for (ValueId* each : {&d.rows, &d.first, &d.counts}) {
      KILN_ASSIGN(*each, l.b.gather(*each, turned, 0));
    }
    KILN_ASSIGN(ValueId back, l.b.cast(own, DType::i64));
    KILN_ASSIGN(back, put(l, turned, back));
    KILN_ASSIGN(d.inverse, l.b.gather(back, d.inverse, 0));
  }
  for (const ValueId each : {d.rows, d.first, d.counts}) bounded(l, each, 0, chosen);
  return d;
}

}  // namespace kiln
