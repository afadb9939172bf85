// The table of front-end operators. A row says how one is rewritten into the closed set of ir/graph.h; shapes are
// inferred there.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace kiln {

/// What a row's function works with: the source node, its operands already legalized, and builders that append to the
/// new graph. (Builders for each Op infer the output's shape and dtype; see ir/builder.h.)
class Legalizer;

struct OpRow {
  std::string_view name;  ///< "aten.relu.default"
  Status (*legalize)(Legalizer& l, const Node& node);
  std::string_view family = {};  ///< filled in by op_table()
};

/// Every supported operator, by family, then by name. One explicit table (no static registration).
const std::vector<OpRow>& op_table();

/// The table as text: a line per family, its operators below it.
std::string op_table_text();

}  // namespace kiln
