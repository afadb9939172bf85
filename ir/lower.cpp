#include <algorithm>

#include "ir/infer.h"
#include "ir/lower/lowering.h"
#include "support/checked.h"

namespace kiln {

namespace {

constexpr size_t kMaxMapDims = 6;
/// Of a model: far more than what memory is for, far less than what 64 bits count.
constexpr int64_t kMostBytes = int64_t{1} << 50;

}  // namespace

Result<Plan> lower(const Graph& graph, Precision precision) { return Lowering(graph, precision).run(); }

std::string Lowering::label_of(const Node& node) {
  std::string label = name_of(node.op);
  if (!node.source.empty()) label += " " + node.source;
  if (!node.where.empty()) label += " (" + node.where + ")";
  return label;
}

Error Lowering::unsupported(const Node& node, const std::string& what) const {
  std::string shapes;
  for (ValueId id : node.inputs)
    if (id != kNoValue) shapes += (shapes.empty() ? "" : ", ") + to_string(graph.value(id).shape);
  return Error{ErrorCode::unsupported_operator, what + " (operands " + shapes + ")", label_of(node)};
}

Result<Plan> Lowering::run() {
  views_.resize(graph.values.size());
  storage_.resize(graph.values.size());
  // Segments arrive in file order. This order is the clock of the load.
  std::vector<int> order(graph.segments.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    return graph.segments[static_cast<size_t>(a)].offset < graph.segments[static_cast<size_t>(b)].offset;
  });
  segment_time_.resize(order.size());
  for (size_t t = 0; t < order.size(); ++t) segment_time_[static_cast<size_t>(order[t])] = static_cast<int>(t);
  const auto reads = [&](ValueId id) {
    if (id != kNoValue && graph.value(id).is_weight())
      first_phase_ = std::min(first_phase_, segment_phase(graph.value(id).segment));
  };
  for (const Node& node : graph.nodes) std::for_each(node.inputs.begin(), node.inputs.end(), reads);
  if (first_phase_ == kRunPhase) first_phase_ = 0;

  find_late_joins();
  find_inverted_residuals();
  find_what_ends_in_outputs();
  plan_placements();
  for (ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    const Sizes dims = sizes_of(v.shape);
    View& at = views_[static_cast<size_t>(id)];
    at = allocate(dims, v.dtype, row_major(static_cast<int>(dims.size())), kRunPhase);
    plan.inputs.push_back({v.name, v.dtype, dims, {at.buffer, 0}});
  }
  const std::set<ValueId> outputs(graph.outputs.begin(), graph.outputs.end());
  for (const Node& node : graph.nodes) {
    regions_.pass(node);
    KILN_TRY(lower_node(node));
    for (ValueId id : node.outputs)
      if (outputs.count(id)) copy_small_part(id);
    if (too_large_) return unsupported(node, "what is stored with the padding would be too large");
    if (over_budget())
      return unsupported(node, constant_bytes_ > kMaxConstantBytes
                                   ? "the model needs more than 64 MB of constants that the compiler makes"
                                   : "the model stands for more steps than are planned");
  }
  finish_outputs();
  if (precision != Precision::exact) round_weights();
  number_phases();
  KILN_TRY(limit_load());
  assign_spaces();
  set_lifetimes();
  plan.weights_bytes = plan_arena(plan.buffers, Space::weights);
  plan.arena_bytes = plan_arena(plan.buffers, Space::arena, &plan.arena_lower_bound);
  plan.staging_bytes = plan_arena(plan.buffers, Space::staging);
  if (plus(plus(plan.weights_bytes, plan.arena_bytes), plan.staging_bytes) >= kMostBytes)
    return Error{ErrorCode::out_of_memory, "the model needs more memory than any machine has", ""};
  set_barriers();
  return std::move(plan);
}

