// conv 1×1 of an image that was enlarged: mixing channels and enlarging are linear, each in dims of its own, so
// channels are mixed first, where there are fewer pixels. Of a concatenation each such part by itself:
//   conv([up(a) b], [Wa Wb]) = up(conv(a, Wa)) + conv(b, Wb).
#include <algorithm>

#include "ir/passes/canonical.h"

namespace kiln {
namespace {

/// Fewer input channels would not pay for the sum that the split makes.
constexpr int64_t kLeastChannels = 64;
/// Pixels of the enlarged image over those of the small one.
constexpr int64_t kLeastGrowth = 2;

bool mixes_channels(const Rewrite& r, const Node& node) {
  const ConvAttrs& a = *std::get_if<ConvAttrs>(&node.attrs);
  const Shape& w = r.shape(node.inputs[1]);
  const std::array<int64_t, 2> none{0, 0}, one{1, 1};
  return w[2] == Dim(1) && w[3] == Dim(1) && a.stride == one && a.pad_begin == none && a.pad_end == none &&
         a.groups == 1 && !a.transposed;
}

/// Channels of what is convolved, and what makes them if they are enlarged.
struct Part {
  ValueId image = kNoValue;     ///< small
  std::vector<TapsAttrs> taps;  ///< innermost first
  int64_t first = 0, channels = 0;
};

/// What nobody else reads: else it is there anyway.
Part part_of(Rewrite& r, ValueId x, int64_t first, int64_t outputs) {
  Part part{x, {}, first, r.shape(x)[1].value};
  while (const Node* taps = r.single_use(part.image) ? r.producer(part.image, Op::taps) : nullptr) {
    const TapsAttrs& attrs = *std::get_if<TapsAttrs>(&taps->attrs);
    if (attrs.axis < 2 || !taps->epilogue.empty()) break;
    part.taps.insert(part.taps.begin(), attrs);
    part.image = taps->inputs[0];
  }
  const bool grows = element_count(r.shape(x)) >= kLeastGrowth * element_count(r.shape(part.image));
  if (grows && part.channels >= std::max(outputs, kLeastChannels)) return part;
  return {x, {}, first, part.channels};
}

Result<ValueId> sum(Rewrite& r, ValueId a, ValueId b) {
  if (a == kNoValue) return b;
  Fx f;
  return r.b.map(f.finish(f.in(0) + f.in(1)), {a, b}, DType::f32);
}

Result<ValueId> joined(Rewrite& r, const std::vector<ValueId>& parts) {
  return parts.size() == 1 ? Result<ValueId>(parts[0]) : r.b.concat(parts, 1);
}

}  // namespace

Result<bool> mix_before_enlarging(Rewrite& r, const Node& node) {
  if (node.op != Op::conv || !node.epilogue.empty() || !mixes_channels(r, node)) return false;
  if (r.graph.value(node.outputs[0]).dtype != DType::f32) return false;
  const ValueId x = node.inputs[0], w = node.inputs[1], bias = node.inputs[2];
  const Node* joins = r.single_use(x) ? r.producer(x, Op::concat) : nullptr;
  if (joins && std::get_if<AxisAttrs>(&joins->attrs)->axis != 1) joins = nullptr;
  const std::vector<ValueId> images = joins ? joins->inputs : std::vector<ValueId>{x};
  const int64_t outputs = r.shape(w)[0].value;
  std::vector<Part> parts;
  int64_t first = 0;
  for (const ValueId image : images) {
    parts.push_back(part_of(r, image, first, outputs));
    first += parts.back().channels;
  }
  if (std::all_of(parts.begin(), parts.end(), [](const Part& p) { return p.taps.empty(); })) return false;

  std::vector<ValueId> rest, rest_weights;
  ValueId y = kNoValue;
  for (const Part& part : parts) {
    KILN_ASSIGN(const ValueId weights, r.b.slice_axis(w, 1, part.first, part.channels));
    if (part.taps.empty()) {
      rest.push_back(part.image), rest_weights.push_back(weights);
      continue;
    }
    KILN_ASSIGN(ValueId mixed, r.b.conv(part.image, weights, kNoValue, {}));
    for (const TapsAttrs& taps : part.taps) {
      KILN_ASSIGN(mixed, r.b.taps(mixed, taps));
    }
    KILN_ASSIGN(y, sum(r, y, mixed));
  }
  if (!rest.empty()) {
    KILN_ASSIGN(const ValueId image, joined(r, rest));
    KILN_ASSIGN(const ValueId weights, joined(r, rest_weights));
    KILN_ASSIGN(const ValueId mixed, r.b.conv(image, weights, bias, {}));
    KILN_ASSIGN(y, sum(r, y, mixed));
  } else if (bias != kNoValue) {
    KILN_ASSIGN(const ValueId by_channel, r.b.reshape(bias, {Dim(outputs), Dim(1), Dim(1)}));
    KILN_ASSIGN(y, sum(r, y, by_channel));
  }
  r.replace(node.outputs[0], y);
  return true;
}

}  // namespace kiln
