#include "ir/onnx/rows.h"

namespace kiln {

std::vector<OpRow> onnx_ops() {
  std::vector<OpRow> rows;
  for (const auto family : {onnx_contraction_ops, onnx_layout_ops, onnx_microsoft_ops, onnx_norm_ops,
                            onnx_pointwise_ops, onnx_reduce_ops, onnx_window_ops}) {
    const std::vector<OpRow> more = family();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace kiln
