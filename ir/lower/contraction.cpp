// Convolutions and matrix products: views to ContractionSpec, PackSpec and DepthwiseSpec.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// With fewer rows, or a B that stays in the first-level cache, packing a B that comes up in the run would take longer
/// than it saves.
constexpr int64_t kFewRows = 4, kSmallFactor = 4096;

/// What is added to every output channel.
void add_bias(Fusion& fusion, const View& bias, const Sizes& dims, size_t channel_dim) {
  View v = bias;
  v.dims = dims;
  v.strides.assign(dims.size(), 0);
  v.strides[channel_dim] = bias.strides.back();
  Fusion with_bias;
  Expr sum;
  sum.binary(PointOp::add, sum.input(0), sum.input(1));
  with_bias.then(sum, {v});
  if (!fusion.empty()) with_bias.then(fusion.expr, fusion.operands);
  fusion = std::move(with_bias);
}

}  // namespace

Matrices as_they_lie(const View& b, size_t lead) {
  Matrices m;
  m.strides.assign(lead, 0);
  const size_t own = b.dims.size() - 2;
  for (size_t i = 0; i < own; ++i)
    if (b.dims[i] != 1) m.strides[lead - own + i] = b.strides[i];
  return m;
}

std::optional<Matrices> in_panels(const View& b, size_t lead) {
  Matrices m;
  const size_t own = b.dims.size() - 2;
  m.pack.k = b.dims[own], m.pack.n = b.dims[own + 1], m.pack.src_k = b.strides[own], m.pack.src_n = b.strides[own + 1];
  m.strides.assign(lead, 0);
  m.elements = packed_size(m.pack.k, m.pack.n);
  Box box;
  for (size_t i = own; i-- > 0;) {
    if (b.dims[i] != 1) m.strides[lead - own + i] = m.elements;
    m.elements *= b.dims[i];
  }
  for (size_t i = 0; i < own; ++i) box.add_loop(b.dims[i], {m.strides[lead - own + i], b.strides[i]});
  box.merge();
  if (box.dims.size() > 2) return std::nullopt;
  for (size_t i = 0; i < box.dims.size(); ++i) {
    const size_t at = 2 - box.dims.size() + i;
    m.pack.batch[at] = box.dims[i], m.pack.src_batch[at] = box.strides[1][i];
  }
  return m;
}

Epilogue conv_epilogue(const Fusion& fusion) {
  return make_epilogue(fusion, [](const View& v) {
    return Sizes{v.strides[0], 0, v.strides[2], v.strides[3], v.strides[1]};
  });
}

Epilogue depthwise_epilogue(const Fusion& fusion) {
  return make_epilogue(fusion, [](const View& v) {
    return Sizes{v.strides[0], v.strides[2], v.strides[3], v.strides[1]};
  });
}

Fusion Lowering::conv_fusion(const Node& node) {
  Fusion f = fusion(node);
  if (has(node, 2)) add_bias(f, input(node, 2), out_dims(node), 1);
  return f;
}

View Lowering::depthwise_taps(const View& w) {
  const View by_tap = permuted(w, {2, 3, 0, 1});  // [KH, KW, C, 1]
  return is_row_major(by_tap) ? by_tap : copied(by_tap, row_major(4));
}

Halo Lowering::conv_halo(const Node& node) const {
  const ConvAttrs& a = *std::get_if<ConvAttrs>(&node.attrs);
  if (a.transposed) return transposed_halo(node);
  return {a.pad_begin[0], a.pad_begin[1], a.pad_end[0], a.pad_end[1]};
}

View Lowering::channels_last_with(const View& x, const Halo& halo) {
  // Dims of size 1 may carry any stride; the channel's must be 1 for the kernels.
  const bool turned = x.strides[2] < (x.dims[3] - 1) * x.strides[3] && x.dims[2] > 1;
  return is_contiguous_in(x, 1) && x.halo.covers(halo) && !turned ? x : copied(x, channels_last(), halo);
}

