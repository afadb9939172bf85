#include "jit/kernels/contraction.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/dots.h"
#include "jit/kernels/families.h"
#include "jit/kernels/int16.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/strassen.h"
#include "jit/kernels/winograd.h"
#include "jit/kernels/winograd_transform.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {

bool tile_fits(const Schedule& s, const Target& t) {
  if (s.mr < 1 || s.nv < 1 || s.unroll < 1 || tile_columns(s, t) > 16 * t.width) return false;
  if (s.algorithm != Algorithm::strassen && s.mc % s.mr) return false;
  // accumulators, a row of B (one row of A needs a vector of it at a time), one of A; without a fused multiply-add the
  // product needs a register as well
  const bool fused = t.fma && s.algorithm != Algorithm::int16;
  return s.mr * s.nv + (s.mr == 1 ? 1 : s.nv) + 1 + (fused ? 0 : 1) <= t.vector_registers;
}

Schedule row_schedule(int64_t n, const Target& target) {
  const int64_t vectors = ceil_div(n, target.width), most = std::min(12, target.vector_registers - 3);
  Schedule s;
  s.mr = 1, s.nv = static_cast<uint8_t>(ceil_div(vectors, ceil_div(vectors, most))), s.unroll = 4;
  return s;
}

ContractionSpec flattened(const ContractionSpec& spec) {
  ContractionSpec s = spec;
  bool uniform = s.oh == 1 || (s.a_row == s.ow * s.a_col && s.c_row == s.ow * s.c_col);
  for (const FusedOperand& o : s.epilogue.operands)
    uniform = uniform && (s.oh == 1 || o.strides[2] == s.ow * o.strides[3]);
  if (uniform) {
    s.ow *= s.oh;
    s.oh = 1;
    return s;
  }
  // A tile that wraps would go back with an operand that is broadcast over rows or transposed: each row is a batch of
  // its own then.
  const auto ahead = [&](int64_t row, int64_t col) { return row >= (s.ow - 1) * col; };
  bool wraps = ahead(s.a_row, s.a_col) && ahead(s.c_row, s.c_col);
  for (const FusedOperand& o : s.epilogue.operands) wraps = wraps && ahead(o.strides[2], o.strides[3]);
  const size_t free = s.batch[0] == 1 ? 0 : 1;
  if (wraps || s.batch[free] != 1) return s;
  s.batch[free] = s.oh;
  s.a_batch[free] = s.a_row, s.b_batch[free] = 0, s.c_batch[free] = s.c_row;
  for (FusedOperand& o : s.epilogue.operands) o.strides[free] = o.strides[2];
  s.oh = 1;
  return s;
}

