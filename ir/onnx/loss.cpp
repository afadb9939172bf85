// ONNX: losses of classes given by number.
#include "ir/onnx/rows.h"

namespace kiln {
namespace {

Result<std::vector<SourceAttr>> loss_attrs(Legalizer& l, const Node& node) {
  const std::string reduction = l.text(node, "reduction", "mean");
  const int64_t number = reduction == "none" ? 0 : reduction == "mean" ? 1 : reduction == "sum" ? 2 : -1;
  if (number < 0) return misfit(node.source + ": there is no reduction '" + reduction + "'");
  std::vector<SourceAttr> attrs{{"reduction", number}};
  if (l.has(node, "ignore_index")) {
    attrs.push_back({"ignore_index", l.integer(node, "ignore_index", 0)});
  } else {
    attrs.push_back({"ignore_index", INT64_MIN});
  }
  return attrs;
}

/// Dims behind the class are positions, as many as there are.
Result<ValueId> loss_of(Legalizer& l, const Node& node, ValueId scores) {
  KILN_ASSIGN(const ValueId target, l.need(node, 1));
  KILN_ASSIGN(std::vector<SourceAttr> attrs, loss_attrs(l, node));
  return l.call("aten.nll_loss_forward.default", {scores, target, l.in(node, 2)}, std::move(attrs));
}

Status nll_loss(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId scores, l.need(node, 0));
  KILN_ASSIGN(const ValueId y, loss_of(l, node, scores));
  return l.set(node, y);
}

Status softmax_cross_entropy_loss(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId scores, l.need(node, 0));
  KILN_ASSIGN(scores, l.call("aten._log_softmax.default", {scores}, {{"dim", int64_t{1}}}));
  KILN_ASSIGN(const ValueId y, loss_of(l, node, scores));
  KILN_TRY(l.set(node, y));
  return l.wants(node, 1) ? l.set(node, scores, 1) : ok();
}

}  // namespace

std::vector<OpRow> onnx_loss_ops() {
  return {
      {"onnx.NegativeLogLikelihoodLoss", nll_loss},
      {"onnx.SoftmaxCrossEntropyLoss", softmax_cross_entropy_loss},
  };
}

}  // namespace kiln
