// Operations along one axis: running sums and resizing. A result has the layout of its input.
#include <algorithm>
#include <cstring>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

template <class T>
std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

Status Lowering::lower_scan(const Node& node) {
  const ScanAttrs& a = *std::get_if<ScanAttrs>(&node.attrs);
  const auto axis = static_cast<size_t>(a.axis);
  const int phase = phase_of(node);
  const View x = input(node, 0);
  std::vector<View> operands = destinations(node, order_of(x), phase);
  operands.push_back(x);
  const Box box = beside(axis, operands);
  ScanSpec s;
  s.has_out = node.outputs[0] != kNoValue;
  s.has_index = node.outputs.size() > 1 && node.outputs[1] != kNoValue;
  if (s.has_out) s.out = box.strides[0], s.out_step = operands[0].strides[axis];
  if (s.has_index) s.index = box.strides.rbegin()[1], s.index_step = operands.rbegin()[1].strides[axis];
  s.dims = box.dims, s.in = box.strides.back(), s.in_step = x.strides[axis];
  s.count = x.dims[axis], s.kind = a.kind, s.dtype = x.dtype;
  append(s, operands, label_of(node), phase);
  return ok();
}

/// Between those values and a result of the model, which is row-major, stands nothing but resizing.
void Lowering::find_what_ends_in_outputs() {
  ends_in_output_.resize(graph.values.size());
  for (ValueId id : graph.outputs) ends_in_output_[static_cast<size_t>(id)] = true;
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (node.op == Op::taps && ends_in_output_[static_cast<size_t>(node.outputs[0])])
      ends_in_output_[static_cast<size_t>(node.inputs[0])] = true;
  }
}

Status Lowering::lower_taps(const Node& node) {
  const TapsAttrs& a = *std::get_if<TapsAttrs>(&node.attrs);
  const auto axis = static_cast<size_t>(a.axis);
  const int phase = phase_of(node);
  View x = input(node, 0);
  const bool grows = product(x.dims) < product(out_dims(node));
  if (grows && ends_in_output_[static_cast<size_t>(node.outputs[0])] && !is_row_major(x))
    x = copied(x, row_major(x.rank()));  // rather than the larger result
  const Fusion f = fusion(node);
  const View out = destination(node, order_of(x), phase);
  std::vector<View> along{out, x};
  along.insert(along.end(), f.operands.begin(), f.operands.end());
  const Box box = beside(axis, along);
  TapsSpec s;
  s.dims = box.dims, s.out = box.strides[0], s.in = box.strides[1];
  s.count = out.dims[axis], s.taps = a.taps, s.out_step = out.strides[axis], s.in_step = x.strides[axis];
  s.weighted = !a.weights.empty();
  s.dtype = x.dtype;
  size_t operand = 2;
  s.epilogue = make_epilogue(f, [&](const View& v) {
    Sizes strides = box.strides[operand++];
    strides.push_back(v.strides[axis]);
    return strides;
  });
  std::vector<View> operands{out, x, constant({a.taps, s.count}, DType::i32, bytes_of(a.index))};
  if (s.weighted) operands.push_back(constant({a.taps, s.count}, DType::f32, bytes_of(a.weights)));
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  append(s, operands, label_of(node), phase);
  return ok();
}

}  // namespace kiln