namespace {

constexpr int64_t kF = 4;  // bytes of a float

int64_t rows_of(const ContractionSpec& s) { return s.oh * s.ow; }
int64_t block_rows(const ContractionSpec& s, const Schedule& schedule) {
  return schedule.mc ? schedule.mc : round_up(rows_of(s), schedule.mr);
}
int64_t blocks(const ContractionSpec& s, const Schedule& schedule) {
  return ceil_div(rows_of(s), block_rows(s, schedule));
}

class ContractionEmitter {
 public:
  ContractionEmitter(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        source_(flattened(spec)),
        int16_(schedule.algorithm == Algorithm::int16),
        s_(int16_ ? int16_product(source_) : source_),
        schedule_(schedule),
        name_(std::move(name)),
        nr_(tile_columns(schedule, e_.target())),
        m_(rows_of(s_)),
        panel_row_(s_.b_k ? 1 : s_.kh * s_.kw * s_.k),
        own_(source_.epilogue.operands.size()),
        fused_(s_.epilogue.operands.size()),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit() {
    if (int16_) rows_ = emit_int16_rows(e_);
    const int64_t full = s_.n / nr_, tail = s_.n % nr_;
    Func whole{}, last{};
    const auto shared = [&](size_t i) { return s_.batch[i] == 1 || s_.b_batch[i] == 0; };
    const bool weights = shared(0) && shared(1) && !s_.b_k;
    if (weights) ahead_ = ahead_tiles(s_, schedule_, e_.target(), panel_row_ * s_.n * kF);
    if (full) whole = emit_panel(e_, s_, schedule_, name_, nr_, ahead_);
    if (tail) last = emit_panel(e_, s_, schedule_, name_, tail);
    return emit_entry(full, whole, last);
  }

 private:
  // -- the share of a thread: units (batch, block, panel) or (batch, panel, block)
  // ---------------------------------------------
  Func emit_entry(int64_t full, Func whole, Func last) {
    const int64_t panels = ceil_div(s_.n, nr_), mb = blocks(s_, schedule_), mc = block_rows(s_, schedule_);
    const Func f = e_.begin_function(name_, static_cast<int>(6 + own_));
    const Int unit = e_.param(0), end = e_.param(1);
    const Int p = e_.integer(), block = e_.integer(), b0 = e_.integer(), b1 = e_.integer(), t = e_.integer(),
              y = e_.integer(), x = e_.integer();
    const Int count = e_.integer(), rest = e_.integer();
    std::vector<Int> at(3 + fused_);
    for (Int& r : at) r = e_.integer();
    e_.if_(unit, Compare::lt, end, [&] {
      e_.do_while(
          [&] {
            const bool rows_outer = schedule_.order == LoopOrder::rows_outer;
            split(unit, rows_outer ? p : block, rows_outer ? panels : mb, t);
            split(t, rows_outer ? block : p, rows_outer ? mb : panels, b1);
            split(b1, b1, s_.batch[1], b0);
            e_.op(IntOp::mul, t, block, mc);  // first row
            split(t, x, s_.ow, y);
            // rows left → whole tiles, and whether the remainder tile is in this block
            e_.op(IntOp::sub, count, m_, t);
            e_.op(IntOp::min, count, count, mc);
            if (int16_) make_rows(block, count, at);
            split_rows(e_, s_, schedule_, count, count, rest);
            if (!int16_)
              place(at[0], e_.param(4), kF, {s_.a_batch[0], s_.a_batch[1], s_.a_row, s_.a_col, 0}, b0, b1, y, x, p);
            place(at[1], e_.param(5), kF, {s_.b_batch[0], s_.b_batch[1], 0, 0, panel_row_}, b0, b1, y, x, p);
            place(at[2], e_.param(3), size_of(out_type_), {s_.c_batch[0], s_.c_batch[1], s_.c_row, s_.c_col, 1}, b0, b1,
                  y, x, p);
            for (size_t i = 0; i < own_; ++i) {
              const FusedOperand& o = source_.epilogue.operands[i];
              place(at[at.size() - own_ + i], e_.param(static_cast<int>(6 + i)), size_of(o.dtype), o.strides, b0, b1, y,
                    x, p);
            }
            if (int16_) place_scales(at[3], at[4], b0, b1, y, x, p);
            std::vector<Arg> args(at.begin(), at.end());
            for (Int r : {x, count, rest}) args.emplace_back(r);
            if (whole.id >= 0 && last.id >= 0)
              e_.if_(
                  p, Compare::lt, full,
                  [&] { call_panel(e_, whole, args, p, full, ahead_ ? panel_row_ * nr_ * kF : 0); },
                  [&] { e_.call(last, args); });
            else if (whole.id >= 0)
              call_panel(e_, whole, args, p, full, ahead_ ? panel_row_ * nr_ * kF : 0);
            else
              e_.call(last, args);
            add(e_, unit, unit, 1);
          },
          unit, Compare::lt, end);
    });
    e_.end_function();
    return f;
  }

  /// Rows of A's block as integers, and their scales, in scratch, for all units of the block; at[0] is where.
  void make_rows(Int block, Int count, const std::vector<Int>& at) {
    const Int from = e_.integer(), scales = at[3];
    e_.set(at[0], behind_header(e_));
    scales_of_rows(scales);
    once_per_block(e_, block, [&] {
      e_.op(IntOp::mul, from, block, block_rows(s_, schedule_) * source_.a_col * kF);
      add(e_, from, from, e_.param(4));
      e_.call(rows_, {at[0], from, scales, count, source_.a_col * kF, s_.kh});
    });
  }
  void scales_of_rows(Int to) {
    add(e_, to, e_.param(2), kScratchHeader + block_rows(s_, schedule_) * int16_words(source_.k) * kF);
  }
  void place_scales(Int of_rows, Int of_columns, Int b0, Int b1, Int y, Int x, Int p) {
    scales_of_rows(of_rows);
    place(of_columns, e_.param(5), kF, s_.epilogue.operands[1].strides, b0, b1, y, x, p);
    add(e_, of_columns, of_columns, packed_size(panel_row_, s_.n) * kF);
  }

  /// low = v mod n, high = v div n.
  void split(Int v, Int low, int64_t n, Int high) {
    if (n == 1) {
      e_.set(high, v);
      e_.set(low, 0);
      return;
    }
    const Int quotient = e_.integer();
    e_.op(IntOp::div, quotient, v, n);
    e_.op(IntOp::rem, low, v, n);
    e_.set(high, quotient);
  }

  /// dst = base + bytes · (b0·s0 + b1·s1 + y·s2 + x·s3 + panel·NR·s4)
  void place(Int dst, Int base, int64_t bytes, const std::vector<int64_t>& s, Int b0, Int b1, Int y, Int x, Int p) {
    e_.set(dst, base);
    const Int t = e_.integer();
    const auto term = [&](Int index, int64_t stride, int64_t extent) {
      if (stride == 0 || extent == 1) return;
      e_.op(IntOp::mul, t, index, stride * bytes);
      add(e_, dst, dst, t);
    };
    term(b0, s[0], s_.batch[0]);
    term(b1, s[1], s_.batch[1]);
    term(y, s[2], s_.oh);
    term(x, s[3], s_.ow);
    term(p, s[4] * nr_, ceil_div(s_.n, nr_));
  }

  Emitter& e_;
  ContractionSpec source_;
  bool int16_;
  ContractionSpec s_;  ///< what tiles see
  Schedule schedule_;
  std::string name_;
  int64_t nr_, m_;
  int64_t panel_row_;   ///< from a column of a panel to that of the next one, for each of its columns
  size_t own_, fused_;  ///< operands of the source's epilogue, of the tiles'
  Func rows_{};         ///< makes integers of rows
  int64_t ahead_ = 0;
  DType out_type_;
};

const ContractionSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ContractionSpec>(&spec); }

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  if (spec_of(spec).b_row) return matrix_vector_units(spec_of(spec));
  if (schedule.algorithm == Algorithm::strassen) return strassen_units(spec_of(spec), schedule, target);
  if (winograd_tile(schedule.algorithm)) return winograd_units(spec_of(spec), schedule);
  const ContractionSpec s = flattened(spec_of(spec));
  return s.batch[0] * s.batch[1] * blocks(s, schedule) * ceil_div(s.n, tile_columns(schedule, target));
}

