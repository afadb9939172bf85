// Inverted residuals. A 1×1 convolution may make an image so large that it leaves the cache before the depthwise
// convolution and the second 1×1 one have read it. Then the three are one step.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// Smaller images stay in a second-level cache.
constexpr int64_t kLeastBytes = 1 << 20;

const ConvAttrs* conv(const Node* node) {
  const auto* attrs = node && node->op == Op::conv ? std::get_if<ConvAttrs>(&node->attrs) : nullptr;
  return attrs && !attrs->transposed ? attrs : nullptr;
}

}  // namespace

void Lowering::find_inverted_residuals() {
  std::vector<const Node*> producers(graph.values.size());
  std::vector<int> uses(graph.values.size());
  for (const Node& node : graph.nodes) {
    for (ValueId id : node.outputs)
      if (id != kNoValue) producers[static_cast<size_t>(id)] = &node;
    for (ValueId id : node.inputs)
      if (id != kNoValue) ++uses[static_cast<size_t>(id)];
  }
  for (ValueId id : graph.outputs) ++uses[static_cast<size_t>(id)];

  const auto shape = [&](ValueId id) { return sizes_of(graph.value(id).shape); };
  const auto pointwise = [&](const Node* node) {
    const ConvAttrs* a = conv(node);
    if (!a || a->groups != 1 || !graph.value(node->inputs[1]).is_weight()) return false;
    const Sizes w = shape(node->inputs[1]);
    const auto all = [](const auto& values, int64_t of) {
      return std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == of; });
    };
    return w[2] * w[3] == 1 && all(a->stride, 1) && all(a->pad_begin, 0) && all(a->pad_end, 0);
  };
  const auto depthwise = [&](const Node* node) {
    const ConvAttrs* a = conv(node);
    if (!a || !graph.value(node->inputs[1]).is_weight()) return false;
    const Sizes w = shape(node->inputs[1]);
    return a->groups == w[0] && w[1] == 1 && a->stride[0] <= (w[2] - 1) * a->dilation[0] + 1;
  };
  const auto knows_channels_only = [&](const Node* node) {
    for (size_t i = core_inputs(*node); i < node->inputs.size(); ++i) {
      const Sizes dims = shape(node->inputs[i]);
      for (size_t d = 0; d < dims.size(); ++d)
        if (dims[d] != 1 && d + 3 != dims.size()) return false;
    }
    return true;
  };
  const auto only_source = [&](const Node* node) -> const Node* {
    const ValueId id = node->inputs[0];
    return uses[static_cast<size_t>(id)] == 1 ? producers[static_cast<size_t>(id)] : nullptr;
  };
  for (const Node& project : graph.nodes) {
    if (!pointwise(&project)) continue;
    const Node* middle = only_source(&project);
    if (!depthwise(middle) || !knows_channels_only(middle)) continue;
    const Node* expand = only_source(middle);
    if (!pointwise(expand) || !knows_channels_only(expand)) continue;
    const Sizes wide = shape(expand->outputs[0]), out = shape(project.outputs[0]);
    if (product(wide) * size_of(DType::f32) < kLeastBytes || product(out) == 0) continue;
    if (graph.value(expand->outputs[0]).dtype != DType::f32 || graph.value(middle->outputs[0]).dtype != DType::f32)
      continue;
    inverted_residuals_[&project] = {expand, middle};
    inside_.insert({expand, middle});
  }
}

Status Lowering::lower_inverted_residual(const Node& project) {
  const auto& [expand, middle] = inverted_residuals_[&project];
  ConvAttrs a = *conv(middle);
  const Sizes wide = out_dims(*expand), filtered = out_dims(*middle), dims = out_dims(project);
  View x = input(*expand, 0);
  const bool transposed = x.strides[2] < (x.dims[3] - 1) * x.strides[3] && x.dims[2] > 1;
  if (!is_contiguous_in(x, 1) || transposed) x = copied(x, channels_last());
  const std::string label = label_of(project);

  InvertedResidualSpec s;
  s.expand.batch = s.project.batch = {dims[0], 1};
  s.expand.oh = wide[2], s.expand.ow = wide[3], s.expand.k = x.dims[1], s.expand.n = wide[1];
  s.expand.a_batch = {x.strides[0], 0}, s.expand.a_row = x.strides[2], s.expand.a_col = x.strides[3];
  s.expand.a_tap_col = s.expand.k;
  const Fusion expanded_by = conv_fusion(*expand), filtered_by = conv_fusion(*middle),
               projected_by = conv_fusion(project);
  s.expand.epilogue = conv_epilogue(expanded_by);

  const View& w = view(middle->inputs[1]);
  a.stride = taken(a.stride, filtered[2], filtered[3]);
  a.dilation = taken(a.dilation, w.dims[2], w.dims[3]);
  const int64_t right =
      (filtered[3] - 1) * a.stride[1] + (w.dims[3] - 1) * a.dilation[1] + 1 - a.pad_begin[1] - wide[3];
  s.pad_top = a.pad_begin[0], s.pad_left = a.pad_begin[1];
  s.row = (s.pad_left + wide[3] + std::max<int64_t>(right, 0)) * wide[1];
  DepthwiseSpec& d = s.depthwise;
  d.batch = dims[0], d.oh = filtered[2], d.ow = filtered[3], d.c = wide[1], d.kh = w.dims[2], d.kw = w.dims[3];
  d.in_row = a.stride[0] * s.row, d.in_col = a.stride[1] * d.c;
  d.in_tap_row = a.dilation[0] * s.row, d.in_tap_col = a.dilation[1] * d.c;
  d.epilogue = depthwise_epilogue(filtered_by);

  const View c = destination(project, channels_last(), kRunPhase, 1);
  s.project.oh = dims[2], s.project.ow = dims[3], s.project.k = d.c, s.project.n = dims[1];
  s.project.c_batch = {c.strides[0], 0}, s.project.c_row = c.strides[2], s.project.c_col = c.strides[3];
  s.project.a_tap_col = d.c;
  s.project.epilogue = conv_epilogue(projected_by);

  const size_t before = pending_.size();
  const auto weights = [&](const Node& node, const ContractionSpec& product) {
    const View& of = view(node.inputs[1]);
    PackSpec p;
    p.k = product.k, p.n = product.n, p.src_k = of.strides[1], p.src_n = of.strides[0];
    return packed(p, of, packed_size(p.k, p.n), s, label);
  };
  std::vector<View> operands{c, x, weights(*expand, s.expand), depthwise_taps(w), weights(project, s.project)};
  for (const Fusion* f : {&expanded_by, &filtered_by, &projected_by})
    operands.insert(operands.end(), f->operands.begin(), f->operands.end());
  const int at = append(s, operands, label);
  own_packs(before, at);
  return ok();
}

}  // namespace kiln
