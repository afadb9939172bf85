#include <algorithm>
#include <tuple>

#include "ir/legalizer.h"

namespace kiln {

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> table = [] {
    const struct {
      std::string_view name;
      std::vector<OpRow> (*rows)();
    } families[] = {
        {"attention", attention_ops},
        {"cast", cast_ops},
        {"contraction", contraction_ops},
        {"create", create_ops},
        {"gather", gather_ops},
        {"layout", layout_ops},
        {"layout", join_ops},
        {"loss", loss_ops},
        {"norm", norm_ops},
        {"onnx", onnx_ops},
        {"pointwise", pointwise_unary_ops},
        {"pointwise", pointwise_binary_ops},
        {"recurrent", recurrent_ops},
        {"reduce", reduce_ops},
        {"resize", resize_ops},
        {"sample", sample_ops},
        {"scan", scan_ops},
        {"scatter", scatter_ops},
        {"sort", sort_ops},
        {"volume", volume_ops},
        {"window", window_ops},
    };
    std::vector<OpRow> rows;
    for (const auto& family : families) {
      for (OpRow row : family.rows()) {
        row.family = family.name;
        rows.push_back(row);
      }
    }
    std::sort(rows.begin(), rows.end(),
              [](const OpRow& a, const OpRow& b) { return std::tie(a.family, a.name) < std::tie(b.family, b.name); });
    return rows;
  }();
  return table;
}

const OpRow* find_op(std::string_view name) {
  static const std::map<std::string_view, const OpRow*> index = [] {
    std::map<std::string_view, const OpRow*> by_name;
    for (const OpRow& row : op_table()) by_name.emplace(row.name, &row);
    return by_name;
  }();
  const auto it = index.find(name);
  return it == index.end() ? nullptr : it->second;
}

std::string op_table_text() {
  std::string text;
  std::string_view family;
  for (const OpRow& row : op_table()) {
    if (row.family != family) text += std::string(family = row.family) + "\n";
    text += "  " + std::string(row.name) + "\n";
  }
  return text;
}

}  // namespace kiln
