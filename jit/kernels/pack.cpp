// Packing of B: a strided matrix becomes panels of NR columns, in the order in which a contraction reads them. Sizes
// and strides come with each call. A model packs dozens of shapes, most of them once. Engines soon optimise a few
// kernels that run often; a kernel for each shape would never be optimised.
#include "jit/fields.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/families.h"
#include "jit/kernels/int16.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/rounded.h"
#include "jit/kernels/winograd_transform.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

const PackSpec& spec_of(const KernelSpec& spec) { return *std::get_if<PackSpec>(&spec); }

/// Vectors of so many lanes are best stored lane by lane, with an instruction each.
constexpr int kLaneStores = 4;
/// Values of k in a block. Its source and its part of the panel stay in the first-level cache.
constexpr int64_t kBlock = 128;

/// The loops over batches that move.
int batch_loops(const PackSpec& s) { return s.batch[0] > 1 ? 2 : s.batch[1] > 1 ? 1 : 0; }

/// Whether columns are made contiguous before they become integers.
bool gathers(const PackSpec& s) { return s.src_k != 1 || s.k % kInt16Sum != 0; }

/// What the code depends on: in which direction the source is contiguous, and whether there are batches. Everything
/// else comes as sizes().
KernelCode code(const KernelSpec& spec, const Schedule& schedule) {
  const PackSpec& s = spec_of(spec);
  if (s.scales) return round_code(s);
  PackSpec c;
  c.batch = {batch_loops(s) > 1 ? 2 : 1, batch_loops(s) > 0 ? 2 : 1};
  c.src_k = s.src_k == 1 && s.src_n != 1;
  c.src_n = s.src_n == 1;
  Schedule how;
  if (winograd_tile(schedule.algorithm)) {
    how.algorithm = schedule.algorithm;
    c.src_tap = s.src_tap, c.stride = s.stride;
  }
  if (schedule.algorithm == Algorithm::int16) how.algorithm = schedule.algorithm, c.src_k = 1, c.src_n = gathers(s);
  return {c, how};
}

std::vector<int64_t> sizes(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const PackSpec& s = spec_of(spec);
  if (s.scales) return round_sizes(s);
  std::vector<int64_t> out{s.n, s.k, s.taps, s.src_tap * 4, s.src_k * 4, s.src_n * 4, tile_columns(schedule, target)};
  if (schedule.algorithm == Algorithm::int16) out.push_back(int16_words(s.k));
  if (batch_loops(s) > 0) out.push_back(s.src_batch[1] * 4);
  if (batch_loops(s) > 1) out.insert(out.end(), {s.src_batch[0] * 4, s.batch[1]});
  return out;
}

