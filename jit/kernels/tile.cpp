#include "jit/kernels/tile.h"

#include <algorithm>
#include <map>
#include <optional>

#include "jit/epilogue.h"
#include "jit/kernels/cascade.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// Whether an epilogue needs many registers at once. A bias, a residual and a ReLU do not.
bool is_long(const Expr& expr) {
  const auto many = [](const PointInst& i) { return is_polynomial(i.op); };
  return expr.insts.size() > 10 || std::any_of(expr.insts.begin(), expr.insts.end(), many);
}

/// Up to so many products are one sum. More are a sum of partial sums, which takes registers. No layer of a network has
/// more.
constexpr int64_t kLongSum = 32768, kPart = 4096;
bool is_long_sum(const ContractionSpec& s) { return s.kh * s.kw * s.k > kLongSum; }

bool taps_adjoin(const ContractionSpec& s) { return s.kw == 1 || s.a_tap_col == s.k; }  // a row of taps is one run
int64_t run_depth(const ContractionSpec& s) { return taps_adjoin(s) ? s.kw * s.k : s.k; }

/// Unrolls no more than there is to do. A product over no k only adds its epilogue's operands; it unrolls as asked.
int64_t unroll_of(const ContractionSpec& s, int64_t unroll) {
  return run_depth(s) ? std::min(unroll, run_depth(s)) : unroll;
}

class TileEmitter {
 public:
  TileEmitter(Emitter& emitter, const ContractionSpec& spec, const TileShape& shape, const Tile& tile)
      : e_(emitter),
        s_(spec),
        shape_(shape),
        t_(tile),
        vectors_(static_cast<size_t>(ceil_div(shape.columns, emitter.width()))),
        fused_(spec.epilogue.operands.size()),
        sizes_(emitter.target().shared_tiles, static_cast<int>(3 + fused_ + (shape.ahead_step ? 1 : 0))),
        bias_(shape.int16 ? std::nullopt : bias_of(spec.epilogue)),
        expr_(shape.int16 ? spec.epilogue.expr : without_bias(spec.epilogue)),
        out_type_(stored_type(spec.epilogue)),
        dense_(taps_adjoin(spec)),
        unroll_(unroll_of(spec, shape.unroll)),
        rest_(run_depth(spec) % unroll_),
        wraps_(s_.oh == 1 ? 0 : std::max<int64_t>(1, lines(tile.rows - 1))) {
    const int64_t depth = run_depth(s_);
    wrap_at_ = sizes_.add(lines(t_.rows - 1) ? s_.ow - t_.x : 0, wraps_ == 1);
    a_ = pitch(s_.a_row, s_.a_col, kF, true);
    c_ = pitch(s_.c_row, s_.c_col, size_of(out_type_), true);
    for (const FusedOperand& o : s_.epilogue.operands)
      operands_.push_back(pitch(o.strides[2], o.strides[3], size_of(o.dtype), moves(o)));
    rounds_ = sizes_.add(depth / unroll_);
    kh_ = sizes_.add(s_.kh, s_.kh > 1);
    kw_ = sizes_.add(s_.kw, !dense_);
    next_tap_ = sizes_.add((s_.a_tap_col - depth) * kF, !dense_);
    next_line_ = sizes_.add((s_.a_tap_row - (dense_ ? depth : s_.kw * s_.a_tap_col)) * kF, s_.kh > 1);
    ahead_step_ = sizes_.add(shape_.ahead_step, shape_.ahead_step > 0);
    b_k_ = sizes_.add(s_.b_k * kF, s_.b_k > 0);
  }

  SizedFunc emit(const std::string& name) {
    return share(e_, sizes_, name, identity(), [&](const std::string& its_name) { return emit_function(its_name); });
  }

 private:
  Arg arg(const Size& s) { return kiln::arg(e_, s); }

  /// Bytes from a pixel of a tensor to the next one, and what is added at the end of an image row.
  struct Pitch {
    Size col, wrap;
    int64_t row_stride, col_stride, bytes;
  };
  Pitch pitch(int64_t row, int64_t col, int64_t bytes, bool moving) {
    const bool used = moving && t_.rows > 1;
    Pitch p;
    p.col = sizes_.add(col * bytes, used);
    p.wrap = sizes_.add((row - s_.ow * col) * bytes, used && wraps_);
    p.row_stride = row, p.col_stride = col, p.bytes = bytes;
    return p;
  }
  /// Ends of image rows between the tile's first pixel and its i-th.
  int64_t lines(int64_t i) const { return (t_.x + i) / s_.ow; }

