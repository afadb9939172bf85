#include "jit/touch.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "support/checked.h"

namespace kiln {
namespace {

/// Loops that move an operand, one after the other; add() when they are all there.
class Touch {
 public:
  Touch(const Schedule& schedule, int64_t most) : schedule_(schedule), most_(most) {}
  std::vector<Span> take() { return fits_ ? std::move(spans_) : std::vector<Span>{}; }

  void operator()(const ContractionSpec& s) {
    along(s.batch, s.c_batch).loop(s.oh, s.c_row).loop(s.ow, s.c_col).add(s.n, stored_type(s.epilogue));
    along(s.batch, s.a_batch).loop(s.oh, s.a_row).loop(s.ow, s.a_col);
    loop(s.kh, s.a_tap_row).loop(s.kw, s.a_tap_col).add(s.k);
    if (s.rounded)
      extent(rounded_words(s.k, s.n));
    else if (s.b_row)
      along(s.batch, s.b_batch).loop(s.n, s.b_row).add(s.k);
    else if (s.b_k)
      along(s.batch, s.b_batch).loop(s.k, s.b_k).add(s.n);
    else
      packed(s);
    fused(s.epilogue, {s.batch[0], s.batch[1], s.oh, s.ow, s.n});
    count(times(s.oh, s.ow));
  }
  void operator()(const PackSpec& s) {
    extent(s.scales ? std::max(times(s.n, rounded_row(s.k)), plus(s.scales, s.n)) : packed_elements(s, schedule_));
    along(s.batch, s.src_batch).loop(s.taps, s.src_tap).loop(s.k, s.src_k).loop(s.n, s.src_n).add(1);
  }
  void operator()(const DepthwiseSpec& s) {
    loop(s.batch, s.out_batch).loop(s.oh, s.out_row).loop(s.ow, s.out_col).add(s.c, stored_type(s.epilogue));
    loop(s.batch, s.in_batch).loop(s.oh, s.in_row).loop(s.ow, s.in_col);
    loop(s.kh, s.in_tap_row).loop(s.kw, s.in_tap_col).add(s.c);
    add(times(times(s.kh, s.kw), s.c));
    fused(s.epilogue, {s.batch, s.oh, s.ow, s.c});
  }
  void operator()(const MapSpec& s) {
    along(s.dims, s.out.strides).add(1, s.out.dtype);
    for (const StridedOperand& o : s.inputs) along(s.dims, o.strides).add(1, o.dtype);
  }
  void operator()(const ReduceSpec& s) {
    along(s.kept, s.out_kept).add(1, stored_type(s.epilogue, s.out_dtype));
    along(s.kept, s.in_kept).along(s.reduced, s.in_reduced).add(1, s.dtype);
    for (const FusedOperand& o : s.epilogue.operands) along(s.kept, o.strides).add(1, o.dtype);
    int64_t terms = 1;
    for (const int64_t size : s.reduced) terms = times(terms, size);
    count(terms);
    const bool indices = s.kind == ReduceKind::argmax || s.kind == ReduceKind::argmin;  // of 32 bits in lanes
    fits_ = fits_ && (!indices || terms <= INT32_MAX);
  }
  void operator()(const NormSpec& s) {
    along(s.rows, s.out_rows).add(s.cols, stored_type(s.epilogue));
    along(s.rows, s.in_rows).add(s.cols);
    if (s.has_scale) add(s.cols);
    if (s.has_shift) add(s.cols);
    beside(s.epilogue, s.rows, s.cols);
  }
  void operator()(const WindowSpec& s) {
    loop(s.batch, s.out_batch).loop(s.oh, s.out_row).loop(s.ow, s.out_col).add(s.c, stored_type(s.epilogue));
    loop(s.batch, s.in_batch).loop(s.ih, s.in_row).loop(s.iw, s.in_col).add(s.c);
    fused(s.epilogue, {s.batch, s.oh, s.ow, s.c});
    coordinates(s.even, s.ih, s.oh, s.stride_h, s.pad_top, s.kh, s.dilation_h, s.in_row);
    coordinates(s.even, s.iw, s.ow, s.stride_w, s.pad_left, s.kw, s.dilation_w, s.in_col);
    count(times(s.kh, s.kw));
  }
  void operator()(const GatherSpec& s) {
    along(s.dims, s.out).add(s.slice, s.dtype);
    along(s.dims, s.table);
    if (s.rounded)
      extent(rounded_words(s.slice, s.rows));
    else
      loop(s.rows, s.table_row).add(s.slice, s.dtype);
    along(s.dims, s.index).add(1, s.index_dtype);
    add(1);
  }
  void operator()(const AttentionSpec& s) {
    const ContractionSpec &q = s.scores, &v = s.values;
    const int64_t early = q.n - s.late;
    along(q.batch, v.c_batch).loop(q.ow, v.c_col).add(v.n);
    along(q.batch, q.a_batch).loop(q.ow, q.a_col).add(q.k);
    if (s.k_row) {
      along(q.batch, q.b_batch).loop(early, s.k_row).add(q.k);
      along(q.batch, v.b_batch).loop(early, s.v_row).add(v.n);
    } else {
      packed(q);
      packed(v);
    }
    if (s.late) {
      along(q.batch, s.late_k_batch).loop(s.late, s.late_k_row).add(q.k);
      along(q.batch, s.late_v_batch).loop(s.late, s.late_v_row).add(v.n);
    }
    fused(q.epilogue, {q.batch[0], q.batch[1], 1, q.ow, q.n});
  }
  void operator()(const InvertedResidualSpec& s) {
    const ContractionSpec &e = s.expand, &p = s.project;
    const DepthwiseSpec& d = s.depthwise;
    loop(p.batch[0], p.c_batch[0]).loop(p.oh, p.c_row).loop(p.ow, p.c_col).add(p.n, stored_type(p.epilogue));
    loop(e.batch[0], e.a_batch[0]).loop(e.oh, e.a_row).loop(e.ow, e.a_col).add(e.k);
    extent(packed_size(e.k, e.n));
    add(times(times(d.kh, d.kw), d.c));
    extent(packed_size(p.k, p.n));
    fused(e.epilogue, {e.batch[0], 1, e.oh, e.ow, e.n});
    fused(d.epilogue, {d.batch, d.oh, d.ow, d.c});
    fused(p.epilogue, {p.batch[0], 1, p.oh, p.ow, p.n});
  }
  void operator()(const ScanSpec& s) {
    if (s.has_out) along(s.dims, s.out).loop(s.count, s.out_step).add(1, s.dtype);
    if (s.has_index) along(s.dims, s.index).loop(s.count, s.index_step).add(1, DType::i64);
    along(s.dims, s.in).loop(s.count, s.in_step).add(1, s.dtype);
    fits_ = fits_ && (s.has_out || s.has_index);
  }
  void operator()(const ScatterSpec& s) {
    for (int i = 0; i < 2; ++i) along(s.dims, s.out).loop(s.rows, s.out_row).add(1, s.dtype);
    along(s.dims, s.index).along(s.serial, s.serial_index).add(1, s.index_dtype);
    along(s.dims, s.updates).along(s.serial, s.serial_updates).add(1, s.dtype);
    add(1);
  }
  void operator()(const SortSpec& s) {
    if (s.has_values) along(s.dims, s.values).loop(s.taken, s.values_step).add(1, s.dtype);
    if (s.has_indices) along(s.dims, s.indices).loop(s.taken, s.indices_step).add(1, DType::i64);
    along(s.dims, s.in).loop(s.count, s.in_step).add(1, s.dtype);
    fits_ = fits_ && s.first >= 0 && s.first <= s.count - s.taken && (s.has_values || s.has_indices);
  }
  void operator()(const TapsSpec& s) {
    const int64_t table = times(s.taps, s.count);
    along(s.dims, s.out).loop(s.count, s.out_step).add(1, stored_type(s.epilogue, s.dtype));
    along(s.dims, s.in).add(1, s.dtype);
    add(table);
    if (s.weighted) add(table);
    beside(s.epilogue, s.dims, s.count);
    count(table);
  }