class PackEmitter {
 public:
  PackEmitter(Emitter& emitter, const PackSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        s_(spec),
        m_(winograd_tile(schedule.algorithm)),
        form_{m_, static_cast<int>(spec.stride)},
        int16_(schedule.algorithm == Algorithm::int16),
        gathers_(int16_ && spec.src_n == 1),
        name_(std::move(name)),
        w_(emitter.width()) {}

  Func emit() {
    if (int16_) rows_ = emit_int16_rows(e_);
    if (gathers_) columns_as_rows_ = emit_columns_as_rows(e_);
    return emit_entry(emit_block());
  }

 private:
  /// block(dst, src, last, count, pitch, src_k, src_n, matrix, panel, phase): packs `count` values of k of columns
  /// 0…last of one vector. `pitch` is the distance from one k of the panel to the next, `matrix` from one of Winograd's
  /// k × n matrices to the next, `panel` from the matrix to the panel, and `phase` is the length of a panel. Columns
  /// beyond the last are copies of it, which are never read.
  Func emit_block() {
    const Func f = e_.begin_function(name_ + "_block", 10);
    dst_ = e_.param(0), last_ = e_.param(2), count_ = e_.param(3), pitch_ = e_.param(4), src_k_ = e_.param(5);
    columns_ = column_addresses(e_.param(1), e_.param(6));
    if (m_ && form_.stride == 2)
      winograd_by_phase(e_.param(7), e_.param(8), e_.param(9));
    else if (m_)
      winograd(e_.param(7));
    else if (s_.src_k == 1)
      turned();
    else if (s_.src_n == 1)
      straight();
    else
      lane_by_lane(count_);
    e_.end_function();
    return f;
  }

  /// An address for every column; those after the last one get that of the last.
  std::vector<Int> column_addresses(Int base, Arg stride) {
    std::vector<Int> out;
    for (int i = 0; i < w_; ++i) {
      const Int at = e_.integer();
      e_.op(IntOp::min, at, last_, i);
      e_.op(IntOp::mul, at, at, stride);
      add(e_, at, at, base);
      out.push_back(at);
    }
    return out;
  }
  void move_columns(Arg by) {
    for (const Int column : columns_) add(e_, column, column, by);
  }
  /// One element of every column.
  Vec gather(const std::vector<Int>& from, int64_t offset = 0) {
    const Vec v = e_.vec();
    e_.load(v, {from[0], offset}, DType::f32, 1);
    for (int i = 1; i < w_; ++i) e_.load_lane(v, i, {from[static_cast<size_t>(i)], offset});
    return v;
  }
  /// One k of the panel.
  void put(Vec v) {
    e_.store({dst_, 0}, v);
    add(e_, dst_, dst_, pitch_);
  }

  void lane_by_lane(Int count) {
    const Int k = e_.integer();
    e_.for_range(k, 0, count, 1, [&] {
      put(gather(columns_));
      move_columns(src_k_);
    });
  }

  /// For a source that is contiguous along n, as the panel is.
  void straight() {
    const auto whole = [&] {
      const Int k = e_.integer(), src = columns_[0];
      e_.for_range(k, 0, count_, 1, [&] {
        const Vec v = e_.vec();
        e_.load(v, {src, 0});
        put(v);
        add(e_, src, src, src_k_);
      });
    };
    e_.if_(last_, Compare::eq, w_ - 1, whole, [&] { lane_by_lane(count_); });
  }

  /// For a source that is contiguous along k: blocks of width × width. Narrow vectors are stored lane by lane, wide
  /// ones are transposed in registers.
  void turned() {
    const Int rounds = e_.integer(), round = e_.integer(), rest = e_.integer();
    e_.op(IntOp::div, rounds, count_, w_);
    e_.op(IntOp::rem, rest, count_, w_);
    const bool narrow = w_ <= kLaneStores;
    if (!narrow) make_masks(columns_[0]);
    e_.for_range(round, 0, rounds, 1, [&] {
      std::vector<Vec> values;
      for (const Int column : columns_) {
        values.push_back(e_.vec());
        e_.load(values.back(), {column, 0});
      }
      narrow ? put_lanes(values) : put_turned(values);
      move_columns(w_ * 4);
    });
    lane_by_lane(rest);
  }
  void put_lanes(const std::vector<Vec>& values) {
    for (int k = 0; k < w_; ++k) {
      for (int i = 0; i < w_; ++i) e_.store_lane({dst_, i * 4}, values[static_cast<size_t>(i)], k);
      add(e_, dst_, dst_, pitch_);
    }
  }
  void put_turned(std::vector<Vec>& values) {
    turn(values);
    for (const Vec v : values) put(v);
  }

  /// Transposes: rows[r][l] ↔ rows[l][r]. For every bit of the index, rows that differ only in that bit exchange
  /// halves.
  void turn(std::vector<Vec>& rows) {
    const Vec from_high = e_.vec(), from_low = e_.vec();
    for (size_t bit = 0; bit < masks_.size(); ++bit) {
      const size_t apart = size_t{1} << bit;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (i & apart) continue;
        const Vec low = rows[i], high = rows[i + apart];
        e_.rotate(from_high, high, w_ - static_cast<int>(apart));
        e_.rotate(from_low, low, static_cast<int>(apart));
        e_.select(low, masks_[bit], low, from_high);
        e_.select(high, masks_[bit], from_low, high);
      }
    }
  }

  /// masks_[b]: the lanes whose index has bit b clear. `any` is an address that may be read.
  void make_masks(Int any) {
    const Vec all = e_.vec(), first = e_.vec(), turned = e_.vec();
    e_.splat_load(all, {any, 0});
    e_.op(VecUnary::not_, first, all);
    e_.load_lane(first, 0, {any, 0});  // differs from `all` in every lane but 0, whatever was read
    e_.compare(first, Lane::i32, Compare::eq, first, all);
    for (int apart = 1; apart < w_; apart *= 2) {
      masks_.push_back(e_.vec());
      e_.set(masks_.back(), first);
      for (int other = 1; other < w_; other *= 2) {
        if (other == apart) continue;
        e_.rotate(turned, masks_.back(), w_ - other);
        e_.op(VecBinary::or_, masks_.back(), masks_.back(), turned);
      }
    }
  }

