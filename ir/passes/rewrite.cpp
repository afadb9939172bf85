#include "ir/passes/rewrite.h"

#include <algorithm>
#include <cstring>

#include "ir/passes/passes.h"

namespace kiln {
namespace {

constexpr int kMaxRounds = 32;  ///< models settle in a few

}  // namespace

Rewrite::Rewrite(Graph old_graph) : graph(std::move(old_graph)), b(graph), old_(std::move(graph.nodes)) {
  graph.nodes.clear();
  graph.nodes.reserve(old_.size());
  output_.assign(graph.values.size(), false);
  for (ValueId id : graph.outputs) output_[static_cast<size_t>(id)] = true;
  sync();
  for (const Node& node : old_)
    for (ValueId id : node.inputs)
      if (id != kNoValue) ++uses_[static_cast<size_t>(id)];
}

void Rewrite::sync() {
  const size_t before = uses_.size(), n = graph.values.size();
  if (before == n && seen_ == graph.nodes.size()) return;
  uses_.resize(n, 0);
  produced_at_.resize(n, -1);
  weights_only_.resize(n, false);
  output_.resize(n, false);
  for (size_t i = before; i < n; ++i) {
    replaced_.push_back(static_cast<ValueId>(i));
    weights_only_[i] = graph.values[i].is_weight() || graph.values[i].is_constant();
  }
  for (; seen_ < graph.nodes.size(); ++seen_) {
    const Node& node = graph.nodes[seen_];
    bool weights_only = true;
    for (ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      weights_only = weights_only && weights_only_[static_cast<size_t>(id)];
      // A kept node was counted with the old graph. A new node is counted in addition, even if it replaces an old
      // reader.
      if (static_cast<size_t>(node.outputs[0]) >= before || static_cast<size_t>(id) >= before)
        ++uses_[static_cast<size_t>(id)];
    }
    for (ValueId id : node.outputs) {
      produced_at_[static_cast<size_t>(id)] = static_cast<int>(seen_);
      weights_only_[static_cast<size_t>(id)] = weights_only;
    }
  }
}

void Rewrite::replace(ValueId old, ValueId now) {
  sync();
  uses_[static_cast<size_t>(now)] += uses_[static_cast<size_t>(old)];
  replaced_[static_cast<size_t>(old)] = now;
  if (output_[static_cast<size_t>(old)]) output_[static_cast<size_t>(now)] = true;
}

const Node* Rewrite::producer(ValueId id) {
  sync();
  const int at = id == kNoValue ? -1 : produced_at_[static_cast<size_t>(id)];
  return at < 0 ? nullptr : &graph.nodes[static_cast<size_t>(at)];
}

const Node* Rewrite::producer(ValueId id, Op op) {
  const Node* node = producer(id);
  return node && node->op == op ? node : nullptr;
}

int Rewrite::position(ValueId id) {
  sync();
  return produced_at_[static_cast<size_t>(id)];
}

bool Rewrite::single_use(ValueId id) {
  sync();
  return uses_[static_cast<size_t>(id)] <= 1 && !output_[static_cast<size_t>(id)];
}

bool Rewrite::from_weights(ValueId id) {
  sync();
  return weights_only_[static_cast<size_t>(id)];
}

bool Rewrite::is_output(ValueId id) const {
  return static_cast<size_t>(id) < output_.size() && output_[static_cast<size_t>(id)];
}

Result<Graph> Rewrite::finish() {
  std::vector<ValueId> outputs;
  for (ValueId id : graph.outputs) {
    ValueId now = resolve(id);
    const std::string name = graph.value(id).name;
    if (now != id) {
      // An output is a value of its own, with its name.
      const bool taken = position(now) < 0 || std::count(outputs.begin(), outputs.end(), now) > 0 ||
                         std::count(graph.outputs.begin(), graph.outputs.end(), now) > 0;
      if (taken) {
        KILN_ASSIGN(now, b.map(identity_expr(lane_of(graph.value(now).dtype)), {now}, graph.value(now).dtype));
        sync();
      }
      graph.value(now).name = name;
    }
    outputs.push_back(now);
  }
  graph.outputs = std::move(outputs);
  return std::move(graph);
}

Result<Graph> rewrite_by(const std::vector<Rule>& rules, Graph graph) {
  for (int round = 0; round < kMaxRounds; ++round) {
    Rewrite r(std::move(graph));
    auto walked = r.run([&](const Node& node) -> Result<bool> {
      for (Rule rule : rules) {
        KILN_ASSIGN(const bool done, rule(r, node));
        if (done) return true;
      }
      return false;
    });
    if (!walked.ok()) return walked.error();
    graph = drop_dead(std::move(*walked));
    if (!r.changed) break;
  }
  return graph;
}

}  // namespace kiln