Status Lowering::lower_conv(const Node& node) {
  const ConvAttrs& a = *std::get_if<ConvAttrs>(&node.attrs);
  if (a.transposed) return lower_transposed_conv(node);
  Sizes dims = out_dims(node);
  const Halo halo = conv_halo(node);
  const std::array<int64_t, 2> stride = taken(a.stride, dims[2], dims[3]);
  View x = input(node, 0);
  const View& w = input(node, 1);
  // For 1×1 windows, rows may be columns too.
  const bool turn = x.strides[2] < (x.dims[3] - 1) * x.strides[3] && x.dims[2] > 1 && w.dims[2] * w.dims[3] == 1 &&
                    stride[0] == 1 && stride[1] == 1 && halo.empty();
  const auto turned = [&](const View& v) { return turn ? permuted(v, {0, 1, 3, 2}) : v; };
  if (turn) std::swap(dims[2], dims[3]);
  x = channels_last_with(turned(x), halo);
  const int64_t groups = a.groups;
  const bool rows_apart = dims[0] > 1 && groups > 1 && !is_depthwise(node);  // see ContractionSpec
  const View c = turned(destination(node, turn ? Order{0, 3, 2, 1} : channels_last(), kRunPhase, rows_apart ? 3 : 1));
  if (product({w.dims[1], w.dims[2], w.dims[3]}) == 0) return unsupported(node, "convolution over nothing");
  if (too_large_ || product(dims) == 0) return ok();
  Windows windows{grouped(x, 1, groups),
                  grouped(w, 0, groups),
                  grouped(c, 1, groups),
                  {},
                  stride,
                  taken(a.dilation, w.dims[2], w.dims[3])};
  windows.x.offset -= halo.top * x.strides[2] + halo.left * x.strides[3];
  windows.fusion = conv_fusion(node);
  for (View& v : windows.fusion.operands) v = grouped(turned(v), 1, groups);
  append_windows(std::move(windows), label_of(node));
  return ok();
}

bool Lowering::is_depthwise(const Node& node) {
  const View& w = view(node.inputs[1]);
  const int64_t groups = std::get_if<ConvAttrs>(&node.attrs)->groups;
  return groups > 1 && w.dims[1] == 1 && w.dims[0] == groups;
}

View grouped(const View& v, size_t dim, int64_t groups) {
  View out = v;
  const auto at = static_cast<std::ptrdiff_t>(dim);
  out.dims[dim] /= groups;
  out.dims.insert(out.dims.begin() + at, groups);
  out.strides.insert(out.strides.begin() + at, out.dims[dim + 1] * v.strides[dim]);
  return out;
}

void Lowering::append_windows(Windows p, const std::string& label) {
  const View &x = p.x, &c = p.c;
  const int64_t images = c.dims[0], groups = c.dims[1], n = c.dims[2], k = p.w.dims[2];
  if (groups > 1 && k == 1 && n == 1 && x.strides[1] == 1 && c.strides[1] == 1) return append_depthwise(p, label);
  const bool taps_in_line = p.w.dims[3] == 1 || p.w.dims[4] == 1 || p.w.strides[3] == p.w.dims[4] * p.w.strides[4];
  if (!taps_in_line || p.w.strides[3] < 0 || p.w.strides[4] < 0) p.w = copied(p.w, row_major(5));
  const View& w = p.w;
  // With both batches in use rows must not overlap: see ContractionSpec.
  for (View& v : p.fusion.operands)
    if (images > 1 && groups > 1 && v.strides[3] < (v.dims[4] - 1) * v.strides[4]) v = copied(v, {0, 3, 4, 1, 2});
  ContractionSpec s;
  s.batch = {images, groups};
  s.oh = c.dims[3], s.ow = c.dims[4], s.kh = w.dims[3], s.kw = w.dims[4], s.k = k, s.n = n;
  const int64_t packed_elements = packed_size(s.kh * s.kw * k, n);
  s.a_batch = {x.strides[0], x.strides[1]};
  s.b_batch = {0, packed_elements};
  s.c_batch = {c.strides[0], c.strides[1]};
  s.a_row = p.stride[0] * x.strides[3], s.a_col = p.stride[1] * x.strides[4];
  s.a_tap_row = p.dilation[0] * x.strides[3], s.a_tap_col = p.dilation[1] * x.strides[4];
  s.c_row = c.strides[3], s.c_col = c.strides[4];
  const bool three_by_three = s.kh == 3 && s.kw == 3 && stride_in_taps(s);
  if (three_by_three && groups == 1 && step_phase(w.phase) != kRunPhase)
    s.winograd = precision == Precision::exact ? 0 : 4;
  s.epilogue = make_epilogue(p.fusion, [](const View& v) {
    return Sizes{v.strides[0], v.strides[1], v.strides[3], v.strides[4], v.strides[2]};
  });
  PackSpec pack;
  pack.batch = {1, groups};
  pack.src_batch = {0, w.strides[0]};
  pack.taps = s.kh * s.kw, pack.k = k, pack.n = n;
  if (s.winograd) pack.stride = stride_in_taps(s);
  pack.src_tap = s.kw > 1 ? w.strides[4] : w.strides[3], pack.src_k = w.strides[2], pack.src_n = w.strides[1];
  std::vector<View> operands{c, x, factor(s, pack, w, groups * packed_elements, label)};
  operands.insert(operands.end(), p.fusion.operands.begin(), p.fusion.operands.end());
  append(s, operands, label);
}

