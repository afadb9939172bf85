// A transposed convolution is one small convolution for each phase of its output. Pixel stride · j + phase is a sum
// over the taps t with phase + padding ≡ dilation · t (mod stride). Each of these taps meets pixel j + const of the
// input. No zeros are put between pixels. Neighbouring phases that read the same pixels are computed together: those
// along a row as columns of one product, those along a column as its groups.
#include <algorithm>
#include <numeric>
#include <utility>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// More steps than this are refused.
constexpr size_t kMaxRuns = 4096;

/// Neighbouring phases of one dim with the same window.
struct Run {
  int64_t first = 0, phases = 1;  ///< phases first, first + 1, …
  int64_t size = 0;               ///< pixels of each
  int64_t taps = 0;               ///< of a window; phase first + i begins with tap `tap` + i, then every tap_step-th
  int64_t tap = 0, tap_step = 1;
  int64_t from = 0, step = 1;  ///< the input's pixel under the last tap, and from each tap to the one before
};

struct Dimension {
  int64_t in, out, kernel, stride, dilation, padding;
};

std::vector<Run> runs_of(const Dimension& d) {
  const int64_t common = std::gcd(d.dilation, d.stride);
  std::vector<int64_t> tap_of(static_cast<size_t>(d.stride), -1);  // by remainder: the first tap
  for (int64_t t = 0; t < d.stride / common; ++t) tap_of[static_cast<size_t>(t * d.dilation % d.stride)] = t;
  std::vector<Run> runs;
  for (int64_t phase = 0; phase < std::min(d.stride, d.out); ++phase) {
    const int64_t at = phase + d.padding;
    Run r;
    r.first = phase;
    r.size = ceil_div(d.out - phase, d.stride);
    r.tap = tap_of[static_cast<size_t>(at % d.stride)];
    if (r.tap >= 0 && r.tap < d.kernel) {
      r.tap_step = d.stride / common, r.step = d.dilation / common;
      r.taps = (d.kernel - 1 - r.tap) / r.tap_step + 1;
      if (r.taps == 1) r.tap_step = r.step = 1;  // taken by nobody
      r.from = (at - r.tap * d.dilation) / d.stride - (r.taps - 1) * r.step;
    }
    if (!runs.empty()) {
      Run& last = runs.back();
      const bool next_tap = d.dilation == 1 && r.tap == last.tap + last.phases && r.from == last.from;
      if (r.size == last.size && r.taps == last.taps && (r.taps == 0 || next_tap)) {
        ++last.phases;
        continue;
      }
    }
    runs.push_back(r);
  }
  return runs;
}

Dimension dimension(const Graph& graph, const Node& node, size_t i) {
  const ConvAttrs& a = *std::get_if<ConvAttrs>(&node.attrs);
  const auto size = [&](ValueId id) { return graph.value(id).shape[2 + i].value; };
  return {size(node.inputs[0]), size(node.outputs[0]), size(node.inputs[1]),
          a.stride[i],          a.dilation[i],         a.pad_begin[i]};
}

/// The pixels of these phases in an image [N, C, H, W], as [N, C, phases, OH, phases, OW].
View pixels(const View& v, const Run& row, const Run& col, const std::array<int64_t, 2>& stride) {
  View out = v;
  out.halo = {};
  out.offset += row.first * v.strides[2] + col.first * v.strides[3];
  out.dims = {v.dims[0], v.dims[1], row.phases, row.size, col.phases, col.size};
  const auto steps = taken(stride, row.size, col.size);
  out.strides = {v.strides[0], v.strides[1],           v.strides[2], steps[0] * v.strides[2],
                 v.strides[3], steps[1] * v.strides[3]};
  return out;
}

/// Pixels as [N, G, n, OH, OW]: phases of rows are groups, phases of columns are beside the channels.
View as_groups(const View& v) {
  View out = v;
  out.dims = {v.dims[0], v.dims[2], v.dims[4] * v.dims[1], v.dims[3], v.dims[5]};
  out.strides = {v.strides[0], v.strides[2], v.strides[1], v.strides[3], v.strides[5]};
  return out;
}

/// The weights [O, K, KH, KW] of these phases, taps in the order of the input's pixels: [rows, cols, O, K, taps, taps].
View taps_of(const View& w, const Run& row, const Run& col) {
  View out = w;
  out.offset += (row.tap + (row.taps - 1) * row.tap_step) * w.strides[2] +
                (col.tap + (col.taps - 1) * col.tap_step) * w.strides[3];
  out.dims = {row.phases, col.phases, w.dims[0], w.dims[1], row.taps, col.taps};
  out.strides = {w.strides[2],
                 w.strides[3],
                 w.strides[0],
                 w.strides[1],
                 -row.tap_step * w.strides[2],
                 -col.tap_step * w.strides[3]};
  return out;
}

/// Each phase of a run by itself.
void apart(Run run, std::vector<Run>& out) {
  const int64_t phases = std::exchange(run.phases, 1);
  for (int64_t i = 0; i < phases; ++i, ++run.first, ++run.tap) out.push_back(run);
}

