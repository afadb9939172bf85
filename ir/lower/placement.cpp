// Chooses where results are stored, so that nobody must move them: inside a concatenation, with zeros around them, or
// such that a view of them is in such a place.
#include <algorithm>

#include "ir/infer.h"
#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// Whether a node computes nothing, and its result is its operand's memory.
bool is_view(Op op) { return op == Op::reshape || op == Op::permute || op == Op::expand || op == Op::slice; }

/// Whether the `run` innermost dims of `order` are contiguous in `place`.
bool runs_along(const View& place, const Order& order, int run) {
  int64_t stride = 1;
  for (size_t i = order.size(); run-- > 0;) {
    const auto d = static_cast<size_t>(order[--i]);
    if (place.dims[d] != 1 && place.strides[d] != stride) return false;
    stride *= place.dims[d];
  }
  return true;
}

std::vector<int64_t> inverse(const std::vector<int64_t>& axes) {
  std::vector<int64_t> back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[static_cast<size_t>(axes[i])] = static_cast<int64_t>(i);
  return back;
}

}  // namespace

void Lowering::plan_placements() {
  placements_.resize(graph.values.size());
  std::vector<const Node*> producers(graph.values.size());
  for (const Node& node : graph.nodes) {
    for (ValueId id : node.outputs)
      if (id != kNoValue) producers[static_cast<size_t>(id)] = &node;
    if (node.op == Op::conv) {
      Halo& halo = placements_[static_cast<size_t>(node.inputs[0])].halo;
      halo = larger(halo, conv_halo(node));
    }
  }
  std::vector<bool> barred(graph.values.size());
  std::vector<int> counts(graph.values.size());
  for (size_t n = graph.nodes.size(); n-- > 0;)
    if (graph.nodes[n].op == Op::concat && !late_joins_.count(graph.nodes[n].outputs[0]))
      place_parts(graph.nodes[n], producers, barred, counts);
  spread_halos();
  for (const Node& node : graph.nodes)
    if (node.op == Op::reshape) lift_halo(node, producers[static_cast<size_t>(node.inputs[0])]);
}

/// Sequences become images of one row for a convolution. The producer of a sequence writes it between the zeros.
void Lowering::lift_halo(const Node& reshape, const Node* producer) {
  const auto without_ones = [&](ValueId id) {
    Sizes dims = sizes_of(graph.value(id).shape);
    dims.erase(std::remove(dims.begin(), dims.end(), 1), dims.end());
    return dims;
  };
  const ValueId from = reshape.inputs[0], to = reshape.outputs[0];
  Placement &p = placements_[static_cast<size_t>(to)], &source = placements_[static_cast<size_t>(from)];
  if (p.halo.empty() || !p.free() || !source.free() || !source.halo.empty()) return;
  if (graph.value(to).shape.size() != 4 || graph.value(to).dtype != DType::f32) return;
  if (!producer || is_view(producer->op) || producer->op == Op::concat || without_ones(from) != without_ones(to))
    return;
  p.lifted = true;
  source.through = &reshape;
}

/// Gives each part that is computed, perhaps behind views, its place in the concatenation, unless it has one already.
/// `barred`: values that views lead to but no place, so that nobody follows them again; `counts`: room
/// to count parts, zeros before and after.
void Lowering::place_parts(const Node& concat, const std::vector<const Node*>& producers, std::vector<bool>& barred,
                           std::vector<int>& counts) {
  const auto axis = std::get_if<AxisAttrs>(&concat.attrs)->axis;
  const auto placement = [&](ValueId id) -> Placement& { return placements_[static_cast<size_t>(id)]; };
  const auto open = [&](ValueId id) { return placement(id).free() && !barred[static_cast<size_t>(id)]; };
  // A reshape of a broadcast copies, and so can write anywhere; other reshapes and permutations are views.
  const auto passes = [&](const Node* node) {
    if (!node || (node->op != Op::reshape && node->op != Op::permute)) return false;
    const Node* before = producers[static_cast<size_t>(node->inputs[0])];
    return !(node->op == Op::reshape && before && before->op == Op::expand);
  };
  for (ValueId id : concat.inputs) ++counts[static_cast<size_t>(id)];
  int64_t start = 0;
  for (ValueId id : concat.inputs) {
    const int64_t at = start;
    start += graph.value(id).shape[static_cast<size_t>(axis)].value;
    if (counts[static_cast<size_t>(id)] > 1) continue;
    std::vector<const Node*> views;
    ValueId computed = id;
    for (const Node* node = producers[static_cast<size_t>(id)]; passes(node) && open(computed);
         node = producers[static_cast<size_t>(computed)]) {
      views.push_back(node);
      computed = node->inputs[0];
    }
    const Node* producer = producers[static_cast<size_t>(computed)];
    if (!producer || !open(computed) || (is_view(producer->op) && producer->op != Op::reshape)) {
      for (const Node* view : views) barred[static_cast<size_t>(view->outputs[0])] = true;
      continue;
    }
    for (const Node* view : views) placement(view->inputs[0]).through = view;
    Placement& p = placement(id);
    p.concat = concat.outputs[0];
    p.axis = axis;
    p.start = at;
  }
  for (ValueId id : concat.inputs) counts[static_cast<size_t>(id)] = 0;
}

