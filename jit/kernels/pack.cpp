// Packing of B: a strided matrix becomes panels of NR columns in the order in which a contraction reads them.
#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/families.h"
#include "jit/kernels/winograd_transform.h"

namespace kiln {
namespace {

const PackSpec& spec_of(const KernelSpec& spec) { return *std::get_if<PackSpec>(&spec); }

/// Vectors of so many lanes are best stored lane by lane: an instruction each.
constexpr int kLaneStores = 4;

class PackEmitter {
 public:
  PackEmitter(Emitter& emitter, const PackSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        s_(spec),
        m_(winograd_tile(schedule.algorithm)),
        name_(std::move(name)),
        nr_(tile_columns(schedule, e_.target())),
        panels_(ceil_div(s_.n, nr_)) {}

  Func emit() {
    const int64_t full = s_.n / nr_, tail = s_.n % nr_;
    Func whole{}, last{};
    const auto panel = [&](int64_t columns) { return m_ ? emit_winograd_panel(columns) : emit_panel(columns); };
    if (full) whole = panel(nr_);
    if (tail) last = panel(tail);
    return emit_entry(full, whole, last);
  }

 private:
  /// panel(dst, src): [kh][kw][k][columns], the last vector filled up with zeros.
  Func emit_panel(int64_t columns) {
    const Func f = e_.begin_function(name_ + "_panel" + std::to_string(columns), 2);
    const Int dst = e_.param(0), src = e_.param(1), row = e_.integer();
    const Int y = e_.integer(), x = e_.integer();
    const int64_t padded = round_up(columns, e_.width());
    const int64_t block = s_.src_k == 1 && s_.src_n != 1 ? e_.width() : 1;
    if (block > kLaneStores && s_.k >= block) make_masks(src);
    e_.for_range(y, 0, s_.kh, 1, [&] {
      e_.for_range(x, 0, s_.kw, 1, [&] {
        e_.set(row, src);
        const Int k = e_.integer();
        if (s_.k / block) {
          e_.for_range(k, 0, s_.k / block, 1, [&] {
            block == 1 ? copy_row(dst, row, columns, 0) : transpose(dst, row, columns, padded);
            add(e_, row, row, block * s_.src_k * 4);
            add(e_, dst, dst, block * padded * 4);
          });
        }
        for (int64_t i = 0; i < s_.k % block; ++i) {
          copy_row(dst, row, columns, i * s_.src_k);
          add(e_, dst, dst, padded * 4);
        }
        add(e_, src, src, s_.src_kw * 4);
      });
      add(e_, src, src, (s_.src_kh - s_.kw * s_.src_kw) * 4);
    });
    e_.end_function();
    return f;
  }

  /// One k: `columns` elements src_n apart.
  void copy_row(Int dst, Int src, int64_t columns, int64_t offset) {
    const int w = e_.width();
    for (int64_t j = 0; j < columns; j += w) {
      const int lanes = static_cast<int>(std::min<int64_t>(w, columns - j));
      const int64_t at = (offset + j * s_.src_n) * 4;
      e_.store({dst, j * 4}, load_strided(e_, {src, at}, DType::f32, lanes == 1 ? 1 : s_.src_n, lanes));
    }
  }

  /// width × width blocks: the source runs along k, the panel along n. Rows are loaded whole; narrow ones are stored
  /// lane by lane, wide ones turned in registers.
  void transpose(Int dst, Int src, int64_t columns, int64_t padded) {
    const int w = e_.width();
    for (int64_t j = 0; j < padded; j += w) {
      std::vector<Vec> rows;
      for (int64_t i = j; i < j + w; ++i) {
        rows.push_back(e_.vec());
        if (i < columns)
          e_.load(rows.back(), {src, i * s_.src_n * 4});
        else
          e_.splat_i32(rows.back(), 0);
        for (int k = 0; w <= kLaneStores && k < w; ++k) e_.store_lane({dst, (k * padded + i) * 4}, rows.back(), k);
      }
      if (w <= kLaneStores) continue;
      turn(rows);
      for (int k = 0; k < w; ++k) e_.store({dst, (k * padded + j) * 4}, rows[static_cast<size_t>(k)]);
    }
  }

  /// rows[r][l] ↔ rows[l][r]: for every bit of the index, halves change places between rows that differ in it alone.
  void turn(std::vector<Vec>& rows) {
    const int w = e_.width();
    const Vec from_high = e_.vec(), from_low = e_.vec();
    for (size_t bit = 0; bit < masks_.size(); ++bit) {
      const size_t apart = size_t{1} << bit;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (i & apart) continue;
        const Vec low = rows[i], high = rows[i + apart];
        e_.rotate(from_high, high, w - static_cast<int>(apart));
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
    masks_.clear();
    for (int apart = 1; apart < e_.width(); apart *= 2) {
      masks_.push_back(e_.vec());
      e_.set(masks_.back(), first);
      for (int other = 1; other < e_.width(); other *= 2) {
        if (other == apart) continue;
        e_.rotate(turned, masks_.back(), e_.width() - other);
        e_.op(VecBinary::or_, masks_.back(), masks_.back(), turned);
      }
    }
  }

  /// panel(dst, src): G w Gᵀ for the 3×3 taps w of every (k, column): (m+2)² packed matrices, one after the other.
  Func emit_winograd_panel(int64_t columns) {
    const Func f = e_.begin_function(name_ + "_winograd" + std::to_string(columns), 2);
    const Int dst = e_.param(0), src = e_.param(1), k = e_.integer();
    const int w = e_.width();
    const auto side = static_cast<size_t>(m_ + 2);
    WinogradTransform transform = WinogradTransform::weights(e_, m_);
    e_.for_range(k, 0, s_.k, 1, [&] {
      for (int64_t j = 0; j < columns; j += w) {
        const int lanes = static_cast<int>(std::min<int64_t>(w, columns - j));
        std::vector<std::vector<Vec>> by_column;  // G w, column by column
        for (int64_t x = 0; x < 3; ++x) {
          std::vector<Vec> g;
          for (int64_t y = 0; y < 3; ++y)
            g.push_back(load_strided(e_, {src, (y * s_.src_kh + x * s_.src_kw + j * s_.src_n) * 4}, DType::f32,
                                     lanes == 1 ? 1 : s_.src_n, lanes));
          by_column.push_back(transform.apply(g));
        }
        for (size_t i = 0; i < side; ++i) {
          const std::vector<Vec> u = transform.apply({by_column[0][i], by_column[1][i], by_column[2][i]});
          for (size_t x = 0; x < side; ++x) {
            const auto point = static_cast<int64_t>(i * side + x);
            e_.store({dst, (point * packed_size(s_.k, s_.n) + j) * 4}, u[x]);
          }
        }
      }
      add(e_, dst, dst, round_up(columns, w) * 4);
      add(e_, src, src, s_.src_k * 4);
    });
    e_.end_function();
    return f;
  }

  /// Units are panels of each batch.
  Func emit_entry(int64_t full, Func whole, Func last) {
    const Func f = e_.begin_function(name_, 5);
    const Int unit = e_.param(0), end = e_.param(1), dst = e_.integer(), src = e_.integer(), p = e_.integer(),
              b = e_.integer(), t = e_.integer();
    const int64_t depth = (m_ ? 1 : s_.kh * s_.kw) * s_.k;
    e_.if_(unit, Compare::lt, end, [&] {
      e_.do_while(
          [&] {
            e_.op(IntOp::rem, p, unit, panels_);
            e_.op(IntOp::div, b, unit, panels_);
            e_.op(IntOp::mul, dst, p, nr_ * depth * 4);
            e_.op(IntOp::mul, src, p, nr_ * s_.src_n * 4);
            for (int axis = 1; axis >= 0; --axis) {
              const auto a = static_cast<size_t>(axis);
              e_.op(IntOp::rem, t, b, s_.batch[a]);
              e_.op(IntOp::div, b, b, s_.batch[a]);
              const Int by = e_.integer();
              e_.op(IntOp::mul, by, t, s_.dst_batch[a] * 4);
              add(e_, dst, dst, by);
              e_.op(IntOp::mul, by, t, s_.src_batch[a] * 4);
              add(e_, src, src, by);
            }
            add(e_, dst, dst, e_.param(3));
            add(e_, src, src, e_.param(4));
            const std::vector<Arg> args{dst, src};
            if (whole.id >= 0 && last.id >= 0)
              e_.if_(
                  p, Compare::lt, full, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
            else
              e_.call(whole.id >= 0 ? whole : last, args);
            add(e_, unit, unit, 1);
          },
          unit, Compare::lt, end);
    });
    e_.end_function();
    return f;
  }

  Emitter& e_;
  PackSpec s_;
  int m_;  // Winograd tile, or 0
  std::string name_;
  int64_t nr_, panels_;
  std::vector<Vec> masks_;  // of the function being emitted
};

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const PackSpec& s = spec_of(spec);
  return s.batch[0] * s.batch[1] * ceil_div(s.n, tile_columns(schedule, target));
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule& s, const Target&) { return s.nv >= 1; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  return PackEmitter(e, spec_of(spec), schedule, name).emit();
}

}  // namespace

int64_t packed_elements(const PackSpec& s, const Schedule& schedule) {
  const int64_t side = winograd_tile(schedule.algorithm) + 2;
  const int64_t one = schedule.algorithm == Algorithm::direct ? packed_size(s.kh * s.kw * s.k, s.n)
                                                              : side * side * packed_size(s.k, s.n);
  return (s.batch[0] - 1) * s.dst_batch[0] + (s.batch[1] - 1) * s.dst_batch[1] + one;
}

const Family kPackFamily{"pack", units, no_scratch, feasible, emit};

}  // namespace kiln
