// Marks of control flow. Between those of a branch, steps get a condition. Between those of a loop, they are a part of
// the plan that runs again.
#include "ir/infer.h"
#include "ir/lower/lowering.h"

namespace kiln {
namespace {

Operand at(const View& v) { return {v.buffer, v.offset * size_of(v.dtype)}; }

}  // namespace

void Lowering::lower_branch(const Node& node) {
  const View condition = input(node, 0);
  views_[static_cast<size_t>(node.outputs[0])] = condition;
  if (std::get_if<BranchAttrs>(&node.attrs)->otherwise)
    when_.pop_back();
  else
    open_.emplace_back();
  when_.push_back(at(condition));
  open_.back().token = node.outputs[0];
}

/// The branch that ran copies its value to the place of the result.
void Lowering::lower_join(const Node& node) {
  if (!open_.empty() && open_.back().token == node.inputs[1]) {  // the first join of these branches
    open_.pop_back();
    when_.pop_back();
  }
  const View a = input(node, 2), out = destination(node, order_of(a), kRunPhase);
  for (const size_t branch : {0, 1}) {
    const View value = input(node, 2 + branch);
    when_.push_back(at(input(node, branch)));
    append_map(identity_expr(lane_of(value.dtype)), out, {value}, label_of(node), kRunPhase);
    when_.pop_back();
  }
}

/// What the loop carries has a place of its own, which holds the values of the first round before it begins.
void Lowering::lower_loop(const Node& node) {
  const LoopAttrs& a = *std::get_if<LoopAttrs>(&node.attrs);
  Open open;
  open.token = node.outputs[0];
  for (size_t i = 0; i < a.carried; ++i) {
    const View first = input(node, i);
    const View place = allocate(first.dims, first.dtype, row_major(first.rank()), kRunPhase);
    append_map(identity_expr(lane_of(first.dtype)), place, {first}, label_of(node), kRunPhase);
    if (node.outputs[i + 1] != kNoValue) views_[static_cast<size_t>(node.outputs[i + 1])] = place;
    open.carried.push_back(place);
  }
  const View number = allocate({}, DType::i64, {}, kRunPhase);
  views_[static_cast<size_t>(node.outputs[0])] = number;
  open.loop = static_cast<int>(loops_.size());
  open.when = std::move(when_);
  when_.clear();
  const int size = static_cast<int>(pending_.size());
  loops_.push_back({size, size, a.bound, a.conditional ? at(open.carried[0]) : Operand{}, at(number), open.when});
  open_.push_back(std::move(open));
}

/// After a round: first what it adds to results, then what is a value of this round and another's of the next, then
/// the values of the next round.
void Lowering::lower_end_loop(const Node& node) {
  const LoopAttrs& a = *std::get_if<LoopAttrs>(&node.attrs);
  const std::string label = label_of(node);
  const auto copy = [&](const View& from, const View& to) {
    append_map(identity_expr(lane_of(from.dtype)), to, {from}, label, kRunPhase);
  };
  const Open open = std::move(open_.back());
  open_.pop_back();
  for (size_t i = 0; i < a.results.size(); ++i) {
    const View row = input(node, 1 + a.carried + i);
    Sizes dims = row.dims;
    dims.insert(dims.begin(), a.bound);
    if (node.outputs[a.carried + i] == kNoValue) continue;
    View whole = allocate(dims, row.dtype, row_major(row.rank() + 1), kRunPhase);
    views_[static_cast<size_t>(node.outputs[a.carried + i])] = whole;
    const int64_t stride = whole.strides[0];
    whole.dims.erase(whole.dims.begin());
    whole.strides.erase(whole.strides.begin());
    if (a.results[i]) whole.offset += (a.bound - 1) * stride;
    const size_t first = pending_.size();
    copy(row, whole);
    for (size_t s = first; s < pending_.size(); ++s)
      pending_[s].step.moves = (a.results[i] ? -stride : stride) * size_of(row.dtype);
  }
  std::vector<View> next;
  for (size_t i = 0; i < a.carried; ++i) {
    const View v = input(node, 1 + i);
    bool carried = false;
    for (const View& place : open.carried) carried = carried || place.buffer == v.buffer;
    next.push_back(
        carried && !same_place(v, open.carried[i]) ? allocate(v.dims, v.dtype, row_major(v.rank()), kRunPhase) : v);
    if (!same_place(next.back(), v)) copy(v, next.back());
  }
  for (size_t i = 0; i < a.carried; ++i) {
    if (!same_place(next[i], open.carried[i])) copy(next[i], open.carried[i]);
    if (node.outputs[i] != kNoValue) views_[static_cast<size_t>(node.outputs[i])] = open.carried[i];
  }
  loops_[static_cast<size_t>(open.loop)].end = static_cast<int>(pending_.size());
  when_ = open.when;
}

}  // namespace kiln