void Lowering::append_depthwise(const Windows& p, const std::string& label) {
  const View &x = p.x, &c = p.c;
  View w = p.w;  // [C, 1, 1, KH, KW]
  w.dims.erase(w.dims.begin() + 1);
  w.strides.erase(w.strides.begin() + 1);
  const View taps = depthwise_taps(w);
  DepthwiseSpec s;
  s.batch = c.dims[0], s.oh = c.dims[3], s.ow = c.dims[4], s.c = c.dims[1], s.kh = w.dims[2], s.kw = w.dims[3];
  s.in_batch = x.strides[0], s.in_row = p.stride[0] * x.strides[3], s.in_col = p.stride[1] * x.strides[4];
  s.in_tap_row = p.dilation[0] * x.strides[3], s.in_tap_col = p.dilation[1] * x.strides[4];
  s.out_batch = c.strides[0], s.out_row = c.strides[3], s.out_col = c.strides[4];
  s.epilogue = make_epilogue(p.fusion, [](const View& v) {
    return Sizes{v.strides[0], v.strides[3], v.strides[4], v.strides[1]};
  });
  std::vector<View> operands{c, x, taps};
  operands.insert(operands.end(), p.fusion.operands.begin(), p.fusion.operands.end());
  append(s, operands, label);
}

View Lowering::factor(ContractionSpec& s, const PackSpec& pack, const View& b, int64_t elements,
                      const std::string& label) {
  const bool one_row = product({s.batch[0], s.batch[1], s.oh, s.ow, s.kh, s.kw}) == 1;
  if (!one_row || pack.src_k != 1 || pack.src_n < pack.k) {
    const bool plain = product({s.batch[0], s.batch[1], s.kh, s.kw}) == 1;
    const Operand source{b.buffer, b.offset * size_of(DType::f32)};
    s.int16 = s.int16 && plain && may_be_integers(source, pack);
    s.strassen = plain && may_be_summed(source, pack);
    return packed(pack, b, elements, s, label);
  }
  s.int16 = false;
  s.b_row = pack.src_n;
  return b;
}

Status Lowering::lower_matmul(const Node& node) {
  const bool transpose_b = std::get_if<MatmulAttrs>(&node.attrs)->transpose_b;
  View a = input(node, 0), b = input(node, 1);
  if (transpose_b) {
    std::vector<int64_t> axes(b.dims.size());
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    b = permuted(b, axes);
  }
  const Fusion f = fusion(node);
  if (!is_contiguous_in(a, a.rank() - 1)) a = copied(a, row_major(a.rank()));
  const View c = destination(node, row_major(static_cast<int>(out_dims(node).size())), kRunPhase, 1);
  return product_of(a, b, c, f, label_of(node));
}

Status Lowering::product_of(const View& a, const View& b, const View& c, const Fusion& f, const std::string& label) {
  if (product(c.dims) == 0) return ok();
  if (a.dims.back() == 0) return Error{ErrorCode::unsupported_operator, "a matrix product over no elements", label};
  if (append_product(a, b, c, f, label)) return ok();
  // There are more loops than a contraction has. Copies make the batches one loop.
  const auto straight = [&](const View& v, const Sizes& dims) {
    return copied(expanded(v, dims), row_major(static_cast<int>(dims.size())));
  };
  const auto matrix = [&](const View& v) {
    Sizes dims = c.dims;
    std::copy(v.dims.end() - 2, v.dims.end(), dims.end() - 2);
    return straight(v, dims);
  };
  Fusion g = f;
  for (View& v : g.operands) v = straight(v, c.dims);
  const View to = is_row_major(c) ? c : allocate(c.dims, c.dtype, row_major(c.rank()), kRunPhase);
  const bool batched = product(b.dims) != b.dims.back() * b.dims[b.dims.size() - 2];
  if (!append_product(matrix(a), batched ? matrix(b) : b, to, g, label))
    return Error{ErrorCode::internal, "a plain matrix product did not fit", label};
  if (to.buffer != c.buffer) append_map(identity_expr(), c, {to}, "copy", kRunPhase);
  return ok();
}

