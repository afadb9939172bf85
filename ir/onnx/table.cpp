#include <algorithm>

#include "ir/onnx/rows.h"

namespace kiln {

std::vector<OpRow> onnx_ops() {
  std::vector<OpRow> rows;
  for (const auto family :
       {onnx_attention_ops, onnx_contraction_ops, onnx_control_ops,          onnx_create_ops,    onnx_fourier_ops,
        onnx_gather_ops,    onnx_layout_ops,      onnx_linear_attention_ops, onnx_loss_ops,      onnx_microsoft_ops,
        onnx_norm_ops,      onnx_pointwise_ops,   onnx_quantize_ops,         onnx_recurrent_ops, onnx_reduce_ops,
        onnx_region_ops,    onnx_sample_ops,      onnx_scatter_ops,          onnx_select_ops,    onnx_sort_ops,
        onnx_window_ops}) {
    const std::vector<OpRow> more = family();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

Status onnx_all_read(const Legalizer& l, const Node& node, const std::vector<int>& read) {
  for (size_t i = 0; i < node.source_attrs.size(); ++i) {
    const std::string& name = node.source_attrs[i].name;
    if (name != "opset" && std::find(read.begin(), read.end(), static_cast<int>(i)) == read.end())
      return l.unsupported(node, "the attribute '" + name + "' is not supported");
  }
  const bool control = node.source == "onnx.If" || node.source == "onnx.Loop" || node.source == "onnx.Scan";
  if (!node.bodies.empty() && !control) return l.unsupported(node, "a graph inside of it is not supported");
  return ok();
}

}  // namespace kiln
