// Pooling, channels last: windows are clipped to the image at run time, vectors run over channels.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/cascade.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;
/// A whole window of up to so many taps is straight-line code.
constexpr int64_t kUnrolledTaps = 16;
/// Vectors of channels that go through such a window, or through the loops over the taps of any other, together.
constexpr int64_t kInside = 2, kClipped = 4;

const WindowSpec& spec_of(const KernelSpec& spec) { return *std::get_if<WindowSpec>(&spec); }

class WindowEmitter {
 public:
  WindowEmitter(Emitter& emitter, const WindowSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        fused_(s_.epilogue.operands.size()),
        out_type_(stored_type(s_.epilogue)) {}

  /// Units are output rows.
  Func emit() {
    const bool unrolled = s_.kh * s_.kw <= kUnrolledTaps;
    const Func clipped = emit_pixel(false);
    const Func inside = unrolled ? emit_pixel(true) : clipped;
    const Func f = e_.begin_function(name_, static_cast<int>(5 + fused_));
    const Int y = e_.integer(), x = e_.integer(), at = e_.integer();
    const Int y0 = e_.integer(), ny = e_.integer(), x0 = e_.integer(), nx = e_.integer(), taps = e_.integer();
    UnitOperands operands(e_, {s_.batch, s_.oh});
    operands.add(3, size_of(out_type_), {s_.out_batch, s_.out_row});
    operands.add(4, kF, {s_.in_batch});
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      operands.add(static_cast<int>(5 + i), size_of(o.dtype), {o.strides[0], o.strides[1]});
    }
    const std::vector<Int>& p = operands.pointers;
    for_units(e_, [&](Int unit) {
      operands.at(unit);
      e_.op(IntOp::rem, y, unit, s_.oh);
      s_.even ? share(y, s_.oh, s_.ih, y0, ny) : clip(y, s_.stride_h, s_.pad_top, s_.dilation_h, s_.kh, s_.ih, y0, ny);
      e_.op(IntOp::mul, at, y0, s_.in_row * kF);
      add(e_, p[1], p[1], at);
      e_.for_range(x, 0, s_.ow, 1, [&] {
        s_.even ? share(x, s_.ow, s_.iw, x0, nx)
                : clip(x, s_.stride_w, s_.pad_left, s_.dilation_w, s_.kw, s_.iw, x0, nx);
        e_.op(IntOp::mul, at, x0, s_.in_col * kF);
        add(e_, at, at, p[1]);
        std::vector<Arg> args{p[0], at, ny, nx};
        for (size_t i = 0; i < fused_; ++i) args.emplace_back(p[2 + i]);
        e_.op(IntOp::mul, taps, ny, nx);
        if (unrolled)
          e_.if_(
              taps, Compare::eq, s_.kh * s_.kw, [&] { e_.call(inside, args); }, [&] { e_.call(clipped, args); });
        else
          e_.call(clipped, args);
        add(e_, p[0], p[0], s_.out_col * size_of(out_type_));
        for (size_t i = 0; i < fused_; ++i) {
          const FusedOperand& o = s_.epilogue.operands[i];
          add(e_, p[2 + i], p[2 + i], o.strides[2] * size_of(o.dtype));
        }
      });
    });
    e_.end_function();
    return f;
  }

 private:
  /// The first tap inside the image, as a coordinate in it, and how many taps are inside.
  void clip(Int out, int64_t stride, int64_t pad, int64_t dilation, int64_t taps, int64_t extent, Int first,
            Int count) {
    const Int start = e_.integer(), lo = e_.integer();
    e_.op(IntOp::mul, start, out, stride);
    add(e_, start, start, -pad);
    e_.op(IntOp::sub, lo, 0, start);  // ceil(max(0, -start) / dilation)
    e_.op(IntOp::max, lo, lo, 0);
    add(e_, lo, lo, dilation - 1);
    e_.op(IntOp::div, lo, lo, dilation);
    e_.op(IntOp::sub, count, extent + dilation - 1, start);  // ceil((extent - start) / dilation)
    e_.op(IntOp::max, count, count, 0);
    e_.op(IntOp::div, count, count, dilation);
    e_.op(IntOp::min, count, count, taps);
    e_.op(IntOp::sub, count, count, lo);
    e_.op(IntOp::max, count, count, 0);
    e_.op(IntOp::mul, first, lo, dilation);
    add(e_, first, first, start);
    e_.op(IntOp::min, first, first, extent - 1);
    e_.op(IntOp::max, first, first, 0);
  }

  /// From ⌊out · extent / outs⌋ to before ⌈(out + 1) · extent / outs⌉.
  void share(Int out, int64_t outs, int64_t extent, Int first, Int count) {
    e_.op(IntOp::mul, first, out, extent);
    add(e_, count, first, extent + outs - 1);
    e_.op(IntOp::div, count, count, outs);
    e_.op(IntOp::div, first, first, outs);
    e_.op(IntOp::sub, count, count, first);
  }