  /// Everything that the code depends on besides its sizes.
  std::string identity() const {
    std::string key = "tile" + std::to_string(t_.rows) + "x" + std::to_string(shape_.columns) + " unroll" +
                      std::to_string(unroll_) + "+" + std::to_string(rest_) + (dense_ ? "" : " taps") +
                      (s_.kh > 1 ? " lines" : "") + (shape_.ahead_step ? " ahead" : "") + (s_.b_k ? " in place" : "") +
                      (shape_.int16 ? " int16" : "") + (wraps_ ? " wraps" : "");
    if (is_long_sum(s_))
      key += " of " + std::to_string(s_.kh) + "x" + std::to_string(s_.kw) + "x" + std::to_string(s_.k);
    for (int64_t i = 1; wraps_ > 1 && i < t_.rows; ++i) key += std::to_string(lines(i) - lines(i - 1));
    return key + code_text(s_.epilogue);
  }

  Func emit_function(const std::string& name) {
    const Func f = e_.begin_function(name, sizes_.params());
    std::vector<Vec> acc(static_cast<size_t>(t_.rows) * vectors_);
    for (size_t i = 0; i < acc.size(); ++i) begin_sum(acc[i] = e_.vec(), i % vectors_);
    if (shape_.int16) set_aside(acc);  // zeros
    emit_products(acc);
    e_.constants_from_here();
    if (is_long(expr_) && !aside_) {
      if (sizes_.shared() && fused_ == (bias_ ? 1 : 0) && size_of(out_type_) == kF)
        set_aside(acc);
      else
        acc = copies(acc);
    }
    emit_stores(acc);
    e_.end_function();
    return f;
  }

  /// Sums begin with the bias. If it were added after the products, it would take registers that they need. So would
  /// the zero of a ReLU, which Firefox merges with the zero that sums would otherwise begin with.
  void begin_sum(Vec sum, size_t j) {
    if (bias_)
      e_.set(sum, fused(*bias_, 0, j, lanes(j)));
    else
      e_.splat(sum, 0);
  }

  // -- sums of products
  // ----------------------------------------------------------------------------------------------------
  void emit_products(const std::vector<Vec>& acc) {
    const Int b = e_.param(1);
    std::vector<Vec> bv(vectors_);
    for (Vec& v : bv) v = e_.vec();
    const Vec av = e_.vec();
    const std::vector<Mem> rows = rows_of_a();
    const auto move_a = [&](Arg by) {
      for (size_t i = 0; i < rows.size(); ++i)
        if (i == 0 || rows[i].base.id != rows[0].base.id) add(e_, rows[i].base, rows[i].base, by);
    };
    const int64_t panel_bytes = static_cast<int64_t>(vectors_) * e_.width() * kF;
    const auto load_b = [&](size_t j, int64_t u) {
      const int64_t at = static_cast<int64_t>(j) * e_.width() * kF;
      s_.b_k ? e_.load(bv[j], {b, at}, DType::f32, lanes(j)) : e_.load(bv[j], {b, u * panel_bytes + at});
    };
    const auto step = [&](int64_t u) {        // one k
      const bool one_row = rows.size() == 1;  // each vector of B is needed once
      for (size_t j = 0; j < vectors_ && !one_row; ++j) load_b(j, u);
      for (size_t i = 0; i < rows.size(); ++i) {
        e_.splat_load(av, {rows[i].base, rows[i].offset + u * kF});
        for (size_t j = 0; j < vectors_; ++j) {
          if (one_row) load_b(j, u);
          const Vec sum = acc[i * vectors_ + j];
          shape_.int16 ? e_.dot_i16(sum, av, bv[j], sum) : e_.madd(sum, av, bv[j], sum);
        }
      }
      if (s_.b_k) add(e_, b, b, arg(b_k_));
    };
    const Int touched = e_.integer();
    const Cascade sums(e_, is_long_sum(s_) && !shape_.int16 ? acc : std::vector<Vec>{}, kPart / unroll_);
    const int64_t rounds = run_depth(s_) / unroll_, of_run = sums.terms_after(rounds, 1) + (rest_ ? 1 : 0);
    const auto run = [&] {  // consecutive k; leaves a and b behind them
      sums.loop(arg(rounds_), rounds, 1, [&] {
        for (int64_t u = 0; u < unroll_; ++u) step(u);
        if (shape_.ahead_step) {
          const Int ahead = e_.param(static_cast<int>(3 + fused_));
          e_.load_int(touched, {ahead}, DType::i32);
          add(e_, ahead, ahead, arg(ahead_step_));
        }
        move_a(unroll_ * kF);
        if (!s_.b_k) add(e_, b, b, unroll_ * panel_bytes);
      });
      for (int64_t u = 0; u < rest_; ++u) step(u);
      if (rest_) move_a(rest_ * kF);
      if (rest_ && !s_.b_k) add(e_, b, b, rest_ * panel_bytes);
    };
    sums.loop(arg(kh_), s_.kh, dense_ ? of_run : sums.terms_after(s_.kw, of_run), [&] {
      if (dense_) {
        run();
      } else {
        sums.loop(arg(kw_), s_.kw, of_run, [&] {
          run();
          move_a(arg(next_tap_));
        });
      }
      if (s_.kh > 1) move_a(arg(next_line_));
      if (shape_.int16) add_to_aside(acc);
    });
  }

