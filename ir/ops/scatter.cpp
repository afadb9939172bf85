// Elements and rows written to places that indices name.
#include <algorithm>
#include <cmath>

#include "ir/ops/indices.h"

namespace kiln {
namespace {

/// A reduction by its name in PyTorch.
struct Reduction {
  ScatterKind kind = ScatterKind::replace;
  bool mean = false;
};
Result<Reduction> reduction_of(const Legalizer& l, const Node& node, const std::string& name) {
  if (name.empty()) return Reduction{};
  if (name == "sum" || name == "add") return Reduction{ScatterKind::sum};
  if (name == "mean") return Reduction{ScatterKind::sum, true};
  if (name == "prod" || name == "multiply") return Reduction{ScatterKind::prod};
  if (name == "amax") return Reduction{ScatterKind::max};
  if (name == "amin") return Reduction{ScatterKind::min};
  return l.unsupported(node, "there is no reduction '" + name + "'");
}

/// What an element is before the first update, where it does not count itself. Of extremes the update is what counts.
Number identity_of(ScatterKind kind, DType dtype) {
  if (kind == ScatterKind::prod) return {1, 1};
  if (kind == ScatterKind::sum) return {0, 0};
  const bool most = kind == ScatterKind::max, wide = dtype == DType::i64;
  const int64_t least = wide ? INT64_MIN : INT32_MIN, greatest = wide ? INT64_MAX : INT32_MAX;
  return {most ? -HUGE_VAL : HUGE_VAL, most ? least : greatest};
}

/// The shape is a copy: values that are added may move those of others.
Result<ValueId> filled(Legalizer& l, const Number& number, DType dtype,
                       Shape shape) {  // NOLINT(performance-unnecessary-value-param)
  return l.b.expand(l.b.constant(dtype, {}, write_numbers({number}, dtype)), shape);
}

/// a / b of the type; of integers rounded down, as PyTorch's means are.
Result<ValueId> quotient(Legalizer& l, ValueId a, ValueId b) {
  if (l.b.value(a).dtype == DType::f32) {
    Fx f;
    return l.b.map(f.finish(f.in(0) / f.in(1)), {a, b}, DType::f32);
  }
  return l.call("aten.floor_divide.default", {a, b});
}

/// x with `updates` at places of its axis. Types that no sum is computed in are computed in a wider one.
Result<ValueId> scattered(Legalizer& l, ValueId x, ValueId index, ValueId updates, int64_t axis, int64_t batch,
                          const Reduction& r, bool include_self) {
  const DType own = l.b.value(x).dtype, type = r.kind != ScatterKind::replace ? kernel_type(own) : own;
  const bool ordered = r.kind == ScatterKind::max || r.kind == ScatterKind::min;
  KILN_ASSIGN(ValueId y, ordered ? l.b.comparable(x) : l.b.cast(x, type));
  KILN_ASSIGN(updates, ordered ? l.b.comparable(updates) : l.b.cast(updates, type));
  const ScatterAttrs attrs{axis, batch, r.kind}, replace{axis, batch, ScatterKind::replace};
  if (r.kind != ScatterKind::replace && !include_self) {
    KILN_ASSIGN(const ValueId first, filled(l, identity_of(r.kind, type), type, l.b.shape(updates)));
    KILN_ASSIGN(y, l.b.scatter(y, index, first, replace));
  }
  KILN_ASSIGN(y, l.b.scatter(y, index, updates, attrs));
  if (r.mean) {
    const Shape whole = l.b.shape(x);
    KILN_ASSIGN(const ValueId ones, filled(l, {1, 1}, type, l.b.shape(updates)));
    KILN_ASSIGN(ValueId counts, filled(l, {include_self ? 1.0 : 0.0, include_self}, type, whole));
    KILN_ASSIGN(counts, l.b.scatter(counts, index, ones, attrs));
    if (!include_self) {  // where nothing came, the element stays
      Fx f;
      const Lane lane = lane_of(type);
      const Term n = f.in(0, lane), one = f.c(1, lane);
      KILN_ASSIGN(counts, l.b.map(f.finish(f.where(f.bin(PointOp::lt, n, one), one, n)), {counts}, type));
    }
    const DType divided = own == DType::u64 ? own : type;
    KILN_ASSIGN(y, l.b.cast(y, divided));
    KILN_ASSIGN(counts, l.b.cast(counts, divided));
    KILN_ASSIGN(y, quotient(l, y, counts));
  }
  return ordered ? l.b.from_comparable(y, own) : l.b.cast(y, own);
}

/// A 0-d tensor counts as a vector of one element.
Result<ValueId> at_least_1d(Legalizer& l, ValueId x) {
  return l.b.rank(x) > 0 ? Result<ValueId>(x) : l.b.reshape(x, {Dim(1)});
}

/// x[i…, with index[i…] on one axis] from src[i…]. The index may be smaller than x, and than src.
Result<ValueId> by_element(Legalizer& l, const Node& node, ValueId x, ValueId index, ValueId src, int64_t dim,
                           const Reduction& r, bool include_self) {
  const Shape whole = l.b.shape(x);
  KILN_ASSIGN(x, at_least_1d(l, x));
  KILN_ASSIGN(index, at_least_1d(l, index));
  KILN_ASSIGN(src, at_least_1d(l, src));
  const Shape si = l.b.shape(index);
  if (is_empty(si)) return l.b.reshape(x, whole);
  const int64_t rank = l.b.rank(x);
  if (rank != l.b.rank(index) || rank != l.b.rank(src))
    return misfit(node.source + ": input, index and source must have the same number of dims");
  KILN_ASSIGN(const int64_t axis, l.axis(dim, rank));
  std::vector<int64_t> order, back;  // with the axis last
  ValueId part = x;
  for (int64_t i = 0; i < rank; ++i) {
    back.push_back(i < axis ? i : i == axis ? rank - 1 : i - 1);
    const auto d = static_cast<size_t>(i);
    if (i != axis) order.push_back(i);
    if ((i != axis && si[d].value > l.b.shape(x)[d].value) || si[d].value > l.b.shape(src)[d].value)
      return misfit(node.source + ": the index is larger than the input or the source");
    KILN_ASSIGN(src, l.b.slice_axis(src, i, 0, si[d].value));
    if (i != axis) {
      KILN_ASSIGN(part, l.b.slice_axis(part, i, 0, si[d].value));
    }
  }
  order.push_back(axis);
  KILN_ASSIGN(ValueId y, l.b.permute(part, order));
  KILN_ASSIGN(index, l.b.permute(index, order));
  KILN_ASSIGN(src, l.b.permute(src, order));
  KILN_ASSIGN(y, scattered(l, y, index, src, rank - 1, rank - 1, r, include_self));
  KILN_ASSIGN(y, l.b.permute(y, back));
  for (int64_t i = rank; i-- > 0;) {  // what the index does not reach stays
    const auto d = static_cast<size_t>(i);
    const int64_t size = l.b.shape(x)[d].value, done = l.b.shape(y)[d].value;
    if (done == size) continue;
    ValueId rest = x;
    for (int64_t j = 0; j < i; ++j) {
      KILN_ASSIGN(rest, l.b.slice_axis(rest, j, 0, l.b.shape(y)[static_cast<size_t>(j)].value));
    }
    KILN_ASSIGN(rest, l.b.slice_axis(rest, i, done, size - done));
    KILN_ASSIGN(y, l.b.concat({y, rest}, i));
  }
  return l.b.reshape(y, whole);
}

Status scatter(Legalizer& l, const Node& node, const std::string& reduce, bool include_self) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  KILN_ASSIGN(ValueId src, l.tensor_or_number(node, 2, "value"));
  KILN_ASSIGN(src, l.b.cast(src, l.b.value(x).dtype));
  if (l.b.rank(src) == 0 && l.b.rank(index) > 0) {
    KILN_ASSIGN(src, l.b.expand(src, Shape(l.b.shape(index))));
  }
  KILN_ASSIGN(const Reduction r, reduction_of(l, node, reduce));
  KILN_ASSIGN(const ValueId y, by_element(l, node, x, index, src, l.integer(node, "dim", 0), r, include_self));
  return l.set(node, y);
}
Status scatter_any(Legalizer& l, const Node& node) {
  return scatter(l, node, l.text(node, "reduce", ""), l.flag(node, "include_self", true));
}
Status scatter_add(Legalizer& l, const Node& node) { return scatter(l, node, "sum", true); }

/// Slices along one axis.
Status by_slice(Legalizer& l, const Node& node, ValueId source, const Reduction& r, bool include_self) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId index, l.need(node, 1));
  const Shape whole = l.b.shape(x);
  KILN_ASSIGN(x, at_least_1d(l, x));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "dim", 0), l.b.rank(x)));
  if (l.b.rank(index) > 1) return misfit(node.source + ": expected a 1-d index");
  KILN_ASSIGN(index, l.b.reshape(index, {Dim(element_count(l.b.shape(index)))}));
  Shape wanted = l.b.shape(x);
  wanted[static_cast<size_t>(axis)] = l.b.shape(index)[0];
  KILN_ASSIGN(source, l.b.cast(source, l.b.value(x).dtype));
  if (l.b.rank(source) == 0) {
    KILN_ASSIGN(source, l.b.expand(source, wanted));
  } else if (l.b.shape(source) != wanted) {
    return misfit(node.source + ": the source has shape " + to_string(l.b.shape(source)) + ", expected " +
                  to_string(wanted));
  }
  KILN_ASSIGN(ValueId y, scattered(l, x, index, source, axis, 0, r, include_self));
  KILN_ASSIGN(y, l.b.reshape(y, whole));
  return l.set(node, y);
}
Status index_add(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId source, l.need(node, 2));
  const Number alpha = l.any_number(node, "alpha");
  if (l.has(node, "alpha") && (alpha.real != 1 || alpha.whole != 1)) {
    const DType dtype = l.b.value(source).dtype;
    Fx f;
    const Lane lane = lane_of(dtype);
    const Term by = lane == Lane::f32 ? f.c(alpha.real) : f.whole(alpha.whole, lane);
    KILN_ASSIGN(source, l.b.map(f.finish(f.in(0, lane) * by), {source}, dtype));
  }
  return by_slice(l, node, source, {ScatterKind::sum}, true);
}
Status index_copy(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId source, l.need(node, 2));
  return by_slice(l, node, source, {}, true);
}
Status index_fill(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId value, l.tensor_or_number(node, 2, "value"));
  return by_slice(l, node, value, {}, true);
}
Status index_reduce(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId source, l.need(node, 2));
  KILN_ASSIGN(const Reduction r, reduction_of(l, node, l.text(node, "reduce", "")));
  return by_slice(l, node, source, r, l.flag(node, "include_self", true));
}

