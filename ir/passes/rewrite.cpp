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
    regions_.pass(node);
    region_at_.push_back(regions_.now());
    bool weights_only = node.op != Op::loop && node.op != Op::end_loop && node.op != Op::join;
    const ValueId result = *std::max_element(node.outputs.begin(), node.outputs.end());
    for (ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      weights_only = weights_only && weights_only_[static_cast<size_t>(id)];
      // A kept node was counted with the old graph. A new node is counted in addition, even if it replaces an old
      // reader.
      if (static_cast<size_t>(result) >= before || static_cast<size_t>(id) >= before) ++uses_[static_cast<size_t>(id)];
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
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
  if (at < 0 || region_at_[static_cast<size_t>(at)] != regions_.now()) return nullptr;
  return &graph.nodes[static_cast<size_t>(at)];
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

const Rewrite::Facts& Rewrite::facts(ValueId id) {
  facts_.resize(graph.values.size());
  Facts& f = facts_[static_cast<size_t>(id)];
  if (f.known) return f;
  const Value& value = graph.value(id);
  const auto size = static_cast<size_t>(size_of(value.dtype));
  f = {true, value.is_constant() && !is_half(value.dtype), value.is_constant() && lane_of(value.dtype) != Lane::f32};
  int64_t first = 0;
  for (size_t at = 0; at + size <= value.data.size() && (f.uniform || f.ramp); at += size) {
    int64_t element = 0;
    std::memcpy(&element, value.data.data() + at, size);
    if (at == 0) first = element;
    f.uniform = f.uniform && element == first;
    f.ramp = f.ramp && static_cast<uint64_t>(element) - static_cast<uint64_t>(first) == at / size;
  }
  return f;
}

bool Rewrite::is_output(ValueId id) const {
  return static_cast<size_t>(id) < output_.size() && output_[static_cast<size_t>(id)];
}

Result<Graph> Rewrite::finish() {
  b.lift_limit();
  std::vector<ValueId> outputs;
  std::vector<bool> taken(graph.values.size());  // an output is a value of its own, with its name
  for (ValueId id : graph.outputs) taken[static_cast<size_t>(id)] = true;
  for (ValueId id : graph.outputs) {
    ValueId now = resolve(id);
    const std::string name = graph.value(id).name;
    if (now != id) {
      const bool own = position(now) >= 0 && !taken[static_cast<size_t>(now)];
      taken[static_cast<size_t>(now)] = true;
      if (!own) {
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