/// Zeros wanted around a part of a value are wanted around the whole. What is sliced is never a part itself, so first
/// slices hand theirs on to what they are of, then parts to concatenations.
void Lowering::spread_halos() {
  const auto halo = [&](ValueId id) -> Halo& { return placements_[static_cast<size_t>(id)].halo; };
  const auto is_image = [&](const Node& node, Op op) {
    if (node.op != op) return false;
    const Value& out = graph.value(node.outputs[0]);
    return out.shape.size() == 4 && out.dtype == DType::f32;
  };
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (!is_image(node, Op::slice)) continue;
    const Shape &from = graph.value(node.inputs[0]).shape, &to = graph.value(node.outputs[0]).shape;
    if (from[2] == to[2] && from[3] == to[3])
      halo(node.inputs[0]) = larger(halo(node.inputs[0]), halo(node.outputs[0]));
  }
  for (const Node& node : graph.nodes) {
    if (!is_image(node, Op::concat) || std::get_if<AxisAttrs>(&node.attrs)->axis != 1) continue;
    const ValueId out = node.outputs[0];
    for (ValueId id : node.inputs)
      if (placements_[static_cast<size_t>(id)].concat == out) halo(out) = larger(halo(out), halo(id));
  }
}

/// The memory that a value was promised, if any; `order` is how its producer would like it to lie. The way there leads
/// from value to value (views, the concatenations that one is part of) to one that has memory, or is given it, and
/// back.
std::optional<View> Lowering::place_of(ValueId id, const Order& wanted) {
  struct Stop {
    ValueId id;
    Order order;
    bool storage;  ///< of what others write parts or views of; else the place of a value
  };
  std::vector<Stop> way{{id, wanted, false}};
  std::optional<View> found;
  for (;;) {
    const Stop at = way.back();
    const Placement& p = placements_[static_cast<size_t>(at.id)];
    if (at.storage) {
      if (storage_[static_cast<size_t>(at.id)].buffer >= 0 || p.lifted) break;
      way.push_back({at.id, at.order, false});
    } else if (p.concat != kNoValue || p.lifted) {
      way.push_back({p.lifted ? at.id : p.concat, at.order, true});
    } else {
      if (!p.through) break;
      View compact;
      compact.dims = sizes_of(graph.value(at.id).shape);
      compact.strides = compact_strides(compact.dims, at.order);
      const ValueId seen = p.through->outputs[0];
      const auto* permute = std::get_if<PermuteAttrs>(&p.through->attrs);
      const auto as_seen =
          permute ? permuted(compact, permute->axes) : reshaped(compact, sizes_of(graph.value(seen).shape));
      if (!as_seen) break;
      way.push_back({seen, order_of(*as_seen), false});
    }
  }
  for (; !way.empty(); way.pop_back()) {
    const Stop& at = way.back();
    const Placement& p = placements_[static_cast<size_t>(at.id)];
    const Sizes dims = sizes_of(graph.value(at.id).shape);
    if (at.storage) {
      if (storage_[static_cast<size_t>(at.id)].buffer < 0) make_storage(at.id, at.order, found);
      found = storage_[static_cast<size_t>(at.id)];
    } else if (p.concat != kNoValue) {
      Sizes start(dims.size(), 0);
      start[static_cast<size_t>(p.axis)] = p.start;
      found = sliced(*found, start, Sizes(dims.size(), 1), dims);
    } else if (p.through && found) {
      const auto* permute = std::get_if<PermuteAttrs>(&p.through->attrs);
      found = permute ? permuted(*found, inverse(permute->axes)) : reshaped(*found, dims);
    }
  }
  return found;
}