/// x[mask] = one number.
Status fill_where(Legalizer& l, const Node& node, ValueId x, ValueId mask, size_t axis, ValueId value) {
  Shape aligned = l.b.shape(mask);
  const Shape to = l.b.shape(x);
  if (axis + aligned.size() > to.size() ||
      !std::equal(aligned.begin(), aligned.end(), to.begin() + static_cast<long>(axis)))
    return misfit(node.source + ": the mask does not fit the input");
  if (element_count(l.b.shape(value)) != 1 || l.flag(node, "accumulate", false))
    return l.unsupported(
        node, "a mask as an index is supported for one value, without accumulation: write it with torch.where");
  aligned.resize(to.size() - axis, Dim(1));
  KILN_ASSIGN(mask, l.b.reshape(mask, aligned));
  KILN_ASSIGN(value, l.b.reshape(value, {}));
  const DType dtype = l.b.value(x).dtype;
  KILN_ASSIGN(value, l.b.cast(value, dtype));
  Fx f;
  const Lane lane = lane_of(dtype);
  KILN_ASSIGN(const ValueId y,
              l.b.map(f.finish(f.where(f.in(0, Lane::mask), f.in(1, lane), f.in(2, lane))), {mask, value, x}, dtype));
  return l.set(node, y);
}

/// x[:, i, j] = values: as aten.index reads. The indexed axes are moved side by side and merged into one.
Status index_put(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  if (node.inputs.size() < 3) return misfit(node.source + ": without an index");
  const auto rank = static_cast<size_t>(l.b.rank(x));
  const size_t given = node.inputs.size() - 2;
  KILN_ASSIGN(ValueId values, l.need(node, given + 1));
  std::vector<int64_t> indexed, order;
  for (size_t i = 0; i < rank; ++i)
    (i < given && l.in(node, i + 1) != kNoValue ? indexed : order).push_back(static_cast<int64_t>(i));
  if (indexed.empty() || given > rank) return misfit(node.source + ": the indices do not fit the input");
  const ValueId first = l.in(node, static_cast<size_t>(indexed[0]) + 1);
  if (indexed.size() == 1 && l.b.value(first).dtype == DType::boolean)
    return fill_where(l, node, x, first, static_cast<size_t>(indexed[0]), values);
  const bool together = indexed.back() - indexed.front() + 1 == static_cast<int64_t>(indexed.size());
  const int64_t at = together ? indexed.front() : 0;
  order.insert(order.begin() + at, indexed.begin(), indexed.end());
  const Shape original = l.b.shape(x);
  std::vector<ValueId> operands;
  for (const int64_t axis : indexed) operands.push_back(l.in(node, static_cast<size_t>(axis) + 1));
  KILN_ASSIGN(const FlatIndex flat, flat_index(l, node, operands, indexed, original));
  KILN_ASSIGN(x, l.b.permute(x, order));
  const Shape turned = l.b.shape(x);
  Shape merged = turned;
  merged.erase(merged.begin() + at, merged.begin() + at + static_cast<std::ptrdiff_t>(indexed.size()));
  Shape wanted = merged;
  const Shape& by = l.b.shape(flat.index);
  wanted.insert(wanted.begin() + at, by.begin(), by.end());
  merged.insert(merged.begin() + at, Dim(flat.size));
  KILN_ASSIGN(x, l.b.reshape(x, merged));
  KILN_ASSIGN(values, l.b.cast(values, l.b.value(x).dtype));
  KILN_ASSIGN(values, l.b.expand(values, wanted));
  const Reduction r{l.flag(node, "accumulate", false) ? ScatterKind::sum : ScatterKind::replace};
  KILN_ASSIGN(ValueId y, scattered(l, x, flat.index, values, at, 0, r, true));
  KILN_ASSIGN(y, l.b.reshape(y, turned));
  std::vector<int64_t> back(rank);
  for (size_t i = 0; i < rank; ++i) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  KILN_ASSIGN(y, l.b.permute(y, back));
  return l.set(node, y);
}