Status Lowering::lower_node(const Node& node) {
  switch (node.op) {
    case Op::conv:
      if (inside_.count(&node)) return ok();
      return inverted_residuals_.count(&node) ? lower_inverted_residual(node) : lower_conv(node);
    case Op::matmul:
      return lower_matmul(node);
    case Op::attention:
      return lower_attention(node);
    case Op::map:
      return lower_map(node);
    case Op::reduce:
      return lower_reduce(node);
    case Op::softmax:
    case Op::layer_norm:
      return lower_norm(node);
    case Op::pool:
      return lower_pool(node);
    case Op::gather:
      return lower_gather(node);
    case Op::scatter:
      return lower_scatter(node);
    case Op::scan:
      return lower_scan(node);
    case Op::sort:
      return lower_sort(node);
    case Op::taps:
      return lower_taps(node);
    case Op::concat:
      return late_joins_.count(node.outputs[0]) ? ok() : lower_concat(node);
    case Op::pad:
      return lower_pad(node);
    case Op::branch:
      return lower_branch(node), ok();
    case Op::join:
      return lower_join(node), ok();
    case Op::loop:
      return lower_loop(node), ok();
    case Op::end_loop:
      return lower_end_loop(node), ok();
    case Op::source:
      return unsupported(node, "operator was not legalized");
    default:
      return lower_view(node);
  }
}

// -- values
// ------------------------------------------------------------------------------------------------------------------

View Lowering::source_view(ValueId id) {
  const Value& v = graph.value(id);
  const Sizes dims = sizes_of(v.shape);
  if (v.is_constant()) return constant(dims, v.dtype, v.data);
  if (is_empty(v.shape)) return allocate(dims, v.dtype, row_major(static_cast<int>(dims.size())), kRunPhase);
  View view;
  view.dtype = v.dtype;
  view.dims = dims;
  view.strides = compact_strides(dims, row_major(static_cast<int>(dims.size())));
  view.phase = segment_phase(v.segment);
  const auto found = segment_buffer_.find(v.segment);
  view.buffer = found != segment_buffer_.end()
                    ? found->second
                    : new_buffer(graph.segments[static_cast<size_t>(v.segment)].size, view.phase);
  segment_buffer_[v.segment] = view.buffer;
  buffer_segment_[static_cast<size_t>(view.buffer)] = v.segment;
  return view;
}

const View& Lowering::view(ValueId id) {
  View& v = views_[static_cast<size_t>(id)];
  if (v.buffer < 0) v = source_view(id);
  return v;
}

View Lowering::constant(const Sizes& dims, DType dtype, std::vector<uint8_t> bytes) {
  View v = allocate(dims, dtype, row_major(static_cast<int>(dims.size())), -1);
  constant_bytes_ += static_cast<int64_t>(bytes.size());
  plan.constants.push_back({{v.buffer, 0}, std::move(bytes)});
  return v;
}

Fusion Lowering::fusion(const Node& node) {
  Fusion f;
  f.expr = node.epilogue;
  if (node.epilogue.empty()) return f;
  for (size_t i = core_inputs(node); i < node.inputs.size(); ++i)
    f.operands.push_back(expanded(view(node.inputs[i]), out_dims(node)));
  return f;
}

/// A node runs at load if everything that it reads is there by then. Contractions always run in the inference, because
/// their schedules are tuned.
int Lowering::phase_of(const Node& node) {
  int phase = -1;
  for (ValueId id : node.inputs)
    if (id != kNoValue) phase = std::max(phase, view(id).phase);
  return step_phase(phase);
}

void Fusion::then(const Expr& next, const std::vector<View>& extra) {
  if (expr.empty()) {
    expr = next;
    operands = extra;
    return;
  }
  std::vector<int> outer{0}, inner{0};
  for (size_t i = 0; i < operands.size(); ++i) inner.push_back(static_cast<int>(i) + 1);
  for (size_t i = 0; i < extra.size(); ++i) outer.push_back(static_cast<int>(operands.size() + i) + 1);
  expr = compose(next, 0, expr, outer, inner);
  operands.insert(operands.end(), extra.begin(), extra.end());
}

Epilogue make_epilogue(const Fusion& fusion, FunctionRef<Sizes(const View&)> pick) {
  Epilogue e;
  e.expr = fusion.expr;
  for (const View& v : fusion.operands) e.operands.push_back({v.dtype, pick(v)});
  return e;
}

// -- memory
// ------------------------------------------------------------------------------------------------------------------

