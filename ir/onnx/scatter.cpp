// ONNX: what is written to places that indices name.
#include <algorithm>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// PyTorch's name of a reduction; "": none.
Result<std::string> reduction(Legalizer& l, const Node& node) {
  const std::string name = l.text(node, "reduction", "none");
  const std::pair<const char*, const char*> kNames[] = {
      {"none", ""}, {"add", "sum"}, {"mul", "prod"}, {"max", "amax"}, {"min", "amin"}};
  for (const auto& [theirs, ours] : kNames)
    if (name == theirs) return std::string(ours);
  return l.unsupported(node, "there is no reduction '" + name + "'");
}

Status scatter_elements(Legalizer& l, const Node& node) {
  KILN_ASSIGN(std::string reduce, reduction(l, node));
  std::vector<SourceAttr> attrs{{"dim", l.integer(node, "axis", 0)}};
  if (!reduce.empty()) attrs.push_back({"reduce", std::move(reduce)});
  return as(l, node, attrs.size() > 1 ? "aten.scatter_reduce.two" : "aten.scatter.src", std::move(attrs));
}

Status scatter_nd(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId index, l.need(node, 1));
  KILN_ASSIGN(ValueId updates, l.need(node, 2));
  KILN_ASSIGN(std::string reduce, reduction(l, node));
  if (is_empty(l.b.shape(index))) return l.set(node, x);
  KILN_ASSIGN(const NamedParts parts, parts_named(l, node, index, l.b.shape(x), 0));
  // Rows of the table, by a vector of indices.
  const Dim count(element_count(l.b.shape(parts.index)));
  Shape rows = parts.table;
  rows[0] = count;
  KILN_ASSIGN(const ValueId at, l.b.reshape(parts.index, {count}));
  KILN_ASSIGN(const ValueId table, l.b.reshape(x, parts.table));
  KILN_ASSIGN(updates, l.b.reshape(updates, rows));
  std::vector<SourceAttr> attrs{{"dim", int64_t{0}}};
  if (!reduce.empty()) attrs.push_back({"reduce", std::move(reduce)});
  KILN_ASSIGN(ValueId y, l.call(attrs.size() > 1 ? "aten.index_reduce.default" : "aten.index_copy.default",
                                {table, at, updates}, std::move(attrs)));
  KILN_ASSIGN(y, l.b.reshape(y, Shape(l.b.shape(x))));
  return l.set(node, y);
}

/// Rows of a cache are written from an index on that each of a batch has of its own, perhaps around its end.
Status tensor_scatter(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId updates, l.need(node, 1));
  const std::string mode = l.text(node, "mode", "linear");
  const bool circular = mode == "circular";
  if (!circular && mode != "linear") return l.unsupported(node, "there is no mode '" + mode + "'");
  const Shape sx = l.b.shape(x), su = l.b.shape(updates);
  KILN_ASSIGN(const int64_t axis, l.axis(l.integer(node, "axis", -2), l.b.rank(x)));
  const auto a = static_cast<size_t>(axis);
  if (axis == 0 || su.size() != sx.size() || su[0] != sx[0])
    return misfit(node.source + ": cache and update do not fit");
  Shape along(su.size(), Dim(1)), by_batch = along;
  along[a] = su[a], by_batch[0] = sx[0];
  KILN_ASSIGN(ValueId index, ramp(l, su[a].value, along));
  const ValueId given = l.in(node, 2);
  if (given != kNoValue) {
    KILN_ASSIGN(ValueId first, l.b.cast(given, DType::i64));
    KILN_ASSIGN(first, l.b.reshape(first, by_batch));
    Fx f;
    const Term at = f.in(0, Lane::i64) + f.in(1, Lane::i64), size = f.whole(sx[a].value, Lane::i64);
    const Term t = circular ? f.where(f.bin(PointOp::ge, at, size), at - size, at) : at;
    KILN_ASSIGN(index, l.b.map(f.finish(t), {first, index}, DType::i64));
  }
  KILN_ASSIGN(index, l.b.expand(index, su));
  KILN_ASSIGN(const ValueId y, l.call("aten.scatter.src", {x, index, updates}, {{"dim", axis}}));
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_scatter_ops() {
  return {
      {"onnx.Scatter", scatter_elements},
      {"onnx.ScatterElements", scatter_elements},
      {"onnx.ScatterND", scatter_nd},
      {"onnx.TensorScatter", tensor_scatter},
  };
}

}  // namespace kiln
