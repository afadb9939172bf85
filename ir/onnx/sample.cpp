// ONNX: sampling at positions, and sums of what overlaps.
#include <algorithm>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// The number that PyTorch has for a word; ONNX's words changed with the opsets.
Result<int64_t> number_of(const Node& node, const std::string& word, std::initializer_list<const char*> words) {
  int64_t number = 0;
  for (const char* known : words) {
    if (word == known) return number / 2;
    ++number;
  }
  return misfit(node.source + ": there is no mode '" + word + "'");
}

Status grid_sample(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const int64_t mode, number_of(node, l.text(node, "mode", "linear"),
                                            {"linear", "bilinear", "nearest", "nearest", "cubic", "bicubic"}));
  KILN_ASSIGN(const int64_t padding, number_of(node, l.text(node, "padding_mode", "zeros"),
                                               {"zeros", "zeros", "border", "border", "reflection", "reflection"}));
  return as(l, node, "aten.grid_sampler.default",
            {{"interpolation_mode", mode},
             {"padding_mode", padding},
             {"align_corners", l.flag(node, "align_corners", false)}});
}

Status affine_grid(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const ValueId theta, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> size, l.whole_elements(node, 1, "the size"));
  KILN_ASSIGN(const ValueId y, l.call("aten.affine_grid_generator.default", {theta},
                                      {{"size", size}, {"align_corners", l.flag(node, "align_corners", false)}}));
  return l.set(node, y);
}

/// x [N, C · taps, positions] → images of [N, C, H, W]: blocks put where they were taken, and summed where they
/// overlap. It is a transposed convolution in which each tap has a channel of its own.
Status col2im(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const std::vector<int64_t> image, l.whole_elements(node, 1, "the size of the image"));
  KILN_ASSIGN(const std::vector<int64_t> block, l.whole_elements(node, 2, "the size of a block"));
  const size_t dims = image.size();
  if (dims != 2 || block.size() != 2) return l.unsupported(node, "images of 2 spatial dims are supported");
  const auto or_else = [&](const char* name, size_t count, int64_t value) {
    std::vector<int64_t> list = l.integers(node, name);
    if (list.empty()) list.assign(count, value);
    return list;
  };
  const std::vector<int64_t> dilation = or_else("dilations", 2, 1), stride = or_else("strides", 2, 1),
                             pads = or_else("pads", 4, 0);
  const Shape s = l.b.shape(x);
  if (dilation.size() != 2 || stride.size() != 2 || pads.size() != 4 || s.size() != 3)
    return misfit(node.source + ": the attributes do not fit");
  std::vector<int64_t> places, rest;  // of blocks on each axis, and what none of them reaches
  for (size_t i = 0; i < 2; ++i) {
    for (const int64_t v : {image[i], block[i], dilation[i], stride[i], pads[i] + 1, pads[i + 2] + 1})
      if (v < 1 || v > kMaxWritten) return misfit(node.source + ": sizes from 1 to 65536 are expected");
    const int64_t room = image[i] + pads[i] + pads[i + 2] - dilation[i] * (block[i] - 1) - 1;
    if (room < 0) return misfit(node.source + ": the block is larger than the image");
    places.push_back(room / stride[i] + 1);
    rest.push_back(room % stride[i]);
  }
  const int64_t taps = block[0] * block[1];
  if (s[1].value % taps || s[2].value != places[0] * places[1])
    return misfit(node.source + ": " + to_string(s) + " are no blocks of that image");
  const int64_t channels = s[1].value / taps;
  if (channels * taps * taps > kMaxWritten) return l.unsupported(node, "channels of so many taps");
  std::vector<double> one_each(static_cast<size_t>(channels * taps * taps));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t) one_each[static_cast<size_t>((c * taps + t) * taps + t)] = 1;
  const ValueId w = l.b.constant(DType::f32, {Dim(channels * taps), Dim(1), Dim(block[0]), Dim(block[1])},
                                 write_constant(one_each, DType::f32));
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], s[1], Dim(places[0]), Dim(places[1])}));
  KILN_ASSIGN(ValueId y, l.call("aten.convolution.default", {x, w, kNoValue},
                                {{"stride", stride},
                                 {"dilation", dilation},
                                 {"groups", channels},
                                 {"transposed", true},
                                 {"padding", std::vector<int64_t>{0, 0}}}));
  PadAttrs edge;  // what blocks do not reach, less what stands outside of the image
  edge.before = {0, 0, 0, 0};
  edge.after = {0, 0, rest[0], rest[1]};
  KILN_ASSIGN(y, l.b.pad(y, edge));
  for (size_t i = 0; i < 2; ++i) {
    KILN_ASSIGN(y, l.b.slice_axis(y, static_cast<int64_t>(2 + i), pads[i], image[i]));
  }
  return l.set(node, y);
}

}  // namespace

std::vector<OpRow> onnx_sample_ops() {
  return {
      {"onnx.AffineGrid", affine_grid},
      {"onnx.Col2Im", col2im},
      {"onnx.GridSample", grid_sample},
  };
}

}  // namespace kiln