int Lowering::new_buffer(int64_t bytes, int phase) {
  Buffer b;
  b.bytes = std::max<int64_t>(bytes, 1);
  plan.buffers.push_back(b);
  buffer_phase_.push_back(phase);
  buffer_segment_.push_back(-1);
  return static_cast<int>(plan.buffers.size()) - 1;
}

View Lowering::allocate(const Sizes& dims, DType dtype, const Order& order, int phase) {
  View v;
  v.dtype = dtype;
  v.dims = dims;
  v.strides = compact_strides(dims, order);
  v.phase = phase;
  const int64_t bytes = times(product(dims), size_of(dtype));
  if (bytes > kMostBytes) too_large_ = true, v.strides.assign(dims.size(), 0);
  v.buffer = new_buffer(std::min(bytes, kMostBytes), phase);
  return v;
}

View Lowering::with_halo(const Sizes& dims, const Halo& halo, int phase) {
  View whole = allocate({dims[0], dims[1], dims[2] + halo.top + halo.bottom, dims[3] + halo.left + halo.right},
                        DType::f32, channels_last(), phase);
  if (too_large_) {
    whole.dims = dims;
    return whole;
  }
  Expr zero;
  zero.constant(0);
  fill_border(whole, {0, 0, halo.top, halo.left}, dims, zero, phase);
  View inside = whole;
  inside.offset = halo.top * whole.strides[2] + halo.left * whole.strides[3];
  inside.dims = dims;
  inside.halo = halo;
  return inside;
}

void Lowering::fill_border(const View& whole, const Sizes& begin, const Sizes& inner, const Expr& value, int phase) {
  const Sizes ones(whole.dims.size(), 1);
  Sizes start(whole.dims.size(), 0), size = whole.dims;
  for (size_t d = 0; d < whole.dims.size(); ++d) {  // before and after along d, inside along the dims done already
    const int64_t after = whole.dims[d] - begin[d] - inner[d];
    const auto strip = [&](int64_t at, int64_t count) {
      if (count <= 0) return;
      start[d] = at;
      size[d] = count;
      append_map(value, sliced(whole, start, ones, size), {}, "fill border", phase);
    };
    strip(0, begin[d]);
    strip(begin[d] + inner[d], after);
    start[d] = begin[d];
    size[d] = inner[d];
  }
}

View Lowering::copied(const View& from, const Order& order, const Halo& halo) {
  std::string key = std::to_string(from.buffer) + "@" + std::to_string(from.offset) + ":";
  for (size_t i = 0; i < from.dims.size(); ++i)
    key += std::to_string(from.dims[i]) + "*" + std::to_string(from.strides[i]) + "o" + std::to_string(order[i]) + ",";
  if (!halo.empty())
    key += "h" + std::to_string(halo.top) + "," + std::to_string(halo.left) + "," + std::to_string(halo.bottom) + "," +
           std::to_string(halo.right);
  const auto found = copies_.find(key);
  if (found != copies_.end() && still_there(found->second)) return found->second.view;
  const int phase = step_phase(from.phase);
  const View to = halo.empty() ? allocate(from.dims, from.dtype, order, phase) : with_halo(from.dims, halo, phase);
  append_map(identity_expr(lane_of(from.dtype)), to, {from}, "copy", phase);
  copies_[key] = {to, regions_.now()};
  return to;
}

// -- steps
// -------------------------------------------------------------------------------------------------------------------

int Lowering::append(KernelSpec spec, const std::vector<View>& operands, const std::string& label, int phase) {
  if (product(operands[0].dims) == 0) return -1;  // nothing to write
  Pending p;
  p.step.spec = std::move(spec);
  p.step.label = label;
  p.phase = phase;
  for (const View& v : operands) p.step.operands.push_back({v.buffer, v.offset * size_of(v.dtype)});
  if (phase == kRunPhase) p.step.when = when_;
  pending_.push_back(std::move(p));
  return static_cast<int>(pending_.size()) - 1;
}