  /// The start of each row of A: a register of its own in shared tiles, else an offset.
  std::vector<Mem> rows_of_a() {
    std::vector<Mem> rows{{e_.param(0), 0}};
    for (int64_t i = 1; i < t_.rows; ++i) {
      if (!sizes_.shared()) {
        rows.push_back({e_.param(0), pixel(s_, t_, i, s_.a_row, s_.a_col) * kF});
        continue;
      }
      const Int row = e_.integer();
      e_.set(row, rows.back().base);
      to_row(i, {{row, &a_}});
      rows.push_back({row, 0});
    }
    return rows;
  }

  /// Moves pointers from row i − 1 to row i.
  void to_row(int64_t i, const std::vector<std::pair<Int, const Pitch*>>& pointers) {
    const auto wrap = [&] {
      for (const auto& [pointer, p] : pointers) add(e_, pointer, pointer, arg(p->wrap));
    };
    for (const auto& [pointer, p] : pointers) add(e_, pointer, pointer, arg(p->col));
    if (wraps_ == 1) e_.if_(e_.param(wrap_at_.param), Compare::eq, i, wrap);
    for (int64_t line = lines(i - 1); wraps_ > 1 && line < lines(i); ++line) wrap();
  }

  // -- results
  // ------------------------------------------------------------------------------------------------------------- A
  // register allocator may keep a value in one place for its whole life. Because of a long epilogue it would then keep
  // sums out of registers in the innermost loop. For asmjit a new name makes a new value; for engines only memory does.

  /// The same values under new names.
  std::vector<Vec> copies(const std::vector<Vec>& values) {
    std::vector<Vec> out;
    for (const Vec v : values) {
      out.push_back(e_.vec());
      e_.set(out.back(), v);
    }
    return out;
  }

  /// Stores sums in the memory of the results. No operand of the epilogue lies there.
  /// docs/decisions/0023-registers-for-sums.md has the gain.
  void set_aside(const std::vector<Vec>& acc) {
    each_result(acc, [&](Vec sum, Mem at, int lanes) { e_.store(at, sum, DType::f32, lanes); });
    aside_ = true;
  }

  /// Adds integer sums to the stored ones, and starts new integer sums.
  void add_to_aside(const std::vector<Vec>& acc) {
    const Vec before = e_.vec();
    each_result(acc, [&](Vec sum, Mem at, int lanes) {
      e_.op(VecUnary::i32_to_f32, sum, sum);
      e_.load(before, at, DType::f32, lanes);
      e_.op(VecBinary::add, sum, sum, before);
      e_.store(at, sum, DType::f32, lanes);
      e_.splat(sum, 0);
    });
  }