int64_t scratch_bytes(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  if (spec_of(spec).b_row) return matrix_vector_scratch();
  if (schedule.algorithm == Algorithm::strassen) return strassen_scratch(spec_of(spec), schedule, target);
  if (schedule.algorithm == Algorithm::int16) {
    const ContractionSpec s = flattened(spec_of(spec));
    return kScratchHeader + int16_rows_bytes(s.k, block_rows(s, schedule));
  }
  return winograd_tile(schedule.algorithm) ? winograd_scratch(spec_of(spec), schedule, target) : 0;
}

bool feasible(const KernelSpec& spec, const Schedule& s, const Target& t) {
  if (spec_of(spec).b_row) return s == Schedule{};
  if (s.algorithm == Algorithm::strassen) return tile_fits(s, t) && strassen_feasible(spec_of(spec), s, t);
  if (s.algorithm == Algorithm::int16) return tile_fits(s, t) && int16_feasible(spec_of(spec), s, t);
  return tile_fits(s, t) && (s.algorithm == Algorithm::direct || winograd_feasible(spec_of(spec), s, t));
}

Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  if (spec_of(spec).b_row) return emit_matrix_vector(e, spec_of(spec), name);
  if (schedule.algorithm == Algorithm::strassen) return emit_strassen(e, spec_of(spec), schedule, name);
  if (winograd_tile(schedule.algorithm)) return emit_winograd(e, spec_of(spec), schedule, name);
  return ContractionEmitter(e, spec_of(spec), schedule, name).emit();
}