  /// pixel(out, in, ny, nx, fused…): one output pixel, all channels. `inside`: the window has all of its
  /// taps.
  Func emit_pixel(bool inside) {
    const Func f = e_.begin_function(name_ + (inside ? "_inside" : "_clipped"), static_cast<int>(4 + fused_));
    const Int in = e_.param(1), ny = e_.param(2), nx = e_.param(3);
    const Vec divisor = e_.vec();
    if (s_.kind == WindowKind::average) {
      const int64_t fixed = s_.divisor ? s_.divisor : s_.divide_by_all || inside ? s_.kh * s_.kw : 0;
      if (fixed) {
        e_.splat(divisor, static_cast<float>(fixed));
      } else {
        const Int n = e_.integer();
        e_.op(IntOp::mul, n, ny, nx);
        e_.splat_int(divisor, n);
        e_.op(VecUnary::i32_to_f32, divisor, divisor);
      }
    }
    std::vector<Int> p{e_.param(0), in};
    std::vector<int64_t> steps{size_of(out_type_), kF};
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      p.push_back(e_.param(static_cast<int>(4 + i)));
      steps.push_back(o.strides[3] * size_of(o.dtype));
    }
    const int64_t chunk = (inside ? kInside : kClipped) * e_.width();
    const auto channels = [&](int64_t count) {
      std::vector<int> lanes;
      for (int64_t c = 0; c < count; c += e_.width())
        lanes.push_back(static_cast<int>(std::min<int64_t>(e_.width(), count - c)));
      const std::vector<Vec> folded = inside ? fold_inside(in, lanes) : fold_clipped(in, lanes, ny, nx);
      for (size_t i = 0; i < lanes.size(); ++i)
        store(folded[i], divisor, static_cast<int64_t>(i) * e_.width(), lanes[i], p, steps);
    };
    const Int round = e_.integer();
    e_.for_range(round, 0, s_.c / chunk, 1, [&] {
      channels(chunk);
      for (size_t i = 0; i < p.size(); ++i)
        if (steps[i]) add(e_, p[i], p[i], steps[i] * chunk);
    });
    if (s_.c % chunk) channels(s_.c % chunk);
    e_.end_function();
    return f;
  }

  /// The pointers stand at the first channel of those that go together; `c` counts from there.
  void store(Vec v, Vec divisor, int64_t c, int lanes, const std::vector<Int>& p, const std::vector<int64_t>& steps) {
    if (s_.kind == WindowKind::average) e_.op(VecBinary::div, v, v, divisor);
    v = apply_epilogue(e_, s_.epilogue, v, lanes, [&](int k) {
      const auto i = static_cast<size_t>(k) + 2;
      return Mem{p[i], c * steps[i]};
    });
    e_.store({p[0], c * steps[0]}, v, out_type_, lanes);
  }

  std::vector<Vec> fold_inside(Int in, const std::vector<int>& lanes) {
    std::vector<Vec> folded;
    const Vec x = e_.vec(), unordered = e_.vec();
    for (size_t n = 0; n < lanes.size(); ++n) {
      const Vec acc = e_.vec(), nan = e_.vec();
      for (int64_t i = 0; i < s_.kh; ++i) {
        for (int64_t j = 0; j < s_.kw; ++j) {
          const bool first = i + j == 0;
          const int64_t tap = i * s_.dilation_h * s_.in_row + j * s_.dilation_w * s_.in_col;
          e_.load(first ? acc : x, {in, (tap + static_cast<int64_t>(n) * e_.width()) * kF}, DType::f32, lanes[n]);
          combine(acc, x, nan, unordered, first);
        }
      }
      folded.push_back(finish(acc, nan));
    }
    return folded;
  }
  std::vector<Vec> fold_clipped(Int in, const std::vector<int>& lanes, Int ny, Int nx) {
    const Vec x = e_.vec(), unordered = e_.vec();
    const Int row = e_.integer(), at = e_.integer();
    std::vector<Vec> acc, nan;
    for (size_t n = 0; n < lanes.size(); ++n) {
      e_.splat(acc.emplace_back(e_.vec()), s_.kind == WindowKind::max ? -__builtin_inff() : 0.0f);
      e_.splat_i32(nan.emplace_back(e_.vec()), 0);
    }
    e_.set(row, in);
    const Cascade sums(e_, s_.kind == WindowKind::average ? acc : std::vector<Vec>{});
    sums.loop(ny, s_.kh, sums.terms_after(s_.kw, 1), [&] {
      e_.set(at, row);
      sums.loop(nx, s_.kw, 1, [&] {
        for (size_t n = 0; n < lanes.size(); ++n) {
          e_.load(x, {at, static_cast<int64_t>(n) * e_.width() * kF}, DType::f32, lanes[n]);
          combine(acc[n], x, nan[n], unordered, false);
        }
        add(e_, at, at, s_.dilation_w * s_.in_col * kF);
      });
      add(e_, row, row, s_.dilation_h * s_.in_row * kF);
    });
    for (size_t n = 0; n < lanes.size(); ++n) acc[n] = finish(acc[n], nan[n]);
    return acc;
  }
  /// A maximum loses a NaN. `nan` collects NaNs as masks of ones, which read as NaN. `first`: acc is the first element.
  void combine(Vec acc, Vec x, Vec nan, Vec unordered, bool first) {
    if (s_.kind == WindowKind::average) {
      if (!first) e_.op(VecBinary::add, acc, acc, x);
    } else if (first) {
      e_.compare(nan, Lane::f32, Compare::ne, acc, acc);
    } else {
      e_.op(VecBinary::max, acc, acc, x);
      e_.compare(unordered, Lane::f32, Compare::ne, x, x);
      e_.op(VecBinary::or_, nan, nan, unordered);
    }
  }
  Vec finish(Vec acc, Vec nan) {
    if (s_.kind == WindowKind::max) e_.op(VecBinary::or_, acc, acc, nan);
    return acc;
  }

  Emitter& e_;
  WindowSpec s_;
  std::string name_;
  size_t fused_;
  DType out_type_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) { return spec_of(spec).batch * spec_of(spec).oh; }
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return WindowEmitter(e, spec_of(spec), name).emit();
}

