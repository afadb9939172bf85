// conv 1×1 of an image that was enlarged: mixing channels and enlarging are linear, each in dims of its own, so
// channels are mixed first, where there are fewer pixels. Of a concatenation each such part by itself:
//   conv([up(a) b], [Wa Wb]) = up(conv(a, Wa)) + conv(b, Wb).
#include <algorithm>
#include <array>
#include <optional>

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

/// A step of enlarging: taps, or every pixel so many times.
struct Step {
  TapsAttrs taps;
  std::array<int64_t, 2> times{0, 0};
};

/// Channels of what is convolved, and what enlarges them.
struct Part {
  ValueId image = kNoValue;  ///< small
  std::vector<Step> steps;
  int64_t first = 0, channels = 0;
};

Shape with_repeats(const Shape& image, int64_t rows, int64_t columns) {
  return {image[0], image[1], image[2], Dim(rows), image[3], Dim(columns)};
}

/// What makes `x` from a smaller image, its first input, if nobody else reads x: else it is there anyway.
std::optional<Step> step_before(Rewrite& r, ValueId x, ValueId& image) {
  const Node* node = r.single_use(x) ? r.producer(x) : nullptr;
  if (!node || !node->epilogue.empty()) return std::nullopt;
  if (node->op == Op::taps) {
    const TapsAttrs& attrs = *std::get_if<TapsAttrs>(&node->attrs);
    if (attrs.axis < 2) return std::nullopt;
    image = node->inputs[0];
    return Step{attrs, {}};
  }
  // [N,C,H,W] as [N,C,H,1,W,1], expanded to [N,C,H,h,W,w], as [N,C,H·h,W·w].
  if (node->op != Op::reshape) return std::nullopt;
  const Node* expand = r.single_use(node->inputs[0]) ? r.producer(node->inputs[0], Op::expand) : nullptr;
  const Node* split = expand && r.single_use(expand->inputs[0]) ? r.producer(expand->inputs[0], Op::reshape) : nullptr;
  if (!split) return std::nullopt;
  const Shape &from = r.shape(split->inputs[0]), &to = r.shape(expand->outputs[0]), &all = r.shape(x);
  if (from.size() != 4 || to.size() != 6 || all.size() != 4) return std::nullopt;
  const int64_t rows = to[3].value, columns = to[5].value;
  const Shape grown{from[0], from[1], Dim(from[2].value * rows), Dim(from[3].value * columns)};
  if (r.shape(split->outputs[0]) != with_repeats(from, 1, 1) || to != with_repeats(from, rows, columns) || all != grown)
    return std::nullopt;
  image = split->inputs[0];
  return Step{{}, {rows, columns}};
}

Part part_of(Rewrite& r, ValueId x, int64_t first, int64_t outputs) {
  Part part{x, {}, first, r.shape(x)[1].value};
  while (const auto step = step_before(r, part.image, part.image)) part.steps.insert(part.steps.begin(), *step);
  const bool grows = element_count(r.shape(x)) >= kLeastGrowth * element_count(r.shape(part.image));
  if (grows && part.channels >= std::max(outputs, kLeastChannels)) return part;
  return {x, {}, first, part.channels};
}

Result<ValueId> enlarged(Rewrite& r, ValueId x, const Step& step) {
  if (!step.times[0]) return r.b.taps(x, step.taps);
  const Shape from = r.shape(x);
  KILN_ASSIGN(x, r.b.reshape(x, with_repeats(from, 1, 1)));
  KILN_ASSIGN(x, r.b.expand(x, with_repeats(from, step.times[0], step.times[1])));
  return r.b.reshape(x, {from[0], from[1], Dim(from[2].value * step.times[0]), Dim(from[3].value * step.times[1])});
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
  if (std::all_of(parts.begin(), parts.end(), [](const Part& p) { return p.steps.empty(); })) return false;

  std::vector<ValueId> rest, rest_weights;
  ValueId y = kNoValue;
  for (const Part& part : parts) {
    KILN_ASSIGN(const ValueId weights, r.b.slice_axis(w, 1, part.first, part.channels));
    if (part.steps.empty()) {
      rest.push_back(part.image), rest_weights.push_back(weights);
      continue;
    }
    KILN_ASSIGN(ValueId mixed, r.b.conv(part.image, weights, kNoValue, {}));
    for (const Step& step : part.steps) {
      KILN_ASSIGN(mixed, enlarged(r, mixed, step));
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