using Spec = ContractionSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("b", batch),
    KILN_FIELD("ab", a_batch),
    KILN_FIELD("bb", b_batch),
    KILN_FIELD("cb", c_batch),
    KILN_FIELD("o", oh),
    KILN_FIELD(nullptr, ow),
    KILN_FIELD("k", kh),
    KILN_FIELD(nullptr, kw),
    KILN_FIELD(nullptr, k),
    KILN_FIELD("n", n),
    KILN_FIELD("a", a_row),
    KILN_FIELD(nullptr, a_col),
    KILN_FIELD("at", a_tap_row),
    KILN_FIELD(nullptr, a_tap_col),
    KILN_FIELD("c", c_row),
    KILN_FIELD(nullptr, c_col),
    KILN_FIELD("br", b_row),
    KILN_FIELD(nullptr, b_k),
    KILN_FIELD("w", winograd),
    KILN_MARK("strassen=1", strassen),
    KILN_MARK("int16=1", int16),
    KILN_MARK("weights=int16", rounded),
    KILN_EPILOGUE,
};

void operands(const KernelSpec& spec, Operands& o) {
  const ContractionSpec& s = spec_of(spec);
  o.writes("C", stored_type(s.epilogue)).along(s.batch, s.c_batch).loop(s.oh, s.c_row).loop(s.ow, s.c_col).run(s.n);
  o.reads("A").along(s.batch, s.a_batch).loop(s.oh, s.a_row).loop(s.ow, s.a_col);
  o.loop(s.kh, s.a_tap_row).loop(s.kw, s.a_tap_col).run(s.k);
  o.reads("B");
  if (s.rounded)
    o.run(rounded_words(s.k, s.n));
  else if (s.b_row)
    o.along(s.batch, s.b_batch).loop(s.n, s.b_row).run(s.k);
  else if (s.b_k)
    o.along(s.batch, s.b_batch).loop(s.k, s.b_k).run(s.n);
  else
    o.packed(s);
  o.fused(s.epilogue, {s.batch[0], s.batch[1], s.oh, s.ow, s.n});
  o.count(times(s.oh, s.ow));
}

Work work(const KernelSpec& spec) { return work_of(spec_of(spec)); }

}  // namespace

const FieldList kContractionFields = list_of("contraction", kFieldList);

Work work_of(const ContractionSpec& s) {
  const double batch = static_cast<double>(s.batch[0] * s.batch[1]), m = static_cast<double>(s.oh * s.ow),
               n = static_cast<double>(s.n);
  const double k = static_cast<double>(s.kh * s.kw * s.k);
  const double a = static_cast<double>(s.oh * s.ow * s.k), b = s.rounded ? 0.5 * k * n + n : k * n;
  const size_t operands = s.epilogue.operands.size() / 2;
  return {2 * batch * m * n * k, 4 * batch * (a + b + m * n * static_cast<double>(1 + operands))};
}

const Family kContractionFamily{"contraction", &kContractionFields, operands, work,
                                units,         scratch_bytes,       feasible, emit};

}  // namespace kiln