  void each_result(const std::vector<Vec>& acc, FunctionRef<void(Vec sum, Mem at, int lanes)> body) {
    const Int c = e_.integer();
    e_.set(c, e_.param(2));
    for (int64_t i = 0; i < t_.rows; ++i) {
      if (sizes_.shared() && i) to_row(i, {{c, &c_}});
      for (size_t j = 0; j < vectors_; ++j)
        body(acc[static_cast<size_t>(i) * vectors_ + j], element(c, i, c_, static_cast<int64_t>(j) * e_.width()),
             lanes(j));
    }
  }

  void emit_stores(const std::vector<Vec>& acc) {
    std::vector<std::pair<Int, const Pitch*>> moving{{e_.param(2), &c_}};
    for (size_t k = 0; k < fused_; ++k)
      if (moves(s_.epilogue.operands[k])) moving.emplace_back(e_.param(static_cast<int>(3 + k)), &operands_[k]);
    for (int64_t i = 0; i < t_.rows; ++i) {
      if (sizes_.shared() && i) to_row(i, moving);
      for (size_t j = 0; j < vectors_; ++j) {
        const Mem c = element(e_.param(2), i, c_, static_cast<int64_t>(j) * e_.width());
        Vec value = acc[static_cast<size_t>(i) * vectors_ + j];
        if (aside_) e_.load(value = e_.vec(), c, DType::f32, lanes(j));
        if (!expr_.empty()) {
          std::vector<Vec> inputs{value};
          for (size_t k = 0; k < fused_; ++k) inputs.push_back(k == bias_ ? Vec{} : fused(k, i, j, lanes(j)));
          value = emit_expr(e_, expr_, inputs);
        }
        e_.store(c, value, out_type_, lanes(j));
      }
    }
  }

  /// Columns in the j-th vector.
  int lanes(size_t j) const {
    return static_cast<int>(std::min<int64_t>(e_.width(), shape_.columns - static_cast<int64_t>(j) * e_.width()));
  }

  Vec fused(size_t k, int64_t i, size_t j, int lanes) {
    const FusedOperand& o = s_.epilogue.operands[k];
    const auto key = std::pair(k, o.strides[4] ? j : 0);
    if (!moves(o) && same_.count(key)) return same_[key];
    const int64_t column = static_cast<int64_t>(j) * e_.width() * o.strides[4];
    const Mem at = element(e_.param(static_cast<int>(3 + k)), i, operands_[k], column);
    const Vec v = load_strided(e_, at, o.dtype, o.strides[4], lanes);
    if (!moves(o)) same_[key] = v;
    return v;
  }

  /// `column` elements from the start of row i. The pointers of shared tiles are already there.
  Mem element(Int pointer, int64_t i, const Pitch& p, int64_t column) const {
    const int64_t row = sizes_.shared() ? 0 : pixel(s_, t_, i, p.row_stride, p.col_stride);
    return {pointer, (row + column) * p.bytes};
  }

  Emitter& e_;
  const ContractionSpec& s_;
  TileShape shape_;
  Tile t_;
  size_t vectors_, fused_;
  Sizes sizes_;
  std::optional<size_t> bias_;
  Expr expr_;           ///< of the sums
  bool aside_ = false;  ///< sums lie where results go
  DType out_type_;
  bool dense_;
  int64_t unroll_, rest_;
  int64_t wraps_;  ///< ends of image rows in a tile that is shared: at most one, anywhere; or so many at known places
  Size wrap_at_;   ///< the row behind it, 0: none
  Pitch a_, c_;
  std::vector<Pitch> operands_;
  Size rounds_, kh_, kw_, next_tap_, next_line_, ahead_step_, b_k_;
  std::map<std::pair<size_t, size_t>, Vec> same_;  ///< operands that are the same for every row of the tile (a bias)
};

}  // namespace

int64_t rounds_of_tile(const ContractionSpec& s, int64_t unroll) {
  return s.kh * (taps_adjoin(s) ? 1 : s.kw) * (run_depth(s) / unroll_of(s, unroll));
}

SizedFunc emit_tile(Emitter& emitter, const ContractionSpec& flattened, const TileShape& shape, const Tile& tile,
                    const std::string& name) {
  return TileEmitter(emitter, flattened, shape, tile).emit(name);
}

}  // namespace kiln