void Lowering::append_map(const Expr& expr, const View& out, const std::vector<View>& inputs, const std::string& label,
                          int phase) {
  const DType type = out.dtype;
  if (moved_as(type) != type && expr == identity_expr(lane_of(type)) && inputs[0].dtype == type)  // as they are
    return append_map(identity_expr(Lane::i32), moved(out), {moved(inputs[0])}, label, phase);
  Box box;
  box.strides.resize(inputs.size() + 1);
  for (size_t d = 0; d < out.dims.size(); ++d) {
    Sizes strides{out.strides[d]};
    for (const View& in : inputs) strides.push_back(in.strides[d]);
    box.add_loop(out.dims[d], strides);
  }
  box.sort();
  box.merge();
  if (box.dims.size() > kMaxMapDims) {  // one map for each index of a dim
    const auto shorter = [&](size_t a, size_t b) { return out.dims[a] < out.dims[b]; };
    std::vector<size_t> dims;
    for (size_t d = 0; d < out.dims.size(); ++d)
      if (out.dims[d] > 1) dims.push_back(d);
    const size_t d = *std::min_element(dims.begin(), dims.end(), shorter);
    const auto at = [&](View v, int64_t i) {
      v.offset += i * v.strides[d];
      v.dims[d] = 1;
      return v;
    };
    for (int64_t i = 0; i < out.dims[d] && !over_budget(); ++i) {
      std::vector<View> parts;
      for (const View& in : inputs) parts.push_back(at(in, i));
      append_map(expr, at(out, i), parts, label, phase);
    }
    return;
  }
  MapSpec spec;
  spec.expr = expr;
  spec.dims = box.dims;
  spec.out = {out.dtype, box.strides[0]};
  for (size_t i = 0; i < inputs.size(); ++i) spec.inputs.push_back({inputs[i].dtype, box.strides[i + 1]});
  std::vector<View> operands{out};
  operands.insert(operands.end(), inputs.begin(), inputs.end());
  append(std::move(spec), operands, label, phase);
}

View Lowering::packed(const PackSpec& spec, const View& source, int64_t elements, const KernelSpec& consumer,
                      const std::string& label) {
  const std::string key = std::to_string(source.buffer) + "@" + std::to_string(source.offset) + " " +
                          to_string(KernelSpec(spec)) + " for " + to_string(consumer);
  const auto found = packs_.find(key);
  if (found != packs_.end() && still_there(found->second)) return found->second.view;
  const int phase = step_phase(source.phase);
  const View to = allocate({elements}, DType::f32, {0}, phase);
  const int at = append(spec, {to, source}, "pack for " + label, phase);
  pending_[static_cast<size_t>(at)].pack_of = at + 1;  // the consumer is appended next
  packs_[key] = {to, regions_.now()};
  return to;
}

void Lowering::own_packs(size_t first, int consumer) {
  for (size_t i = first; i < static_cast<size_t>(consumer); ++i)
    if (pending_[i].pack_of >= 0) pending_[i].pack_of = consumer;
}

// -- after the last node
// -----------------------------------------------------------------------------------------------------

/// An output that is a small part of a buffer is copied at once, as the buffer would stay until the end.
void Lowering::copy_small_part(ValueId id) {
  const View& v = views_[static_cast<size_t>(id)];
  if (v.buffer < 0 || v.phase != kRunPhase || is_row_major(v)) return;
  if (times(product(v.dims), 2 * size_of(v.dtype)) <= plan.buffers[static_cast<size_t>(v.buffer)].bytes)
    small_parts_[id] = output_copy(id, v);
}

View Lowering::output_copy(ValueId id, const View& v) {
  const View to = allocate(v.dims, v.dtype, row_major(v.rank()), kRunPhase);
  append_map(identity_expr(lane_of(v.dtype)), to, {v}, "output " + graph.value(id).name, kRunPhase);
  return to;
}