 private:
  /// So many rounds, each `stride` elements from the last.
  Touch& loop(int64_t rounds, int64_t stride) {
    count(rounds);
    int64_t& end = stride < 0 ? next_.begin : next_.end;
    end = plus(end, times(rounds - 1, stride));
    if (rounds > 1) steps_.push_back({stride < 0 ? -stride : stride, rounds});
    return *this;
  }
  Touch& loops(const int64_t* rounds, size_t n, const int64_t* strides, size_t m) {
    fits_ = fits_ && n == m;
    for (size_t i = 0; fits_ && i < n; ++i) loop(rounds[i], strides[i]);
    return *this;
  }
  template <class T>
  Touch& along(const T& rounds, const T& strides) {
    return loops(rounds.data(), rounds.size(), strides.data(), strides.size());
  }
  /// An operand that is moved by the loops so far, with `run` neighbours in each round.
  void add(int64_t run, DType type = DType::f32) {
    count(run);
    const int64_t bytes = size_of(type);
    spans_.push_back({times(next_.begin, bytes), times(plus(next_.end, run), bytes), leave_gaps(run)});
    next_ = {};
    steps_.clear();
  }
  /// Whether the loops so far, over runs of neighbours, pass over elements: some step is longer than what the shorter
  /// ones cover together.
  bool leave_gaps(int64_t run) {
    std::sort(steps_.begin(), steps_.end());
    for (const auto& [step, rounds] : steps_) {
      if (step > run) return true;
      run = plus(run, times(rounds - 1, step));
    }
    return false;
  }
  void packed(const ContractionSpec& s) {
    PackSpec b;
    b.taps = times(s.kh, s.kw), b.k = s.k, b.n = s.n;
    if (s.winograd) b.stride = stride_in_taps(s);
    along(s.batch, s.b_batch).extent(packed_elements(b, schedule_));
  }
  void fused(const Epilogue& epilogue, std::initializer_list<int64_t> rounds) {
    for (const FusedOperand& o : epilogue.operands)
      loops(rounds.begin(), rounds.size(), o.strides.data(), o.strides.size()).add(1, o.dtype);
  }
  void extent(int64_t elements) { add(elements); }
  /// The last stride is that of the rounds beside the dims.
  void beside(const Epilogue& epilogue, std::vector<int64_t> dims, int64_t rounds) {
    dims.push_back(rounds);
    for (const FusedOperand& o : epilogue.operands) along(dims, o.strides).add(1, o.dtype);
  }
  /// What windows compute with along a dim.
  void coordinates(bool even, int64_t in, int64_t out, int64_t stride, int64_t pad, int64_t taps, int64_t dilation,
                   int64_t in_stride) {
    const int64_t reach = times(taps, dilation), last = plus(times(out - 1, stride), plus(in, pad));
    count(even ? times(plus(out, 1), in) : plus(last, reach));
    const int64_t taps_reach = times(reach, in_stride);
    fits_ = fits_ && taps_reach < INT64_MAX / 64 && taps_reach > INT64_MIN / 64;
  }
  void count(int64_t n) { fits_ = fits_ && n >= 1 && n <= most_; }

  const Schedule& schedule_;
  int64_t most_;
  Span next_;
  std::vector<std::pair<int64_t, int64_t>> steps_;  ///< of the loops so far: how long, how many rounds
  bool fits_ = true;
  std::vector<Span> spans_;
};

}  // namespace

std::vector<Span> touched(const KernelSpec& spec, const Schedule& schedule, int64_t most) {
  Touch touch(schedule, most);
  std::visit(touch, spec);
  return touch.take();
}

}  // namespace kiln
