// Depthwise convolution, channels last: a tile of output pixels in registers, vectors over channels, one tap at a time.
#include "jit/kernels/depthwise.h"

#include <algorithm>
#include <map>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;

const DepthwiseSpec& spec_of(const KernelSpec& spec) { return *std::get_if<DepthwiseSpec>(&spec); }

/// From an input offset (of rows or columns, in elements) to the outputs that it contributes to, each with its tap.
struct Meeting {
  int64_t output, tap;
};
using Meetings = std::map<int64_t, std::vector<Meeting>>;
Meetings meetings(int64_t outputs, int64_t taps, int64_t stride, int64_t tap_stride) {
  Meetings all;
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t t = 0; t < taps; ++t) all[o * stride + t * tap_stride].push_back({o, t});
  return all;
}

/// The taps that `height` output rows hold in registers: those of a line that one input row meets in all its output
/// rows.
int64_t taps_at_once(const DepthwiseSpec& s, int64_t height, const Target& target) {
  size_t rows = 0;
  for (const auto& [at, outputs] : meetings(height, s.kh, s.in_row, s.in_tap_row))
    rows = std::max(rows, outputs.size());
  return static_cast<int64_t>(rows) * depthwise_line(s, target);
}

class DepthwiseEmitter {
 public:
  DepthwiseEmitter(Emitter& emitter, const DepthwiseSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        s_(spec),
        h_(schedule.tile_h),
        w_(schedule.tile_w),
        name_(std::move(name)),
        fused_(s_.epilogue.operands.size()),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit() {
    const Func rows = emit_rows(h_);
    const int64_t rest = s_.oh % h_;
    const Func last = rest ? emit_rows(rest) : rows;
    const int64_t row_blocks = ceil_div(s_.oh, h_);
    const Func f = e_.begin_function(name_, static_cast<int>(6 + fused_));
    UnitOperands operands(e_, {s_.batch, row_blocks});
    operands.add(3, size_of(out_type_), {s_.out_batch, s_.out_row * h_});
    operands.add(4, kF, {s_.in_batch, s_.in_row * h_});
    operands.add(5, kF);
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      operands.add(static_cast<int>(6 + i), size_of(o.dtype), {o.strides[0], o.strides[1] * h_});
    }
    const Int y = e_.integer();
    for_units(e_, [&](Int unit) {
      const std::vector<Arg> args = operands.at(unit);
      if (!rest) return e_.call(rows, args);
      e_.op(IntOp::rem, y, unit, row_blocks);
      e_.if_(
          y, Compare::lt, row_blocks - 1, [&] { e_.call(rows, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

  /// rows(out, in, w, fused…): `height` output rows.
  Func emit_rows(int64_t height) {
    const int64_t full = s_.ow / w_, rest = s_.ow % w_;
    Func whole{}, last{};
    if (full) whole = emit_tile(height, w_);
    if (rest) last = emit_tile(height, rest);
    const Func f = e_.begin_function(name_ + "_rows" + std::to_string(height), static_cast<int>(3 + fused_));
    const std::vector<Int> p = params();
    const std::vector<Arg> args(p.begin(), p.end());
    const std::vector<int64_t> steps = column_steps();
    const Int x = e_.integer();
    if (full) {
      e_.for_range(x, 0, full, 1, [&] {
        e_.call(whole, args);
        for (size_t i = 0; i < p.size(); ++i)
          if (steps[i]) add(e_, p[i], p[i], steps[i] * w_);
      });
    }
    if (rest) e_.call(last, args);
    e_.end_function();
    return f;
  }

 private:
  std::vector<Int> params() {
    std::vector<Int> p;
    for (int i = 0; i < static_cast<int>(3 + fused_); ++i) p.push_back(e_.param(i));
    return p;
  }
  /// Bytes from one output column to the next, per pointer (out, in, w, fused…).
  std::vector<int64_t> column_steps() const {
    std::vector<int64_t> steps{s_.out_col * size_of(out_type_), s_.in_col * kF, 0};
    for (const FusedOperand& o : s_.epilogue.operands) steps.push_back(o.strides[2] * size_of(o.dtype));
    return steps;
  }

  /// tile(out, in, w, fused…): height × width output pixels, all channels.
  Func emit_tile(int64_t height, int64_t width) {
    const Func f = e_.begin_function(name_ + "_tile" + std::to_string(height) + "x" + std::to_string(width),
                                     static_cast<int>(3 + fused_));
    const std::vector<Int> p = params();
    std::vector<int64_t> steps{size_of(out_type_), kF, kF};
    for (const FusedOperand& o : s_.epilogue.operands) steps.push_back(o.strides[3] * size_of(o.dtype));
    for_vectors(e_, s_.c, 1, p, steps, [&](int64_t c, int lanes) { emit_vector(height, width, c, lanes); });
    e_.end_function();
    return f;
  }

  /// Every input vector is loaded once, for all outputs and held taps that meet it. A line of taps is loaded once for
  /// each input row that needs it.
  void emit_vector(int64_t height, int64_t width, int64_t c, int lanes) {
    std::vector<Vec> acc(static_cast<size_t>(height * width));
    for (Vec& v : acc) e_.splat(v = e_.vec(), 0);
    const Vec x = e_.vec();
    const int64_t line = depthwise_line(s_, e_.target());
    std::vector<Vec> taps;
    for (int64_t i = 0; i < taps_at_once(s_, height, e_.target()); ++i) taps.push_back(e_.vec());
    const auto tap = [&](size_t row, int64_t kx) {
      return taps[row * static_cast<size_t>(line) + static_cast<size_t>(kx)];
    };
    const auto move = [&](int64_t columns) {
      add(e_, e_.param(1), e_.param(1), columns * s_.in_tap_col * kF);
      add(e_, e_.param(2), e_.param(2), columns * s_.c * kF);
    };
    const Int part = e_.integer();
    const int64_t parts = s_.kw / line, rest = s_.kw % line;
    for (const auto& [row, outputs] : meetings(height, s_.kh, s_.in_row, s_.in_tap_row)) {
      const auto multiply = [&, &row = row, &outputs = outputs](int64_t held) {
        for (size_t i = 0; i < outputs.size(); ++i)
          for (int64_t kx = 0; kx < held; ++kx)
            e_.load(tap(i, kx), {e_.param(2), ((outputs[i].tap * s_.kw + kx) * s_.c + c) * kF}, DType::f32, lanes);
        for (const auto& [column, across] : meetings(width, held, s_.in_col, s_.in_tap_col)) {
          e_.load(x, {e_.param(1), (row + column + c) * kF}, DType::f32, lanes);
          for (size_t i = 0; i < outputs.size(); ++i)
            for (const Meeting& m : across) {
              const Vec a = acc[static_cast<size_t>(outputs[i].output * width + m.output)];
              e_.madd(a, x, tap(i, m.tap), a);
            }
        }
      };
      if (parts == 1 && !rest) {
        multiply(line);
        continue;
      }
      e_.for_range(part, 0, parts, 1, [&] {
        multiply(line);
        move(line);
      });
      if (rest) multiply(rest);
      move(-parts * line);
    }
    for (int64_t i = 0; i < height * width; ++i) {
      const auto at = [&](int64_t row, int64_t col, int64_t channel) {
        return (i / width) * row + (i % width) * col + channel * c;
      };
      const Vec v = apply_epilogue(e_, s_.epilogue, acc[static_cast<size_t>(i)], lanes, [&](int k) {
        const FusedOperand& o = s_.epilogue.operands[static_cast<size_t>(k)];
        return Mem{e_.param(3 + k), at(o.strides[1], o.strides[2], o.strides[3]) * size_of(o.dtype)};
      });
      e_.store({e_.param(0), at(s_.out_row, s_.out_col, 1) * size_of(out_type_)}, v, out_type_, lanes);
    }
  }

  Emitter& e_;
  DepthwiseSpec s_;
  int64_t h_, w_;
  std::string name_;
  size_t fused_;
  DType out_type_;
};

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  return spec_of(spec).batch * ceil_div(spec_of(spec).oh, schedule.tile_h);
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec& spec, const Schedule& s, const Target& t) {
  if (s.tile_h < 1 || s.tile_w < 1) return false;
  return s.tile_h * s.tile_w + 1 + taps_at_once(spec_of(spec), s.tile_h, t) + (t.fma ? 0 : 1) <= t.vector_registers;
}
Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  return DepthwiseEmitter(e, spec_of(spec), schedule, name).emit();
}

}  // namespace

int64_t depthwise_line(const DepthwiseSpec& spec, const Target& target) {
  return ceil_div(spec.kw, ceil_div(spec.kw, target.vector_registers / 2));
}

Func emit_depthwise_row(Emitter& e, const DepthwiseSpec& spec, const Schedule& schedule, const std::string& name) {
  return DepthwiseEmitter(e, spec, schedule, name).emit_rows(1);
}

namespace {

using Spec = DepthwiseSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("b", batch),
    KILN_FIELD("o", oh),
    KILN_FIELD(nullptr, ow),
    KILN_FIELD(nullptr, c),
    KILN_FIELD("k", kh),
    KILN_FIELD(nullptr, kw),
    KILN_FIELD("i", in_batch),
    KILN_FIELD(nullptr, in_row),
    KILN_FIELD(nullptr, in_col),
    KILN_FIELD(nullptr, in_tap_row),
    KILN_FIELD(nullptr, in_tap_col),
    KILN_FIELD("c", out_batch),
    KILN_FIELD(nullptr, out_row),
    KILN_FIELD(nullptr, out_col),
    KILN_EPILOGUE,
};

void operands(const KernelSpec& spec, Operands& o) {
  const DepthwiseSpec& s = spec_of(spec);
  o.writes("out", stored_type(s.epilogue));
  o.loop(s.batch, s.out_batch).loop(s.oh, s.out_row).loop(s.ow, s.out_col).run(s.c);
  o.reads("in").loop(s.batch, s.in_batch).loop(s.oh, s.in_row).loop(s.ow, s.in_col);
  o.loop(s.kh, s.in_tap_row).loop(s.kw, s.in_tap_col).run(s.c);
  o.reads("w").run(times(times(s.kh, s.kw), s.c));
  o.fused(s.epilogue, {s.batch, s.oh, s.ow, s.c});
}

Work work(const KernelSpec& spec) { return work_of(spec_of(spec)); }

}  // namespace

const FieldList kDepthwiseFields = list_of("depthwise", kFieldList);

Work work_of(const DepthwiseSpec& s) {
  const double out = static_cast<double>(s.batch * s.oh * s.ow * s.c);
  return {2 * out * static_cast<double>(s.kh * s.kw), 8 * out};
}

const Family kDepthwiseFamily{"depthwise", &kDepthwiseFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