void Lowering::finish_outputs() {
  std::vector<bool> taken(plan.buffers.size());  // by an input, or by another output
  for (const Port& p : plan.inputs) taken[static_cast<size_t>(p.at.buffer)] = true;
  for (ValueId id : graph.outputs) {
    const Value& value = graph.value(id);
    const auto small = small_parts_.find(id);
    View v = small != small_parts_.end() ? small->second : view(id);
    taken.resize(plan.buffers.size());
    if (v.phase != kRunPhase || taken[static_cast<size_t>(v.buffer)] || !is_row_major(v))
      v = output_copy(id, v);
    else
      taken[static_cast<size_t>(v.buffer)] = true;
    const bool result = plan.outputs.size() + graph.counts < graph.outputs.size();
    (result ? plan.outputs : plan.counts)
        .push_back({value.name, value.dtype, v.dims, {v.buffer, v.offset * size_of(v.dtype)}});
  }
  for (const Bounded& b : graph.bounded) {
    plan.outputs[b.output].axis = b.axis;
    plan.outputs[b.output].count = b.count - plan.outputs.size();
  }
}

/// Splits the steps into those of the inference and those of each load phase. A phase without steps gets no number.
void Lowering::number_phases() {
  std::vector<int> run_index(pending_.size(), -1);
  std::map<int, int> dense;
  for (const Pending& p : pending_)
    if (p.phase != kRunPhase) dense[p.phase] = 0;
  for (auto& [time, number] : dense) number = static_cast<int>(plan.init.size()), plan.init.emplace_back();
  for (size_t i = 0; i < pending_.size(); ++i) {
    Pending& p = pending_[i];
    if (p.phase != kRunPhase) continue;
    run_index[i] = static_cast<int>(plan.steps.size());
    plan.steps.push_back(std::move(p.step));
  }
  number_loops(run_index);
  for (size_t i = 0; i < pending_.size(); ++i) {
    Pending& p = pending_[i];
    const int consumer = p.pack_of < 0 ? -1 : run_index[static_cast<size_t>(p.pack_of)];
    if (p.phase == kRunPhase) {
      plan.steps[static_cast<size_t>(run_index[i])].schedule_of = consumer;
    } else {
      p.step.schedule_of = consumer;
      plan.init[static_cast<size_t>(dense[p.phase])].push_back(std::move(p.step));
    }
  }
  for (size_t s = 0; s < graph.segments.size(); ++s) {
    const auto found = segment_buffer_.find(static_cast<int>(s));
    if (found == segment_buffer_.end()) continue;  // nothing reads it
    const Segment& segment = graph.segments[s];
    const auto phase = dense.find(segment_phase(static_cast<int>(s)));
    plan.transfers.push_back({static_cast<int>(s),
                              segment.offset,
                              std::min(segment.size, plan.buffers[static_cast<size_t>(found->second)].bytes),
                              {found->second, 0},
                              phase == dense.end() ? -1 : phase->second});
  }
  for (Part& p : parts_) {
    plan.transfers.push_back({p.segment, graph.segments[static_cast<size_t>(p.segment)].offset + p.begin, p.bytes,
                              p.step.operands[1], static_cast<int>(plan.init.size())});
    plan.init.push_back({std::move(p.step)});
  }
  std::sort(plan.transfers.begin(), plan.transfers.end(),
            [](const Transfer& a, const Transfer& b) { return a.file_offset < b.file_offset; });
}

/// Loops over the steps of the inference. What a loop computes of weights alone is done when they are loaded.
void Lowering::number_loops(const std::vector<int>& run_index) {
  std::vector<int> before{0};  // steps of the inference before each pending one
  for (const int at : run_index) before.push_back(before.back() + (at >= 0));
  for (Loop& loop : loops_) {
    loop.begin = before[static_cast<size_t>(loop.begin)];
    loop.end = before[static_cast<size_t>(loop.end)];
    if (loop.begin < loop.end) plan.loops.push_back(std::move(loop));
  }
}

/// What depends on weights and constants alone may be expanded to any size, too.
Status Lowering::limit_load() const {
  double work = 0;
  for (const auto& phase : plan.init)
    for (const PlanStep& step : phase) {
      work += std::max(flops_of(step.spec), bytes_of(step.spec) / size_of(DType::f32));
      if (work > load_limit(graph.weights_bytes))
        return Error{ErrorCode::unsupported_operator, "the model computes too much of constants when it is loaded",
                     step.label};
    }
  return ok();
}

}  // namespace kiln
