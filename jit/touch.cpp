#include "jit/touch.h"

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "support/checked.h"

namespace kiln {
namespace {

using Sizes = std::vector<int64_t>;
using Pair = std::array<int64_t, 2>;

constexpr int64_t kF = 4;  // bytes of a float

bool countable(int64_t n) { return n >= 1 && n <= INT32_MAX; }

class Touch {
 public:
  explicit Touch(const Schedule& schedule) : schedule_(schedule) {}
  std::vector<Span> take() { return std::move(spans_); }

  void operator()(const ContractionSpec& s) {
    const Sizes pixels{s.batch[0], s.batch[1], s.oh, s.ow, s.n};
    loops(pixels, {s.c_batch[0], s.c_batch[1], s.c_row, s.c_col, 1}, size_of(stored_type(s.epilogue)));
    loops({s.batch[0], s.batch[1], s.oh, s.ow, s.kh, s.kw, s.k},
          {s.a_batch[0], s.a_batch[1], s.a_row, s.a_col, s.a_tap_row, s.a_tap_col, 1});
    if (s.rounded)
      run(rounded_words(s.k, s.n));
    else if (s.b_row)
      loops({s.n, s.k}, {s.b_row, 1});
    else
      packed(s);
    fused(s.epilogue, pixels);
    counts(times(s.oh, s.ow));
  }
  void operator()(const PackSpec& s) {
    const int64_t rows = times(s.n, rounded_row(s.k));
    if (s.scales)
      spans_.push_back({0, times(std::max(rows, plus(s.scales, s.n)), kF)});
    else
      run(packed_elements(s, schedule_));
    loops({s.batch[0], s.batch[1], s.taps, s.k, s.n}, {s.src_batch[0], s.src_batch[1], s.src_tap, s.src_k, s.src_n});
  }
  void operator()(const DepthwiseSpec& s) {
    const Sizes pixels{s.batch, s.oh, s.ow, s.c};
    loops(pixels, {s.out_batch, s.out_row, s.out_col, 1}, size_of(stored_type(s.epilogue)));
    loops({s.batch, s.oh, s.ow, s.kh, s.kw, s.c}, {s.in_batch, s.in_row, s.in_col, s.in_tap_row, s.in_tap_col, 1});
    run(times(times(s.kh, s.kw), s.c));
    fused(s.epilogue, pixels);
  }
  void operator()(const MapSpec& s) {
    loops(s.dims, s.out.strides, size_of(s.out.dtype));
    for (const StridedOperand& o : s.inputs) loops(s.dims, o.strides, size_of(o.dtype));
  }
  void operator()(const ReduceSpec& s) {
    loops(s.kept, s.out_kept, size_of(stored_type(s.epilogue, s.out_dtype)));
    loops(joined(s.kept, s.reduced), joined(s.in_kept, s.in_reduced), size_of(s.dtype));
    fused(s.epilogue, s.kept);
    counts(product(s.reduced));
  }
  void operator()(const NormSpec& s) {
    const Sizes elements = joined(s.rows, {s.cols});
    loops(elements, joined(s.out_rows, {1}), size_of(stored_type(s.epilogue)));
    loops(elements, joined(s.in_rows, {1}));
    if (s.has_scale) run(s.cols);
    if (s.has_shift) run(s.cols);
    fused(s.epilogue, elements);
  }
  void operator()(const WindowSpec& s) {
    const Sizes pixels{s.batch, s.oh, s.ow, s.c};
    loops(pixels, {s.out_batch, s.out_row, s.out_col, 1}, size_of(stored_type(s.epilogue)));
    loops({s.batch, s.ih, s.iw, s.c}, {s.in_batch, s.in_row, s.in_col, 1});
    fused(s.epilogue, pixels);
    const auto reach = [](int64_t in, int64_t out, int64_t stride, int64_t pad, int64_t taps, int64_t dilation) {
      return plus(plus(in, pad), plus(times(out - 1, stride), times(taps, dilation)));
    };
    counts(s.even ? times(s.oh + 1, s.ih) : reach(s.ih, s.oh, s.stride_h, s.pad_top, s.kh, s.dilation_h));
    counts(s.even ? times(s.ow + 1, s.iw) : reach(s.iw, s.ow, s.stride_w, s.pad_left, s.kw, s.dilation_w));
    counts(times(s.kh, s.kw));
  }
  void operator()(const GatherSpec& s) {
    loops({s.outer, s.count, s.slice}, {s.out_outer, s.out_row, 1}, size_of(s.dtype));
    if (s.rounded)
      run(rounded_words(s.slice, s.rows));
    else
      loops({s.outer, s.rows, s.slice}, {s.table_outer, s.table_row, 1}, size_of(s.dtype));
    loops({s.count}, {s.index_stride}, size_of(s.index_dtype));
    run(1);
  }
  void operator()(const AttentionSpec& s) {
    const ContractionSpec &q = s.scores, &v = s.values;
    const int64_t early = q.n - s.late;
    const auto of_batches = [&](const Pair& strides, int64_t rows, int64_t row, int64_t columns) {
      loops({q.batch[0], q.batch[1], rows, columns}, {strides[0], strides[1], row, 1});
    };
    of_batches(v.c_batch, q.ow, v.c_col, v.n);
    of_batches(q.a_batch, q.ow, q.a_col, q.k);
    if (s.k_row) {
      of_batches(q.b_batch, early, s.k_row, q.k);
      of_batches(v.b_batch, early, s.v_row, v.n);
    } else {
      packed(q);
      packed(v);
    }
    if (s.late) {
      of_batches(s.late_k_batch, s.late, s.late_k_row, q.k);
      of_batches(s.late_v_batch, s.late, s.late_v_row, v.n);
    }
    fused(q.epilogue, {q.batch[0], q.batch[1], 1, q.ow, q.n});
  }
  void operator()(const InvertedResidualSpec& s) {
    const ContractionSpec &e = s.expand, &p = s.project;
    const DepthwiseSpec& d = s.depthwise;
    const Sizes projected{p.batch[0], 1, p.oh, p.ow, p.n};
    loops(projected, {p.c_batch[0], 0, p.c_row, p.c_col, 1}, size_of(stored_type(p.epilogue)));
    loops({e.batch[0], e.oh, e.ow, e.k}, {e.a_batch[0], e.a_row, e.a_col, 1});
    run(packed_size(e.k, e.n));
    run(times(times(d.kh, d.kw), d.c));
    run(packed_size(p.k, p.n));
    fused(e.epilogue, {e.batch[0], 1, e.oh, e.ow, e.n});
    fused(d.epilogue, {d.batch, d.oh, d.ow, d.c});
    fused(p.epilogue, projected);
  }
  void operator()(const ScanSpec& s) {
    const Sizes elements = joined(s.dims, {s.count});
    loops(elements, joined(s.out, {s.out_step}), size_of(s.dtype));
    loops(elements, joined(s.in, {s.in_step}), size_of(s.dtype));
  }
  void operator()(const TapsSpec& s) {
    const Sizes elements = joined(s.dims, {s.count});
    loops(elements, joined(s.out, {s.out_step}), size_of(stored_type(s.epilogue, s.dtype)));
    loops(s.dims, s.in, size_of(s.dtype));
    const int64_t table = times(s.taps, s.count);
    run(table);
    if (s.weighted) run(table);
    fused(s.epilogue, elements);
    counts(table);
  }