  /// G w Gᵀ for the 3×3 taps w of every (k, column): (m+2)² packed matrices, one after the other.
  void winograd(Int point) {
    const auto side = static_cast<size_t>(form_.points());
    WinogradTransform transform = WinogradTransform::weights(e_, form_, 3);
    const Int k = e_.integer(), at = e_.integer();
    e_.for_range(k, 0, count_, 1, [&] {
      std::vector<std::vector<Vec>> by_column;  // G w, column by column
      for (int64_t x = 0; x < 3; ++x) {
        std::vector<Vec> g;
        for (int64_t y = 0; y < 3; ++y) g.push_back(gather(columns_, (y * 3 + x) * s_.src_tap * 4));
        by_column.push_back(transform.apply(g));
      }
      e_.set(at, dst_);
      for (size_t i = 0; i < side; ++i)
        for (const Vec u : transform.apply({by_column[0][i], by_column[1][i], by_column[2][i]})) {
          e_.store({at, 0}, u);
          add(e_, at, at, point);
        }
      add(e_, dst_, dst_, pitch_);
      move_columns(src_k_);
    });
  }

  /// The same for the taps of each phase. A point's phases are the k of one matrix, so its panels are longer: four
  /// times if both coordinates are finite, twice if one is.
  void winograd_by_phase(Int matrix, Int panel, Int phase) {
    WinogradTransform transforms[] = {WinogradTransform::weights(e_, form_, 2),
                                      WinogradTransform::weights(e_, form_, 1)};
    const auto m = static_cast<size_t>(m_);
    std::vector<Int> starts;  // of the phases of a point from its row's first matrix, in the order of their use
    for (const int64_t odd_row : {0, 1})
      for (const int64_t odd_column : {0, 1})
        for (const bool finite_row : {true, false})
          for (const bool finite_column : {true, false})
            starts.push_back(start_of_phase(odd_row, odd_column, finite_row, finite_column, matrix, panel, phase));
    const Int k = e_.integer(), row = e_.integer(), at = e_.integer(), line = e_.integer();
    std::array<Int, 2> next{e_.integer(), e_.integer()};  // points of a row with finite coordinates, of one at infinity
    e_.op(IntOp::mul, line, matrix, 4 * m_ + 2);
    e_.op(IntOp::mul, next[0], matrix, 4);
    e_.op(IntOp::mul, next[1], matrix, 2);
    e_.for_range(k, 0, count_, 1, [&] {
      for (const size_t odd_row : {0, 1})
        for (const size_t odd_column : {0, 1}) {
          const std::vector<std::vector<Vec>> u = phase_points(transforms, odd_row, odd_column);
          e_.set(row, dst_);
          for (size_t i = 0; i < u.size(); ++i) {
            for (size_t j = 0; j < u[i].size(); ++j) {
              const size_t infinite_row = i == m, infinite_column = j == m;
              if (j == 0 || infinite_column)
                e_.op(IntOp::add, at, row, starts[odd_row * 8 + odd_column * 4 + infinite_row * 2 + infinite_column]);
              e_.store({at, 0}, u[i][j]);
              add(e_, at, at, next[infinite_row]);
            }
            add(e_, row, row, line);
          }
        }
      add(e_, dst_, dst_, pitch_);
      move_columns(src_k_);
    });
  }
  Int start_of_phase(int64_t odd_row, int64_t odd_column, bool finite_row, bool finite_column, Int matrix, Int panel,
                     Int phase) {
    const Int at = e_.integer(), t = e_.integer();
    const int64_t across = finite_column ? 2 : 1, down = finite_row ? 2 : 1;
    e_.op(IntOp::mul, at, panel, across * down - 1);
    e_.op(IntOp::mul, t, phase, odd_row * across + odd_column);
    add(e_, at, at, t);
    e_.op(IntOp::mul, t, matrix, finite_column ? 0 : m_ * 2 * down);
    add(e_, at, at, t);
    return at;
  }
  /// G w Gᵀ for the taps w of one phase.
  std::vector<std::vector<Vec>> phase_points(WinogradTransform (&transforms)[2], size_t odd_row, size_t odd_column) {
    std::vector<std::vector<Vec>> by_column;
    for (size_t x = odd_column; x < 3; x += 2) {
      std::vector<Vec> g;
      for (size_t y = odd_row; y < 3; y += 2)
        g.push_back(gather(columns_, static_cast<int64_t>(y * 3 + x) * s_.src_tap * 4));
      by_column.push_back(transforms[odd_row].apply(g));
    }
    std::vector<std::vector<Vec>> points;
    for (size_t i = 0; i < by_column[0].size(); ++i) {
      std::vector<Vec> row;
      for (const std::vector<Vec>& column : by_column) row.push_back(column[i]);
      points.push_back(transforms[odd_column].apply(row));
    }
    return points;
  }