using Spec = WindowSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("kind", kind),
    KILN_FIELD("b", batch),
    KILN_FIELD("i", ih),
    KILN_FIELD(nullptr, iw),
    KILN_FIELD("o", oh),
    KILN_FIELD(nullptr, ow),
    KILN_FIELD(nullptr, c),
    KILN_FIELD("k", kh),
    KILN_FIELD(nullptr, kw),
    KILN_FIELD("st", stride_h),
    KILN_FIELD(nullptr, stride_w),
    KILN_FIELD("di", dilation_h),
    KILN_FIELD(nullptr, dilation_w),
    KILN_FIELD("p", pad_top),
    KILN_FIELD(nullptr, pad_left),
    KILN_FIELD("div", divide_by_all),
    KILN_FIELD(nullptr, divisor),
    KILN_FIELD(nullptr, even),
    KILN_FIELD("si", in_batch),
    KILN_FIELD(nullptr, in_row),
    KILN_FIELD(nullptr, in_col),
    KILN_FIELD("so", out_batch),
    KILN_FIELD(nullptr, out_row),
    KILN_FIELD(nullptr, out_col),
    KILN_EPILOGUE,
};
constexpr FieldList kFields = list_of("window", kFieldList);

/// What windows compute with along a dim.
void coordinates(Operands& o, bool even, int64_t in, int64_t out, int64_t stride, int64_t pad, int64_t taps,
                 int64_t dilation, int64_t in_stride) {
  const int64_t reach = times(taps, dilation), last = plus(times(out - 1, stride), plus(in, pad));
  o.count(even ? times(plus(out, 1), in) : plus(last, reach));
  const int64_t taps_reach = times(reach, in_stride);
  o.require(taps_reach < INT64_MAX / 64 && taps_reach > INT64_MIN / 64);
}

void operands(const KernelSpec& spec, Operands& o) {
  const WindowSpec& s = spec_of(spec);
  o.writes("out", stored_type(s.epilogue));
  o.loop(s.batch, s.out_batch).loop(s.oh, s.out_row).loop(s.ow, s.out_col).run(s.c);
  o.reads("in").loop(s.batch, s.in_batch).loop(s.ih, s.in_row).loop(s.iw, s.in_col).run(s.c);
  o.fused(s.epilogue, {s.batch, s.oh, s.ow, s.c});
  coordinates(o, s.even, s.ih, s.oh, s.stride_h, s.pad_top, s.kh, s.dilation_h, s.in_row);
  coordinates(o, s.even, s.iw, s.ow, s.stride_w, s.pad_left, s.kw, s.dilation_w, s.in_col);
  o.count(times(s.kh, s.kw));
}

Work work(const KernelSpec& spec) {
  const WindowSpec& s = spec_of(spec);
  const double out = static_cast<double>(s.batch * s.oh * s.ow * s.c);
  return {out * static_cast<double>(s.kh * s.kw), 4 * (out + static_cast<double>(s.batch * s.ih * s.iw * s.c))};
}

}  // namespace

const Family kWindowFamily{"window", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