 private:
  static Sizes joined(Sizes a, const Sizes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  static int64_t product(const Sizes& sizes) {
    int64_t n = 1;
    for (const int64_t size : sizes) n = times(n, size);
    return n;
  }
  /// A nest of loops that moves by so many elements of `bytes`; in each round `run` neighbours.
  void loops(const Sizes& counts, const Sizes& strides, int64_t bytes = kF, int64_t run = 1) {
    Span s{0, run};
    bool fits = counts.size() == strides.size() && run >= 1;
    for (size_t i = 0; fits && i < counts.size(); ++i) {
      fits = countable(counts[i]);
      int64_t& end = strides[i] < 0 ? s.begin : s.end;
      end = plus(end, times(counts[i] - 1, strides[i]));
    }
    spans_.push_back(fits ? Span{times(s.begin, bytes), times(s.end, bytes)} : kAnywhere);
  }
  void run(int64_t elements) { loops({}, {}, kF, elements); }
  void packed(const ContractionSpec& s) {
    PackSpec b;
    b.taps = s.kh * s.kw, b.k = s.k, b.n = s.n;
    if (s.winograd) b.stride = stride_in_taps(s);
    loops({s.batch[0], s.batch[1]}, {s.b_batch[0], s.b_batch[1]}, kF, packed_elements(b, schedule_));
  }
  void fused(const Epilogue& epilogue, const Sizes& elements) {
    for (const FusedOperand& o : epilogue.operands) loops(elements, o.strides, size_of(o.dtype));
  }
  /// What is counted in one go.
  void counts(int64_t n) {
    if (!countable(n)) spans_[0] = kAnywhere;
  }

  const Schedule& schedule_;
  std::vector<Span> spans_;
};

}  // namespace

std::vector<Span> touched(const KernelSpec& spec, const Schedule& schedule) {
  Touch touch(schedule);
  std::visit(touch, spec);
  return touch.take();
}

}  // namespace kiln