/// Returns false and appends nothing if there are too many loops over batches and rows, or if a row would overlap the
/// one before.
bool Lowering::append_product(const View& a, const View& b, const View& c, const Fusion& f, const std::string& label) {
  const size_t lead = c.dims.size() - 2;
  const int64_t n = c.dims[lead + 1], k = a.dims.back();
  ContractionSpec s;
  int64_t rows_of_each = product(c.dims) / n;  // of B's matrices
  for (size_t i = 0; i + 2 < b.dims.size(); ++i) rows_of_each /= b.strides[i] ? b.dims[i] : 1;
  if (step_phase(b.phase) == kRunPhase) {
    const int64_t by_k = b.strides[b.dims.size() - 2], by_column = b.strides.back();
    if (rows_of_each == 1 && by_k == 1 && by_column >= k)
      s.b_row = by_column;
    else if (by_column == 1 && by_k >= n && (rows_of_each <= kFewRows || k * by_k <= kSmallFactor))
      s.b_k = by_k;
  }
  const bool in_place = s.b_row || s.b_k;
  const std::optional<Matrices> factors = in_place ? as_they_lie(b, lead) : in_panels(b, lead);
  if (!factors) return false;

  // Loops over (batch…, M): operands C, A, B, fused.
  Box box;
  const Sizes a_lead = as_they_lie(a, lead).strides;
  for (size_t i = 0; i <= lead; ++i) {
    const bool rows = i == lead;
    Sizes strides{c.strides[i], rows ? a.strides[a.dims.size() - 2] : a_lead[i], rows ? 0 : factors->strides[i]};
    for (const View& v : f.operands) strides.push_back(v.strides[i]);
    box.add_loop(c.dims[i], strides);
  }
  box.merge();
  if (box.dims.empty()) box.add_loop(1, Sizes(3 + f.operands.size(), 0));
  // The two innermost loops may be rows of one product; loops outside them are batches.
  const size_t loops = box.dims.size(), last = loops - 1;
  const bool b_moves_last = box.strides[2][last] != 0;
  const bool two_rows = !b_moves_last && loops >= 2 && box.strides[2][last - 1] == 0 && loops > 1;
  const size_t rows = b_moves_last ? 0 : two_rows ? 2 : 1, batches = loops - rows;
  if (batches > 2) return false;
  for (const Sizes& by : box.strides)
    if (rows == 2 && batches == 2 && by[last - 1] < (box.dims[last] - 1) * by[last]) return false;
  const auto loop = [&](size_t from_inside, size_t operand) { return box.strides[operand][loops - 1 - from_inside]; };
  if (rows >= 1) s.ow = box.dims[last], s.a_col = loop(0, 1), s.c_col = loop(0, 0);
  if (rows == 2) s.oh = box.dims[last - 1], s.a_row = loop(1, 1), s.c_row = loop(1, 0);
  for (size_t i = 0; i < batches; ++i) {
    const size_t at = 2 - batches + i;
    s.batch[at] = box.dims[i];
    s.c_batch[at] = box.strides[0][i], s.a_batch[at] = box.strides[1][i], s.b_batch[at] = box.strides[2][i];
  }
  s.k = k, s.n = n, s.a_tap_col = k;
  s.int16 = precision == Precision::fast && !in_place;
  size_t operand = 3;
  s.epilogue = make_epilogue(f, [&](const View& v) {
    Sizes st(5, 0);
    for (size_t i = 0; i < batches; ++i) st[2 - batches + i] = box.strides[operand][i];
    if (rows == 2) st[2] = loop(1, operand);
    if (rows >= 1) st[3] = loop(0, operand);
    st[4] = v.strides.back();
    ++operand;
    return st;
  });
  std::vector<View> operands{c, a, in_place ? b : factor(s, factors->pack, b, factors->elements, label)};
  operands.insert(operands.end(), f.operands.begin(), f.operands.end());
  append(s, operands, label);
  return true;
}

}  // namespace kiln
