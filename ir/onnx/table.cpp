#include <algorithm>

#include "ir/onnx/rows.h"

namespace kiln {

std::vector<OpRow> onnx_ops() {
  std::vector<OpRow> rows;
  for (const auto family : {onnx_contraction_ops, onnx_create_ops, onnx_gather_ops, onnx_layout_ops, onnx_microsoft_ops,
                            onnx_norm_ops, onnx_pointwise_ops, onnx_reduce_ops, onnx_window_ops}) {
    const std::vector<OpRow> more = family();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

Status onnx_all_read(const Legalizer& l, const Node& node, const std::vector<const SourceAttr*>& read) {
  for (const SourceAttr& attr : node.source_attrs)
    if (attr.name != "opset" && std::find(read.begin(), read.end(), &attr) == read.end())
      return l.unsupported(node, "the attribute '" + attr.name + "' is not supported");
  return ok();
}

}  // namespace kiln
