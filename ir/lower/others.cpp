// Everything that is not a contraction: pointwise, reductions, norms, pooling, gathers, and views.
#include <algorithm>

#include "ir/infer.h"
#include "ir/lower/lowering.h"

namespace kiln {
Status Lowering::lower_map(const Node& node) {
  const Sizes dims = out_dims(node);
  const int phase = phase_of(node);
  std::vector<View> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(expanded(input(node, i), dims));
  // The result has the layout of the operand with the most elements of its own.
  Order order = row_major(static_cast<int>(dims.size()));
  int64_t most = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t own = product(input(node, i).dims);
    if (own > most && own == product(dims)) most = own, order = order_of(inputs[i]);
  }
  const View out = destination(node, order, phase);
  append_map(node.expr, out, inputs, label_of(node), phase);
  return ok();
}

Status Lowering::lower_reduce(const Node& node) {
  const ReduceAttrs& a = *std::get_if<ReduceAttrs>(&node.attrs);
  const View x = input(node, 0);
  const int phase = phase_of(node);
  const Fusion f = fusion(node);
  const View out = destination(node, row_major(static_cast<int>(out_dims(node).size())), phase);
  ReduceSpec s;
  s.kind = a.kind;
  s.dtype = x.dtype;
  s.out_dtype = node.epilogue.empty()                                          ? out.dtype
                : a.kind == ReduceKind::argmax || a.kind == ReduceKind::argmin ? DType::i64
                                                                               : x.dtype;
  Box kept, reduced;
  size_t o = 0;
  for (size_t d = 0; d < x.dims.size(); ++d) {
    const bool gone = std::find(a.axes.begin(), a.axes.end(), static_cast<int64_t>(d)) != a.axes.end();
    if (gone) {
      reduced.add_loop(x.dims[d], {x.strides[d]});
    } else {
      Sizes strides{out.strides[o], x.strides[d]};
      for (const View& v : f.operands) strides.push_back(v.strides[o]);
      kept.add_loop(x.dims[d], strides);
    }
    if (!gone || a.keepdim) ++o;
  }
  if (a.kind != ReduceKind::argmax && a.kind != ReduceKind::argmin) reduced.sort(), reduced.merge();
  kept.merge();
  if (kept.dims.empty()) kept.add_loop(1, Sizes(2 + f.operands.size(), 0));
  if (reduced.dims.empty()) reduced.add_loop(1, {0});
  if (product(reduced.dims) == 0) return unsupported(node, "reduction over no elements");
  s.kept = kept.dims, s.out_kept = kept.strides[0], s.in_kept = kept.strides[1];
  s.reduced = reduced.dims, s.in_reduced = reduced.strides[0];
  size_t operand = 2;
  s.epilogue = make_epilogue(f, [&](const View&) { return kept.strides[operand++]; });
  std::vector<View> operands{out, x};
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  append(s, operands, label_of(node), phase);
  return ok();
}

