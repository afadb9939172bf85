// Where a node stands: outside of all control flow, in a branch, or in a loop. Marks are passed in the order of nodes.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace kiln {

class Regions {
 public:
  /// Takes note of the next node of the graph.
  void pass(const Node& node) {
    if (node.op == Op::branch && std::get_if<BranchAttrs>(&node.attrs)->otherwise) leave();
    if (node.op == Op::branch || node.op == Op::loop) open_.push_back({++last_, node.outputs[0]});
    if (node.op == Op::join && in(node.inputs[1])) leave();
    if (node.op == Op::end_loop && in(node.inputs[0])) leave();
  }
  /// The region that the next node stands in; 0 is outside of all.
  int now() const { return open_.empty() ? 0 : open_.back().region; }
  /// Whether what was made in a region has been made wherever the next node runs.
  bool around(int region) const {
    for (const Open& o : open_)
      if (o.region == region) return true;
    return region == 0;
  }
  /// Whether the branch with this token, or the loop with this number, is the innermost that is open.
  bool in(ValueId token) const { return !open_.empty() && open_.back().token == token; }

 private:
  struct Open {
    int region;
    ValueId token;
  };
  void leave() {
    if (!open_.empty()) open_.pop_back();
  }
  std::vector<Open> open_;
  int last_ = 0;
};

}  // namespace kiln