/// The memory of a value that others write parts or views of, made when the first of them is.
void Lowering::make_storage(ValueId id, const Order& order, const std::optional<View>& place) {
  const Value& value = graph.value(id);
  const Halo& halo = placements_[static_cast<size_t>(id)].halo;
  const Sizes dims = sizes_of(value.shape);
  View& whole = storage_[static_cast<size_t>(id)];
  if (place && place->halo.covers(halo))
    whole = *place;
  else if (!halo.empty() && dims.size() == 4 && value.dtype == DType::f32)
    whole = with_halo(dims, halo, kRunPhase);
  else
    whole = allocate(dims, value.dtype, order, kRunPhase);
}

View Lowering::destination(const Node& node, const Order& order, int phase, int run, size_t result) {
  const ValueId id = node.outputs[result];
  const Placement& p = placements_[static_cast<size_t>(id)];
  const Sizes dims = out_dims(node, result);
  View& at = views_[static_cast<size_t>(id)];
  if (phase == kRunPhase) {
    const auto place = place_of(id, order);
    if (place && place->halo.covers(p.halo) && runs_along(*place, order, run)) return at = *place;
    View inner;  // what with_halo makes has neighbouring channels and nothing else
    inner.dims = dims;
    inner.strides = {0, 1, 0, 0};
    if (!p.halo.empty() && dims.size() == 4 && out_dtype(node, result) == DType::f32 && runs_along(inner, order, run))
      return at = with_halo(dims, p.halo, phase);
  }
  return at = allocate(dims, out_dtype(node, result), order, phase);
}

std::vector<View> Lowering::destinations(const Node& node, const Order& order, int phase) {
  std::vector<View> places;
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != kNoValue) places.push_back(destination(node, order, phase, 0, i));
  return places;
}

/// The order of a copy of `x` that can be viewed as `dims` and is closest to the layout of x. Groups of dims that
/// become each other stay together, and groups have the order of x in memory. Sets `plain` if no group becomes several
/// dims. Then any strides are possible.
Order Lowering::order_for_reshape(const View& x, const Sizes& dims, bool* plain) {
  struct Group {
    int64_t stride;
    int moving;
    std::vector<int> out;
  };
  std::vector<Group> groups;
  *plain = true;
  size_t i = 0, j = 0;
  while (i < x.dims.size() || j < dims.size()) {
    Group g{-1, 0, {}};
    int64_t from = 1, to = 1;
    const auto take_in = [&] {
      if (x.dims[i] != 1) g.stride = std::max(g.stride, x.strides[i]);
      from *= x.dims[i++];
    };
    const auto take_out = [&] {
      to *= dims[j];
      g.moving += dims[j] != 1;
      g.out.push_back(static_cast<int>(j++));
    };
    if (i < x.dims.size()) take_in();
    if (j < dims.size()) take_out();
    while (from != to) from < to ? take_in() : take_out();
    if (g.stride < 0) g.stride = INT64_MAX;  // of one element
    *plain = *plain && g.moving <= 1;
    groups.push_back(std::move(g));
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.stride > b.stride; });
  Order order;
  for (const Group& g : groups) order.insert(order.end(), g.out.begin(), g.out.end());
  return order;
}

/// A reshape of a value that is not in order. It copies x once, to the place and layout of the result.
Status Lowering::copy_reshaped(const Node& node, const View& x) {
  const Sizes dims = out_dims(node);
  bool plain = false;
  const Order order = order_for_reshape(x, dims, &plain);
  const int phase = step_phase(x.phase);
  const View out = plain ? destination(node, order, phase) : allocate(dims, x.dtype, order, phase);
  views_[static_cast<size_t>(node.outputs[0])] = out;
  const auto as_x = reshaped(out, x.dims);
  if (!as_x) return Error{ErrorCode::internal, "a reshape found no order", label_of(node)};
  append_map(identity_expr(lane_of(x.dtype)), *as_x, {x}, label_of(node), phase);
  return ok();
}

}  // namespace kiln