Status Lowering::lower_norm(const Node& node) {
  const NormAttrs& a = *std::get_if<NormAttrs>(&node.attrs);
  const int phase = phase_of(node);
  View x = input(node, 0);
  const int rank = x.rank();
  const auto axis = static_cast<int>(a.axis < 0 ? a.axis + rank : a.axis);
  const bool by_layer = node.op == Op::layer_norm;  // over all dims from `axis` on, one row
  Order order = with_last(order_of(x), axis);
  if (by_layer) {
    order = row_major(rank);
    const auto tail_compact = [&](const View& v) {
      int64_t stride = 1;
      for (int d = rank; d-- > axis;) {
        const auto i = static_cast<size_t>(d);
        if (v.dims[i] != 1 && v.strides[i] != stride) return false;
        stride *= v.dims[i];
      }
      return true;
    };
    if (!tail_compact(x)) x = copied(x, order);
  } else if (!is_contiguous_in(x, axis)) {
    x = copied(x, order);
  }
  Fusion f = fusion(node);
  if (by_layer && rank - axis > 1)  // an epilogue's operand walks the normalised dims as one
    for (View& v : f.operands)
      if (!is_row_major(v)) v = copied(v, row_major(rank));
  const View out = destination(node, order, phase, by_layer ? rank - axis : 1);
  NormSpec s;
  s.kind = a.kind;
  s.eps = static_cast<float>(a.eps);
  Box rows;
  s.cols = 1;
  for (int d = 0; d < rank; ++d) {
    const auto i = static_cast<size_t>(d);
    if (by_layer ? d >= axis : d == axis) {
      s.cols *= x.dims[i];
      continue;
    }
    Sizes strides{out.strides[i], x.strides[i]};
    for (const View& v : f.operands) strides.push_back(v.strides[i]);
    rows.add_loop(x.dims[i], strides);
  }
  rows.merge();
  if (rows.dims.empty()) rows.add_loop(1, Sizes(2 + f.operands.size(), 0));
  s.rows = rows.dims, s.out_rows = rows.strides[0], s.in_rows = rows.strides[1];
  std::vector<View> operands{out, x};
  for (size_t i = 1; i < 3; ++i) {
    if (!by_layer || !has(node, i)) continue;
    (i == 1 ? s.has_scale : s.has_shift) = true;
    const View w = input(node, i);
    operands.push_back(is_row_major(w) ? w : copied(w, row_major(w.rank())));
  }
  size_t operand = 2;
  int column = by_layer ? rank - 1 : static_cast<int>(axis);  // a dim of 1 may have any stride
  while (by_layer && column > axis && x.dims[static_cast<size_t>(column)] == 1) --column;
  s.epilogue = make_epilogue(f, [&](const View& v) {
    Sizes st = rows.strides[operand++];
    st.push_back(v.strides[static_cast<size_t>(column)]);
    return st;
  });
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  append(s, operands, label_of(node), phase);
  return ok();
}

Status Lowering::lower_pool(const Node& node) {
  const PoolAttrs& a = *std::get_if<PoolAttrs>(&node.attrs);
  const int phase = phase_of(node);
  View x = input(node, 0);
  if (!is_contiguous_in(x, 1)) x = copied(x, channels_last());
  const Fusion f = fusion(node);
  const View out = destination(node, channels_last(), phase, 1);
  WindowSpec s;
  s.kind = a.kind;
  s.batch = x.dims[0], s.c = x.dims[1], s.ih = x.dims[2], s.iw = x.dims[3], s.oh = out.dims[2], s.ow = out.dims[3];
  const auto stride = taken(a.stride, s.oh, s.ow), dilation = taken(a.dilation, a.kernel[0], a.kernel[1]);
  s.kh = a.kernel[0], s.kw = a.kernel[1], s.stride_h = stride[0], s.stride_w = stride[1];
  s.dilation_h = dilation[0], s.dilation_w = dilation[1], s.pad_top = a.pad_begin[0], s.pad_left = a.pad_begin[1];
  s.divide_by_all = a.count_include_pad && (a.pad_begin[0] | a.pad_begin[1] | a.pad_end[0] | a.pad_end[1]);
  s.divisor = a.divisor;
  s.even = a.even[0] != 0;
  s.in_batch = x.strides[0], s.in_row = x.strides[2], s.in_col = x.strides[3];
  s.out_batch = out.strides[0], s.out_row = out.strides[2], s.out_col = out.strides[3];
  s.epilogue = make_epilogue(f, [](const View& v) {
    return Sizes{v.strides[0], v.strides[2], v.strides[3], v.strides[1]};
  });
  std::vector<View> operands{out, x};
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  append(s, operands, label_of(node), phase);
  return ok();
}

