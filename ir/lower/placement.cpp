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
  for (size_t n = graph.nodes.size(); n-- > 0;)
    if (graph.nodes[n].op == Op::concat && !late_joins_.count(graph.nodes[n].outputs[0]))
      place_parts(graph.nodes[n], producers);
  while (spread_halos()) {
  }
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
void Lowering::place_parts(const Node& concat, const std::vector<const Node*>& producers) {
  const auto axis = std::get_if<AxisAttrs>(&concat.attrs)->axis;
  const auto placement = [&](ValueId id) -> Placement& { return placements_[static_cast<size_t>(id)]; };
  int64_t start = 0;
  for (ValueId id : concat.inputs) {
    const int64_t at = start;
    start += graph.value(id).shape[static_cast<size_t>(axis)].value;
    // A reshape of a broadcast copies, and so can write anywhere; other reshapes and permutations are views.
    const auto passes = [&](const Node* node) {
      if (!node || (node->op != Op::reshape && node->op != Op::permute)) return false;
      const Node* before = producers[static_cast<size_t>(node->inputs[0])];
      return !(node->op == Op::reshape && before && before->op == Op::expand);
    };
    std::vector<const Node*> views;
    ValueId computed = id;
    for (const Node* node = producers[static_cast<size_t>(id)]; passes(node) && placement(computed).free();
         node = producers[static_cast<size_t>(computed)]) {
      views.push_back(node);
      computed = node->inputs[0];
    }
    const Node* producer = producers[static_cast<size_t>(computed)];
    const bool once = std::count(concat.inputs.begin(), concat.inputs.end(), id) == 1;
    if (!producer || !once || !placement(computed).free()) continue;
    if (is_view(producer->op) && producer->op != Op::reshape) continue;
    for (const Node* view : views) placement(view->inputs[0]).through = view;
    Placement& p = placement(id);
    p.concat = concat.outputs[0];
    p.axis = axis;
    p.start = at;
  }
}

/// Zeros wanted around a part of a value are wanted around the whole. True if anything grew.
bool Lowering::spread_halos() {
  bool grew = false;
  const auto grow = [&](ValueId id, const Halo& by) {
    Halo& halo = placements_[static_cast<size_t>(id)].halo;
    grew = grew || !halo.covers(by);
    halo = larger(halo, by);
  };
  const auto is_image = [&](ValueId id) {
    return graph.value(id).shape.size() == 4 && graph.value(id).dtype == DType::f32;
  };
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    const ValueId out = node.outputs[0];
    if (node.op == Op::slice && is_image(out)) {
      const Shape &from = graph.value(node.inputs[0]).shape, &to = graph.value(out).shape;
      if (from[2] == to[2] && from[3] == to[3]) grow(node.inputs[0], placements_[static_cast<size_t>(out)].halo);
    } else if (node.op == Op::concat && is_image(out) && std::get_if<AxisAttrs>(&node.attrs)->axis == 1) {
      for (ValueId id : node.inputs) {
        const Placement& p = placements_[static_cast<size_t>(id)];
        if (p.concat == out) grow(out, p.halo);
      }
    }
  }
  return grew;
}

/// The memory that a value was promised, if any; `order` is how its producer would like it to lie.
std::optional<View> Lowering::place_of(ValueId id, const Order& order) {
  const Placement& p = placements_[static_cast<size_t>(id)];
  const Sizes dims = sizes_of(graph.value(id).shape);
  if (p.concat != kNoValue) {
    const View& whole = storage_of(p.concat, order);
    Sizes start(dims.size(), 0);
    start[static_cast<size_t>(p.axis)] = p.start;
    return sliced(whole, start, Sizes(dims.size(), 1), dims);
  }
  if (p.lifted) return storage_of(id, order);
  if (!p.through) return std::nullopt;
  const ValueId seen = p.through->outputs[0];
  const Sizes seen_dims = sizes_of(graph.value(seen).shape);
  View compact;
  compact.dims = dims;
  compact.strides = compact_strides(dims, order);
  const auto* permute = std::get_if<PermuteAttrs>(&p.through->attrs);
  const auto as_seen = permute ? permuted(compact, permute->axes) : reshaped(compact, seen_dims);
  if (!as_seen) return std::nullopt;
  const auto place = place_of(seen, order_of(*as_seen));
  if (!place) return std::nullopt;
  return permute ? permuted(*place, inverse(permute->axes)) : reshaped(*place, dims);
}

/// The memory of a value that others write parts or views of, made when the first of them is.
const View& Lowering::storage_of(ValueId id, const Order& order) {
  View& whole = storage_[static_cast<size_t>(id)];
  if (whole.buffer >= 0) return whole;
  const Value& value = graph.value(id);
  const Placement& p = placements_[static_cast<size_t>(id)];
  const auto place = p.lifted ? std::nullopt : place_of(id, order);
  if (place && place->halo.covers(p.halo)) return whole = *place;
  const Sizes dims = sizes_of(value.shape);
  if (!p.halo.empty() && dims.size() == 4 && value.dtype == DType::f32)
    return whole = with_halo(dims, p.halo, kRunPhase);
  return whole = allocate(dims, value.dtype, order, kRunPhase);
}

View Lowering::destination(const Node& node, const Order& order, int phase, int run) {
  const ValueId id = node.outputs[0];
  const Placement& p = placements_[static_cast<size_t>(id)];
  const Sizes dims = out_dims(node);
  View& at = views_[static_cast<size_t>(id)];
  if (phase == kRunPhase) {
    const auto place = place_of(id, order);
    if (place && place->halo.covers(p.halo) && runs_along(*place, order, run)) return at = *place;
    View inner;  // what with_halo makes has neighbouring channels and nothing else
    inner.dims = dims;
    inner.strides = {0, 1, 0, 0};
    if (!p.halo.empty() && dims.size() == 4 && out_dtype(node) == DType::f32 && runs_along(inner, order, run))
      return at = with_halo(dims, p.halo, phase);
  }
  return at = allocate(dims, out_dtype(node), order, phase);
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