/// The result of the epilogue for sums over no taps.
void append_bare(Lowering& l, const Fusion& fusion, const View& c, const std::vector<View>& operands,
                 const std::string& label) {
  Expr zero;
  zero.constant(0);
  std::vector<int> moved{0};
  for (size_t i = 0; i < operands.size(); ++i) moved.push_back(static_cast<int>(i));
  const Expr expr = fusion.empty() ? zero : compose(fusion.expr, 0, zero, moved, {});
  l.append_map(expr, c, operands, label, kRunPhase);
}

}  // namespace

Halo Lowering::transposed_halo(const Node& node) const {
  std::array<int64_t, 2> before{0, 0}, after{0, 0};
  for (size_t i = 0; i < 2; ++i) {
    const Dimension d = dimension(graph, node, i);
    for (const Run& r : runs_of(d)) {
      if (r.taps == 0) continue;
      before[i] = std::max(before[i], -r.from);
      after[i] = std::max(after[i], r.from + (r.taps - 1) * r.step + r.size - d.in);
    }
  }
  return {before[0], before[1], after[0], after[1]};
}

Status Lowering::lower_transposed_conv(const Node& node) {
  const ConvAttrs& a = *std::get_if<ConvAttrs>(&node.attrs);
  const std::vector<Run> rows = runs_of(dimension(graph, node, 0)), cols = runs_of(dimension(graph, node, 1));
  const auto too_many = [&] {
    return unsupported(node, "a transposed convolution of so many different phases (stride " +
                                 std::to_string(a.stride[0]) + "x" + std::to_string(a.stride[1]) + ")");
  };
  if (rows.size() * cols.size() > kMaxRuns) return too_many();
  const View x = channels_last_with(input(node, 0), conv_halo(node)), w = input(node, 1);
  const bool rows_apart = x.dims[0] > 1 && a.groups > 1 && !is_depthwise(node);  // see ContractionSpec
  const View c = destination(node, channels_last(), kRunPhase, rows_apart ? 3 : 1);
  const Fusion fusion = conv_fusion(node);
  if (too_large_ || product(c.dims) == 0) return ok();
  // Neighbouring pixels as channels: as the result lies, and whatever is added to it.
  const auto moves = [](const View& v, size_t dim) { return v.dims[dim] > 1 && v.strides[dim] != 0; };
  const auto joins = [](const View& v) { return v.strides[3] == v.dims[1] * v.strides[1]; };
  const auto per_channel = [&](const View& v) {
    return !moves(v, 0) && !moves(v, 2) && !moves(v, 3) && v.phase != kRunPhase;
  };
  bool columns_join = a.groups == 1 && joins(c);
  for (const View& v : fusion.operands) columns_join = columns_join && (joins(v) || per_channel(v));

  const auto lower_run = [&](const Run& row, const Run& col) {
    if (over_budget()) return;
    const auto part = [&](const View& v) { return pixels(v, row, col, a.stride); };
    std::vector<View> operands;
    for (const View& v : fusion.operands) operands.push_back(part(v));
    if (row.taps * col.taps == 0) return append_bare(*this, fusion, part(c), operands, label_of(node));
    for (View& v : operands)
      if (col.phases > 1 && v.strides[4] == 0 && v.strides[1] != 0) {  // once for each phase
        View once = v;
        once.dims = {col.phases, v.dims[1]}, once.strides = {0, v.strides[1]};
        const View tiled = copied(once, row_major(2));
        v.buffer = tiled.buffer, v.offset = tiled.offset, v.phase = tiled.phase;
        v.strides[1] = 1;
      }
    View taps = copied(taps_of(w, row, col), row_major(6));  // [rows, cols, O, K, taps, taps]
    Windows p;
    if (a.groups == 1) {
      p.w = *reshaped(taps, {row.phases, col.phases * w.dims[0], w.dims[1], row.taps, col.taps});
      p.c = as_groups(part(c));
      for (const View& v : operands) p.fusion.operands.push_back(as_groups(v));
      p.x = grouped(x, 1, 1);
      p.x.strides[1] = 0;
    } else {
      p.w = *reshaped(taps, {a.groups, w.dims[0] / a.groups, w.dims[1], row.taps, col.taps});
      const auto image = [&](const View& v) {
        const View all = part(v);
        View one = all;
        one.dims = {all.dims[0], all.dims[1], all.dims[3], all.dims[5]};
        one.strides = {all.strides[0], all.strides[1], all.strides[3], all.strides[5]};
        return grouped(one, 1, a.groups);
      };
      p.c = image(c);
      for (const View& v : fusion.operands) p.fusion.operands.push_back(image(v));
      p.x = grouped(x, 1, a.groups);
    }
    p.x.offset += row.from * x.strides[2] + col.from * x.strides[3];
    p.fusion.expr = fusion.expr;
    p.dilation = {row.step, col.step};
    append_windows(std::move(p), label_of(node));
  };
  const auto steps_of = [](const std::vector<Run>& runs, bool join) {
    std::vector<Run> steps;
    for (const Run& run : runs) {
      if (join) steps.push_back(run);
      if (!join && steps.size() <= kMaxRuns) apart(run, steps);
    }
    return steps;
  };
  const std::vector<Run> by_row = steps_of(rows, a.groups == 1), by_column = steps_of(cols, columns_join);
  if (by_row.size() * by_column.size() > kMaxRuns) return too_many();
  for (const Run& row : by_row)
    for (const Run& col : by_column) lower_run(row, col);
  return ok();
}

}  // namespace kiln