Status Lowering::lower_gather(const Node& node) {
  const GatherAttrs& a = *std::get_if<GatherAttrs>(&node.attrs);
  const auto axis = static_cast<size_t>(a.axis), batch = static_cast<size_t>(a.batch);
  const int phase = phase_of(node);
  View table = input(node, 0);
  const View index = input(node, 1);
  if (step_phase(table.phase) != kRunPhase && !is_row_major(table)) table = copied(table, row_major(table.rank()));
  const size_t own = index.dims.size() - batch, rank = table.dims.size() - 1 + own;
  View from = table, of_index = index;  // as the result
  from.dims = of_index.dims = out_dims(node);
  of_index.strides.resize(batch);
  of_index.strides.resize(axis, 0);
  of_index.strides.insert(of_index.strides.end(), index.strides.begin() + a.batch, index.strides.end());
  of_index.strides.resize(rank, 0);
  from.strides.erase(from.strides.begin() + a.axis);
  from.strides.insert(from.strides.begin() + a.axis, own, table.strides[axis]);
  // The result lies as the table does, or as an index of all its dims, with neighbours inside that have the same one.
  Order order = order_of(batch ? of_index : from);
  for (size_t d = 0; d < rank && batch; ++d)
    if (of_index.strides[d] == 0 && from.strides[d] == 1) order = with_last(order, static_cast<int>(d));
  const View out = destination(node, order, phase, 1);
  std::fill_n(from.strides.begin() + a.axis, own, 0);
  GatherSpec s;
  Box box;
  for (size_t d = 0; d < rank; ++d) box.add_loop(out.dims[d], {out.strides[d], from.strides[d], of_index.strides[d]});
  box.sort();
  box.merge();
  const auto last = [&](size_t operand) { return box.strides[operand].back(); };
  if (!box.dims.empty() && last(0) == 1 && last(1) == 1 && last(2) == 0) {
    s.slice = box.dims.back();
    box.dims.pop_back();
    for (Sizes& strides : box.strides) strides.pop_back();
  }
  if (box.dims.empty()) box.dims = {1}, box.strides = {{0}, {0}, {0}};
  s.dims = box.dims, s.out = box.strides[0], s.table = box.strides[1], s.index = box.strides[2];
  s.dtype = table.dtype, s.index_dtype = index.dtype;
  s.rows = table.dims[axis], s.table_row = table.strides[axis];
  View status;
  status.buffer = Operand::kStatusWord;
  append(s, {out, table, index, status}, label_of(node), phase);
  return ok();
}

Status Lowering::lower_view(const Node& node) {
  const View& x = input(node, 0);
  View& out = views_[static_cast<size_t>(node.outputs[0])];
  const Sizes dims = out_dims(node);
  switch (node.op) {
    case Op::permute:
      out = permuted(x, std::get_if<PermuteAttrs>(&node.attrs)->axes);
      return ok();
    case Op::expand:
      out = expanded(x, dims);
      return ok();
    case Op::slice: {
      const SliceAttrs& a = *std::get_if<SliceAttrs>(&node.attrs);
      out = sliced(x, a.start, a.step, dims);
      return ok();
    }
    default:
      break;
  }
  const auto view = reshaped(x, dims);
  if (!view) return copy_reshaped(node, View(x));
  const View& lifted = storage_[static_cast<size_t>(node.outputs[0])];
  out = lifted.buffer >= 0 && same_place(lifted, *view) ? lifted : *view;  // with its zeros
  return ok();
}

Status Lowering::lower_concat(const Node& node) {
  const auto axis = static_cast<size_t>(std::get_if<AxisAttrs>(&node.attrs)->axis);
  const int phase = phase_of(node);
  View whole = storage_[static_cast<size_t>(node.outputs[0])];
  if (whole.buffer < 0) whole = destination(node, order_of(input(node, 0)), phase);
  Sizes start(whole.dims.size(), 0);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const View part = input(node, i);
    const View place = sliced(whole, start, Sizes(whole.dims.size(), 1), part.dims);
    if (!same_place(part, place)) {
      append_map(identity_expr(lane_of(part.dtype)), place, {part}, label_of(node), phase);
    }
    start[axis] += part.dims[axis];
  }
  views_[static_cast<size_t>(node.outputs[0])] = whole;
  return ok();
}

Status Lowering::lower_pad(const Node& node) {
  const PadAttrs& a = *std::get_if<PadAttrs>(&node.attrs);
  const int phase = phase_of(node);
  View x = input(node, 0);
  Sizes crop(x.dims.size(), 0), dims = x.dims, begin = a.before;
  for (size_t d = 0; d < dims.size(); ++d) {  // negative padding crops
    crop[d] = std::max<int64_t>(0, -a.before[d]);
    dims[d] += std::min<int64_t>(0, a.before[d]) + std::min<int64_t>(0, a.after[d]);
    begin[d] = std::max<int64_t>(0, a.before[d]);
  }
  x = sliced(x, crop, Sizes(dims.size(), 1), dims);
  const View out = destination(node, order_of(x), phase);
  Expr value;
  x.dtype == DType::f32 ? value.constant(a.value) : value.integer(a.whole, lane_of(x.dtype));
  fill_border(out, begin, dims, value, phase);
  append_map(identity_expr(lane_of(x.dtype)), sliced(out, begin, Sizes(dims.size(), 1), dims), {x}, label_of(node),
             phase);
  return ok();
}

}  // namespace kiln