/// The n-th place of the mask gets the n-th element of the source.
Status masked_scatter(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId mask, l.need(node, 1));
  KILN_ASSIGN(ValueId source, l.need(node, 2));
  KILN_ASSIGN(const Shape to, broadcast(l.b.graph, {&l.b.shape(x), &l.b.shape(mask)}));
  KILN_ASSIGN(x, l.b.expand(x, to));
  KILN_ASSIGN(mask, l.b.expand(mask, to));
  if (is_empty(to)) return l.set(node, x);
  const Dim all(element_count(to)), there(element_count(l.b.shape(source)));
  if (there.value < 1) return l.unsupported(node, "a source without elements");
  KILN_ASSIGN(ValueId count, l.b.reshape(mask, {all}));
  KILN_ASSIGN(count, l.b.cast(count, DType::i32));
  KILN_ASSIGN(const auto counts, l.b.scan(count, {0, ScanKind::sum}));
  Fx place;  // of what is not masked any
  const Term n = place.in(0, Lane::i32), zero = place.whole(0, Lane::i32);
  const Term t = place.where(place.in(1, Lane::mask), n - place.whole(1, Lane::i32), zero);
  KILN_ASSIGN(const ValueId flat_mask, l.b.reshape(mask, {all}));
  KILN_ASSIGN(const ValueId index, l.b.map(place.finish(t), {counts[0], flat_mask}, DType::i32));
  KILN_ASSIGN(source, l.b.reshape(source, {there}));
  KILN_ASSIGN(ValueId taken, l.b.gather(source, index, 0));
  KILN_ASSIGN(taken, l.b.reshape(taken, to));
  const DType dtype = l.b.value(x).dtype;
  const Lane lane = lane_of(dtype);
  Fx f;
  KILN_ASSIGN(const ValueId y,
              l.b.map(f.finish(f.where(f.in(0, Lane::mask), f.in(1, lane), f.in(2, lane))), {mask, taken, x}, dtype));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> scatter_ops() {
  return {
      {"aten._unsafe_index_put.default", index_put}, {"aten.index_add.default", index_add},
      {"aten.index_copy.default", index_copy},       {"aten.index_fill.int_Scalar", index_fill},
      {"aten.index_fill.int_Tensor", index_fill},    {"aten.index_put.default", index_put},
      {"aten.index_reduce.default", index_reduce},   {"aten.masked_scatter.default", masked_scatter},
      {"aten.scatter.reduce", scatter_any},          {"aten.scatter.src", scatter_any},
      {"aten.scatter.value", scatter_any},           {"aten.scatter.value_reduce", scatter_any},
      {"aten.scatter_add.default", scatter_add},     {"aten.scatter_reduce.two", scatter_any},
  };
}

}  // namespace kiln