  /// Units are panels of each batch.
  Func emit_entry(Func block) {
    constexpr int kFirstSize = 5;
    const int loops = batch_loops(s_);
    const int sizes = int16_ ? 8 : 7;  // before those of batches
    const Func f = e_.begin_function(name_, kFirstSize + sizes + (loops ? loops * 2 - 1 : 0));
    const auto size = [&](int i) { return e_.param(kFirstSize + i); };
    const Int n = size(0), k = size(1), taps = size(2), src_tap = size(3), src_k = size(4), src_n = size(5),
              nr = size(6);
    const Int panels = e_.integer(), depth = e_.integer(), point = e_.integer(), one = e_.integer();
    add(e_, panels, n, nr);
    add(e_, panels, panels, -1);
    e_.op(IntOp::div, panels, panels, nr);
    e_.set(depth, k);
    if (!m_) e_.op(IntOp::mul, depth, depth, taps);
    add(e_, point, n, kPackAlign - 1);  // packed_size(), in bytes
    e_.op(IntOp::and_, point, point, -kPackAlign);
    e_.op(IntOp::mul, point, point, 4);
    e_.op(IntOp::mul, one, point, depth);
    if (m_) e_.op(IntOp::mul, one, one, form_.weights());
    if (int16_) e_.set(depth, size(7));
    e_.op(IntOp::mul, point, point, depth);
    const Int b = e_.integer(), column = e_.integer(), columns = e_.integer(), pitch = e_.integer();
    const Int dst = e_.integer(), src = e_.integer(), t = e_.integer(), scales = e_.integer(), offset = e_.integer();
    const auto moved = [&](Int to, Arg by, Arg times) {  // to += by · times
      e_.op(IntOp::mul, t, by, times);
      add(e_, to, to, t);
    };
    for_units(e_, [&](Int unit) {
      e_.op(IntOp::div, b, unit, panels);
      e_.op(IntOp::rem, column, unit, panels);
      e_.op(IntOp::mul, column, column, nr);
      e_.op(IntOp::sub, columns, n, column);
      e_.op(IntOp::min, columns, columns, nr);
      add(e_, pitch, columns, w_ - 1);
      e_.op(IntOp::and_, pitch, pitch, -w_);
      e_.op(IntOp::mul, pitch, pitch, 4);
      e_.set(dst, e_.param(3));
      moved(dst, b, one);
      if (int16_) {
        add(e_, scales, dst, point);
        moved(scales, column, 4);
      }
      e_.op(IntOp::mul, offset, column, depth);
      e_.op(IntOp::mul, offset, offset, 4);
      add(e_, dst, dst, offset);
      e_.set(src, e_.param(4));
      moved(src, column, src_n);
      if (loops > 1) {
        e_.op(IntOp::div, t, b, size(sizes + 2));
        moved(src, t, size(sizes + 1));
        e_.op(IntOp::rem, b, b, size(sizes + 2));
      }
      if (loops > 0) moved(src, b, size(sizes));
      const Panel panel{dst, src, columns, pitch, point, offset, k, taps, src_tap, src_k, src_n};
      emit_panel(block, int16_ ? in_integers(panel, scales, depth, nr) : panel);
    });
    e_.end_function();
    return f;
  }

  struct Panel {
    Int dst, src, columns, pitch, point, offset, k, taps, src_tap, src_k, src_n;
  };
  /// Converts the panel's columns to rows of integers in scratch.
  Panel in_integers(const Panel& p, Int scales, Int words, Int nr) {
    const Int rows = e_.integer(), pitch = e_.integer(), four = e_.integer();
    Panel out = p;
    out.src = e_.integer(), out.src_k = four, out.src_n = e_.integer(), out.k = words;
    e_.set(four, 4);
    e_.op(IntOp::mul, out.src_n, words, 4);
    e_.set(out.src, e_.param(2));
    e_.set(rows, p.src);
    e_.set(pitch, p.src_n);
    if (gathers_) {
      e_.op(IntOp::mul, pitch, words, 8);
      e_.op(IntOp::mul, rows, pitch, nr);
      add(e_, out.src, out.src, rows);
      e_.set(rows, e_.param(2));
      e_.call(columns_as_rows_, {rows, p.src, p.columns, p.k, p.src_k, p.src_n, pitch});
    }
    const Int sums = e_.integer();
    e_.op(IntOp::div, sums, words, kInt16Words);
    e_.call(rows_, {out.src, rows, scales, p.columns, pitch, sums});
    return out;
  }

