// ONNX: reductions along axes, and what is written with them.
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

struct Reduction {
  const char* name;
  const char* source;
  bool typed;                   ///< sums of integers stay in their type
  const char* first = nullptr;  ///< of each element before
  const char* last = nullptr;   ///< of each result
};
const Reduction kReductions[] = {
    {"onnx.ReduceL1", "aten.sum.dim_IntList", true, "aten.abs.default"},
    {"onnx.ReduceL2", "aten.sum.dim_IntList", true, "aten.square.default", "aten.sqrt.default"},
    {"onnx.ReduceLogSum", "aten.sum.dim_IntList", true, nullptr, "aten.log.default"},
    {"onnx.ReduceLogSumExp", "aten.logsumexp.default", false},
    {"onnx.ReduceMax", "aten.amax.default", false},
    {"onnx.ReduceMean", "aten.mean.dim", false},
    {"onnx.ReduceMin", "aten.amin.default", false},
    {"onnx.ReduceProd", "aten.prod.dim_int", true},
    {"onnx.ReduceSum", "aten.sum.dim_IntList", true},
    {"onnx.ReduceSumSquare", "aten.sum.dim_IntList", true, "aten.square.default"},
};

/// Axes: an attribute, then an operand. None are all, or, if the node says so, none.
Status reduction(Legalizer& l, const Node& node) {
  const Reduction* row = nullptr;
  for (const Reduction& candidate : kReductions)
    if (node.source == candidate.name) row = &candidate;
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(std::vector<int64_t> axes, list(l, node, 1, "axes"));
  const DType own = l.b.value(x).dtype;
  if (row->first) {
    KILN_ASSIGN(x, l.call(row->first, {x}));
  }
  const bool none = l.flag(node, "noop_with_empty_axes", false) && axes.empty();
  const bool keep = l.flag(node, "keepdims", true);
  if (axes.empty()) axes = all_axes(l.b.rank(x));
  const bool extreme = node.source == "onnx.ReduceMax" || node.source == "onnx.ReduceMin";
  if (!none && extreme && is_empty(l.b.shape(x)) && own == DType::f32) {  // of nothing: what every number beats
    KILN_ASSIGN(const ValueId like, l.call("aten.sum.dim_IntList", {x}, {{"dim", axes}, {"keepdim", keep}}));
    const ValueId least = l.b.scalar(node.source == "onnx.ReduceMax" ? -INFINITY : INFINITY, own);
    KILN_ASSIGN(x, l.b.expand(least, l.b.shape(like)));
  } else if (!none) {
    std::vector<SourceAttr> attrs{{"dim", axes}, {"keepdim", keep}};
    if (row->typed) attrs.push_back({"dtype", std::string(name_of(own))});
    KILN_ASSIGN(x, l.call(row->source, {x}, std::move(attrs)));
  }
  if (row->last) {
    KILN_ASSIGN(x, l.call(row->last, {x}));
  }
  KILN_ASSIGN(x, l.b.cast(x, own));
  return l.set(node, x);
}

/// The first of equal ones, or the last.
template <bool kMax>
Status arg(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", 0), l.b.rank(x)));
  const bool last = l.flag(node, "select_last_index", false);
  const int64_t size = l.b.rank(x) == 0 ? 1 : l.b.shape(x)[static_cast<size_t>(axis)].value;
  if (last) {
    KILN_ASSIGN(x, l.call("aten.flip.default", {x}, {{"dims", std::vector<int64_t>{axis}}}));
  }
  KILN_ASSIGN(ValueId y, l.call(kMax ? "aten.argmax.default" : "aten.argmin.default", {x},
                                {{"dim", axis}, {"keepdim", l.flag(node, "keepdims", true)}}));
  if (last) {
    Fx f;
    KILN_ASSIGN(y, l.b.map(f.finish(f.whole(size - 1, Lane::i64) - f.in(0, Lane::i64)), {y}, DType::i64));
  }
  return l.set(node, y);
}

