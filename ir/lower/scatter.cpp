// Scattering: a copy of the input, in whose layout updates are then written over it.
#include "ir/infer.h"
#include "ir/lower/lowering.h"

namespace kiln {

Status Lowering::lower_scatter(const Node& node) {
  const ScatterAttrs& a = *std::get_if<ScatterAttrs>(&node.attrs);
  const auto axis = static_cast<size_t>(a.axis), batch = static_cast<size_t>(a.batch);
  const int phase = phase_of(node);
  const View x = input(node, 0), index = input(node, 1), updates = input(node, 2);
  const View out = destination(node, order_of(x), phase);
  append_map(identity_expr(lane_of(x.dtype)), out, {x}, label_of(node), phase);
  const size_t own = index.dims.size() - batch;
  Box apart, serial;
  apart.strides.resize(3), serial.strides.resize(2);
  for (size_t d = 0; d < updates.dims.size(); ++d) {
    if (d >= axis && d < axis + own) {
      serial.add_loop(updates.dims[d], {index.strides[batch + d - axis], updates.strides[d]});
      continue;
    }
    const size_t of_out = d < axis ? d : d + 1 - own;
    apart.add_loop(updates.dims[d], {out.strides[of_out], d < batch ? index.strides[d] : 0, updates.strides[d]});
  }
  apart.sort(), apart.merge(), serial.merge();
  if (apart.dims.empty()) apart.add_loop(1, {0, 0, 0});
  if (serial.dims.empty()) serial.add_loop(1, {0, 0});
  ScatterSpec s;
  s.dims = apart.dims, s.out = apart.strides[0], s.index = apart.strides[1], s.updates = apart.strides[2];
  s.serial = serial.dims, s.serial_index = serial.strides[0], s.serial_updates = serial.strides[1];
  s.rows = x.dims[axis], s.out_row = out.strides[axis];
  s.kind = a.kind, s.dtype = x.dtype, s.index_dtype = index.dtype;
  View status;
  status.buffer = Operand::kStatusWord;
  append(s, {out, out, index, updates, status}, label_of(node), phase);
  return ok();
}

}  // namespace kiln