  void emit_panel(Func block, const Panel& p) {
    const Int begin = e_.integer(), count = e_.integer(), tap = e_.integer(), j = e_.integer(), last = e_.integer();
    const Int to = e_.integer(), from = e_.integer(), t = e_.integer(), phase = e_.integer();
    e_.op(IntOp::mul, phase, p.k, p.pitch);
    const auto vectors = [&] {
      e_.for_range(j, 0, p.columns, w_, [&] {
        e_.op(IntOp::sub, last, p.columns, j);
        e_.op(IntOp::min, last, last, w_);
        add(e_, last, last, -1);
        e_.call(block, {to, from, last, count, p.pitch, p.src_k, p.src_n, p.point, p.offset, phase});
        add(e_, to, to, w_ * 4);
        e_.op(IntOp::mul, t, p.src_n, w_);
        add(e_, from, from, t);
      });
    };
    e_.for_range(begin, 0, p.k, kBlock, [&] {
      e_.op(IntOp::sub, count, p.k, begin);
      e_.op(IntOp::min, count, count, kBlock);
      e_.for_range(tap, 0, m_ ? Arg(1) : Arg(p.taps), 1, [&] {
        e_.op(IntOp::mul, to, tap, p.k);
        add(e_, to, to, begin);
        e_.op(IntOp::mul, to, to, p.pitch);
        add(e_, to, to, p.dst);
        e_.op(IntOp::mul, from, tap, p.src_tap);
        e_.op(IntOp::mul, t, begin, p.src_k);
        add(e_, from, from, t);
        add(e_, from, from, p.src);
        vectors();
      });
    });
  }

  Emitter& e_;
  PackSpec s_;
  int m_;  // Winograd tile, or 0
  WinogradForm form_;
  bool int16_, gathers_;
  Func rows_{}, columns_as_rows_{};
  std::string name_;
  int w_;
  // of the block
  Int dst_, last_, count_, pitch_, src_k_;
  std::vector<Int> columns_;
  std::vector<Vec> masks_;
};

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const PackSpec& s = spec_of(spec);
  if (s.scales) return s.n;
  return s.batch[0] * s.batch[1] * ceil_div(s.n, tile_columns(schedule, target));
}
int64_t scratch_bytes(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  if (schedule.algorithm != Algorithm::int16) return 0;
  const PackSpec& s = spec_of(spec);
  return tile_columns(schedule, target) * int16_words(s.k) * (gathers(s) ? 3 : 1) * 4;
}
bool feasible(const KernelSpec& spec, const Schedule& s, const Target&) {
  return spec_of(spec).scales ? s == Schedule{} : s.nv >= 1;
}
Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  if (spec_of(spec).scales) return emit_round(e, spec_of(spec), name);
  return PackEmitter(e, spec_of(spec), schedule, name).emit();
}

}  // namespace

int64_t packed_elements(const PackSpec& s, const Schedule& schedule) {
  const int64_t batches = s.batch[0] * s.batch[1];
  if (schedule.algorithm == Algorithm::int16) return (batches - 1) * packed_size(s.k, s.n) + int16_packed(s.k, s.n);
  const WinogradForm form{winograd_tile(schedule.algorithm), static_cast<int>(s.stride)};
  const int64_t one = form.m ? form.weights() * packed_size(s.k, s.n) : packed_size(s.taps * s.k, s.n);
  return batches * one;
}

namespace {

using Spec = PackSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("b", batch),       KILN_FIELD("sb", src_batch),  KILN_FIELD("k", taps),      KILN_FIELD(nullptr, k),
    KILN_FIELD(nullptr, n),       KILN_FIELD("s", src_tap),     KILN_FIELD(nullptr, src_k), KILN_FIELD(nullptr, src_n),
    KILN_FIELD("stride", stride), KILN_FIELD("scales", scales),
};
constexpr FieldList kFields = list_of("pack", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const PackSpec& s = spec_of(spec);
  o.writes("packed");
  if (s.scales)
    o.run(std::max(times(s.n, rounded_row(s.k)), plus(s.scales, s.n)));
  else
    o.packed(s);
  o.reads("source").along(s.batch, s.src_batch).loop(s.taps, s.src_tap).loop(s.k, s.src_k).loop(s.n, s.src_n);
}

Work work(const KernelSpec& spec) {
  const PackSpec& s = spec_of(spec);
  return {0, 8 * static_cast<double>(s.batch[0] * s.batch[1] * s.taps * s.k * s.n)};
}

}  // namespace

const Family kPackFamily{"pack", &kFields, operands, work, units, scratch_bytes, feasible, emit, code, sizes};

}  // namespace kiln