/// The operand and the axis of softmax and the like. Before opset 13 all axes from `axis` on are one.
Result<std::pair<ValueId, int64_t>> along_axis(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  const bool flattens = opset(l, node) < 13;
  const Shape shape = l.b.shape(x);
  if (shape.empty()) return l.unsupported(node, "a scalar has no axis");
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", flattens ? 1 : -1), l.b.rank(x)));
  if (!flattens) return std::make_pair(x, axis);
  const int64_t rows = element_count(Shape(shape.begin(), shape.begin() + axis));
  KILN_ASSIGN(x, l.b.reshape(x, {Dim(rows), Dim(element_count(Shape(shape.begin() + axis, shape.end())))}));
  return std::make_pair(x, int64_t{1});
}

template <bool kLog>
Status softmax(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const auto along, along_axis(l, node));
  const auto [x, axis] = along;
  const Shape shape = l.b.shape(l.in(node, 0));
  KILN_ASSIGN(const ValueId normed, l.call(kLog ? "aten.log_softmax.int" : "aten.softmax.int", {x}, {{"dim", axis}}));
  KILN_ASSIGN(const ValueId y, l.b.reshape(normed, shape));
  return l.set(node, y);
}

Status hardmax(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const auto operand, along_axis(l, node));
  const auto [x, axis] = operand;
  const Shape shape = l.b.shape(l.in(node, 0));
  KILN_ASSIGN(const ValueId best, l.call("aten.argmax.default", {x}, {{"dim", axis}, {"keepdim", true}}));
  Shape along(l.b.shape(x).size(), Dim(1));
  along[static_cast<size_t>(axis)] = l.b.shape(x)[static_cast<size_t>(axis)];
  KILN_ASSIGN(const ValueId places, ramp(l, along[static_cast<size_t>(axis)].value, along));
  Fx f;
  const Term t = f.to(f.bin(PointOp::eq, f.in(0, Lane::i64), f.in(1, Lane::i64)), Lane::f32);
  KILN_ASSIGN(const ValueId chosen, l.b.map(f.finish(t), {best, places}, DType::f32));
  KILN_ASSIGN(const ValueId y, l.b.reshape(chosen, shape));
  return l.set(node, y);
}

/// Running sums and products: from the end, or without the element itself.
template <bool kProduct>
Status running(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> given, l.whole_elements(node, 1, "the axis"));
  if (given.size() != 1 || l.b.rank(x) == 0) return misfit(node.source + ": one axis is expected");
  KILN_ASSIGN(const int64_t axis, l.axis(given[0], l.b.rank(x)));
  const bool reverse = l.flag(node, "reverse", false), exclusive = l.flag(node, "exclusive", false);
  const std::vector<SourceAttr> flip{{"dims", std::vector<int64_t>{axis}}};
  const int64_t size = l.b.shape(x)[static_cast<size_t>(axis)].value;
  if (size == 0) return l.set(node, x);
  if (reverse) {
    KILN_ASSIGN(x, l.call("aten.flip.default", {x}, flip));
  }
  const std::string own = name_of(l.b.value(x).dtype);
  KILN_ASSIGN(ValueId y,
              l.call(kProduct ? "aten.cumprod.default" : "aten.cumsum.default", {x}, {{"dim", axis}, {"dtype", own}}));
  if (exclusive) {
    PadAttrs pad;
    pad.before.assign(l.b.shape(x).size(), 0);
    pad.after = pad.before;
    pad.before[static_cast<size_t>(axis)] = 1;
    pad.value = kProduct, pad.whole = kProduct;
    KILN_ASSIGN(y, l.b.slice_axis(y, axis, 0, size - 1));
    KILN_ASSIGN(y, l.b.pad(y, pad));
  }
  if (reverse) {
    KILN_ASSIGN(y, l.call("aten.flip.default", {y}, flip));
  }
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_reduce_ops() {
  std::vector<OpRow> rows{
      {"onnx.ArgMax", arg<true>},       {"onnx.ArgMin", arg<false>}, {"onnx.CumProd", running<true>},
      {"onnx.CumSum", running<false>},  {"onnx.Hardmax", hardmax},   {"onnx.LogSoftmax", softmax<true>},
      {"onnx.Softmax", softmax<false>},
  };
  for (const Reduction& row : kReductions) rows.push_back({row.name, reduction});
  return rows;
}

}  // namespace kiln
