// The innermost two loops of everything that multiplies and adds: a register tile, and the rows of a block against one
// panel of B.
#include <algorithm>
#include <map>

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
constexpr int64_t kReadAhead = 128 << 10;
/// An epilogue of more instructions than this (a bias, a residual and a ReLU have fewer) holds many values at once.
constexpr size_t kLongEpilogue = 10;

/// One micro-kernel: `rows` consecutive output pixels from column `x` of an image row × the vectors of a panel.
struct Tile {
  int64_t rows = 0, x = 0;
  bool operator<(const Tile& o) const { return std::pair(rows, x) < std::pair(o.rows, o.x); }
};

class PanelEmitter {
 public:
  PanelEmitter(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, std::string name,
               int64_t ahead_tiles)
      : e_(emitter),
        s_(spec),
        schedule_(schedule),
        name_(std::move(name)),
        mr_(schedule.mr),
        m_(s_.oh * s_.ow),
        fused_(s_.epilogue.operands.size()),
        ahead_tiles_(ahead_tiles),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit(int64_t columns) {
    const bool inner = mr_ <= s_.ow;  // some tiles lie within one image row
    const std::vector<Tile> wrapping = wrapping_tiles();
    Func within{};
    std::vector<Func> wrapped;
    if (inner && mr_ <= m_) within = emit_tile({mr_, 0}, columns);
    for (const Tile& t : wrapping) wrapped.push_back(emit_tile(t, columns));
    std::vector<Tile> rest;
    std::vector<Func> remainder;
    for (int64_t rows : remainder_tiles(s_, schedule_)) {
      const int64_t done = rest.empty() ? m_ - remainder_rows(s_, schedule_) : m_ - rows;
      const Tile tile{rows, done % s_.ow};
      const bool again = !rest.empty() && rest[0].rows == tile.rows && rest[0].x == tile.x;
      rest.push_back(tile);
      remainder.push_back(again ? remainder[0] : emit_tile(tile, columns));
    }

    const auto n = static_cast<int>(3 + fused_);
    const Func f = e_.begin_function(name_ + "_panel" + std::to_string(columns), n + (ahead_tiles_ ? 4 : 3));
    ahead_ = ahead_tiles_ ? e_.param(n + 3) : Int{};
    const Int x = e_.param(n), count = e_.param(n + 1), with_rest = e_.param(n + 2);
    if (mr_ <= m_) {
      e_.if_(count, Compare::gt, 0, [&] {
        e_.do_while(
            [&] {
              emit_step(within, wrapping, wrapped, x);
              if (ahead_tiles_) add(e_, ahead_, ahead_, ahead_step(columns) * rounds_of_tile());
              add(e_, count, count, -1);
            },
            count, Compare::gt, 0);
      });
    }
    if (!rest.empty())
      e_.if_(with_rest, Compare::ne, 0, [&] {
        e_.call(remainder[0], tile_args());
        if (rest.size() == 1) return;
        move_over(rest[0], rest[0].rows);
        e_.call(remainder[1], tile_args());
      });
    e_.end_function();
    return f;
  }

 private:
  /// Elements from the tile's first pixel to its i-th, for a tensor with these strides between pixels.
  int64_t pixel(const Tile& t, int64_t i, int64_t row, int64_t col) const {
    const int64_t x = t.x + i;
    return (x / s_.ow) * row + (x % s_.ow - t.x) * col;
  }

  Func emit_tile(const Tile& t, int64_t columns) {
    const int w = e_.width();
    const auto vectors = static_cast<size_t>(ceil_div(columns, w));
    const Func f = e_.begin_function(name_ + "_tile" + std::to_string(t.rows) + "x" + std::to_string(columns) +
                                         (t.x ? "_at" + std::to_string(t.x) : ""),
                                     static_cast<int>(tile_params()));
    const Int a = e_.param(0), b = e_.param(1), c = e_.param(2);
    std::vector<Vec> acc(static_cast<size_t>(t.rows) * vectors), bv(vectors);
    for (Vec& v : acc) e_.splat(v = e_.vec(), 0);
    for (Vec& v : bv) v = e_.vec();
    const Vec av = e_.vec();
    std::vector<int64_t> a_offset;
    for (int64_t i = 0; i < t.rows; ++i) a_offset.push_back(pixel(t, i, s_.a_row, s_.a_col) * kF);
    const auto panel_bytes = static_cast<int64_t>(vectors) * w * kF;

    const auto step = [&](int64_t u) {  // one k
      for (size_t j = 0; j < vectors; ++j) e_.load(bv[j], {b, u * panel_bytes + static_cast<int64_t>(j) * w * kF});
      for (size_t i = 0; i < static_cast<size_t>(t.rows); ++i) {
        e_.splat_load(av, {a, a_offset[i] + u * kF});
        for (size_t j = 0; j < vectors; ++j) e_.madd(acc[i * vectors + j], av, bv[j], acc[i * vectors + j]);
      }
    };
    const Int touched = e_.integer();
    const auto run = [&](int64_t depth) {  // consecutive k; leaves a behind them
      const int64_t unroll = std::min<int64_t>(schedule_.unroll, depth), rounds = depth / unroll, rest = depth % unroll;
      const Int i = e_.integer();
      e_.for_range(i, 0, rounds, 1, [&] {
        for (int64_t u = 0; u < unroll; ++u) step(u);
        if (ahead_tiles_) {
          const Int ahead = e_.param(static_cast<int>(3 + fused_));
          e_.load_int(touched, {ahead}, DType::i32);
          add(e_, ahead, ahead, ahead_step(columns));
        }
        add(e_, a, a, unroll * kF);
        add(e_, b, b, unroll * panel_bytes);
      });
      for (int64_t u = 0; u < rest; ++u) step(u);
      add(e_, a, a, rest * kF);
      add(e_, b, b, rest * panel_bytes);
    };
    const bool dense = taps_adjoin();
    const int64_t depth = run_depth();
    const Int y = e_.integer(), x = e_.integer();
    e_.for_range(y, 0, s_.kh, 1, [&] {
      if (dense) {
        run(depth);
      } else {
        e_.for_range(x, 0, s_.kw, 1, [&] {
          run(depth);
          add(e_, a, a, (s_.a_tap_col - depth) * kF);
        });
      }
      if (s_.kh > 1) add(e_, a, a, (s_.a_tap_row - (dense ? depth : s_.kw * s_.a_tap_col)) * kF);
    });
    store_tile(t, columns, s_.epilogue.expr.insts.size() > kLongEpilogue ? copies(acc) : acc, c);
    e_.end_function();
    return f;
  }

  /// The same values under new names. A register allocator that finds one place for a value's whole life would keep
  /// sums out of registers in the innermost loop for the sake of a long epilogue behind it.
  std::vector<Vec> copies(const std::vector<Vec>& values) {
    std::vector<Vec> out;
    for (const Vec v : values) {
      out.push_back(e_.vec());
      e_.set(out.back(), v);
    }
    return out;
  }

  bool taps_adjoin() const { return s_.kw == 1 || s_.a_tap_col == s_.k; }  ///< a row of taps is one run
  int64_t run_depth() const { return taps_adjoin() ? s_.kw * s_.k : s_.k; }
  size_t tile_params() const { return 3 + fused_ + (ahead_tiles_ ? 1 : 0); }
  /// Rounds of the innermost loop in a tile, and bytes of the next panel that each of them moves on.
  int64_t rounds_of_tile() const {
    return s_.kh * (taps_adjoin() ? 1 : s_.kw) * (run_depth() / std::min<int64_t>(schedule_.unroll, run_depth()));
  }
  int64_t ahead_step(int64_t columns) const {
    return ceil_div(s_.kh * s_.kw * s_.k * columns * kF, ahead_tiles_ * rounds_of_tile());
  }

  void store_tile(const Tile& t, int64_t columns, const std::vector<Vec>& acc, Int c) {
    const int w = e_.width();
    const auto vectors = static_cast<size_t>(ceil_div(columns, w));
    std::map<std::pair<size_t, size_t>, Vec> shared;  // operands that are the same for every row of the tile (a bias)
    for (size_t i = 0; i < static_cast<size_t>(t.rows); ++i) {
      for (size_t j = 0; j < vectors; ++j) {
        const int lanes = static_cast<int>(std::min<int64_t>(w, columns - static_cast<int64_t>(j) * w));
        Vec value = acc[i * vectors + j];
        if (!s_.epilogue.empty()) {
          std::vector<Vec> inputs{value};
          for (size_t k = 0; k < fused_; ++k) inputs.push_back(fused(t, k, i, j, lanes, shared));
          value = emit_expr(e_, s_.epilogue.expr, inputs);
        }
        const int64_t at = pixel(t, static_cast<int64_t>(i), s_.c_row, s_.c_col) + static_cast<int64_t>(j) * w;
        e_.store({c, at * size_of(out_type_)}, value, out_type_, lanes);
      }
    }
  }

  Vec fused(const Tile& t, size_t k, size_t i, size_t j, int lanes, std::map<std::pair<size_t, size_t>, Vec>& shared) {
    const FusedOperand& o = s_.epilogue.operands[k];
    const bool per_row = o.strides[2] || o.strides[3];
    const auto key = std::pair(k, o.strides[4] ? j : 0);
    if (!per_row && shared.count(key)) return shared[key];
    const int64_t at = pixel(t, static_cast<int64_t>(i), o.strides[2], o.strides[3]) +
                       static_cast<int64_t>(j) * e_.width() * o.strides[4];
    const Vec v =
        load_strided(e_, {e_.param(static_cast<int>(3 + k)), at * size_of(o.dtype)}, o.dtype, o.strides[4], lanes);
    if (!per_row) shared[key] = v;
    return v;
  }

  // -- the rows of a block against one panel
  // ---------------------------------------------------------------------------------
  /// Tiles in the order they come up from row 0: by where in an image row they start.
  std::vector<Tile> wrapping_tiles() const {
    std::vector<Tile> tiles;
    for (int64_t start = 0, i = 0; i < s_.ow && start + mr_ <= m_; ++i, start += mr_) {
      const Tile t{mr_, start % s_.ow};
      if (t.x + mr_ > s_.ow && std::none_of(tiles.begin(), tiles.end(), [&](const Tile& o) { return o.x == t.x; }))
        tiles.push_back(t);
    }
    return tiles;
  }

  std::vector<Arg> tile_args() {
    std::vector<Arg> args;
    for (int i = 0; i < static_cast<int>(3 + fused_); ++i) args.emplace_back(e_.param(i));
    if (ahead_tiles_) args.emplace_back(ahead_);
    return args;
  }

  /// Calls the tile that starts at x, then moves every pointer and x to the next one.
  void emit_step(Func within, const std::vector<Tile>& wrapping, const std::vector<Func>& wrapped, Int x) {
    if (wrapping.empty() && s_.ow == m_) {  // a plain matrix: one row
      e_.call(within, tile_args());
      return advance({mr_, 0}, x, false);
    }
    const auto inside = [&] {
      e_.call(within, tile_args());
      advance({mr_, 0}, x, false);
      e_.if_(x, Compare::eq, s_.ow, [&] {
        move(s_.a_row - s_.ow * s_.a_col, s_.c_row - s_.ow * s_.c_col,
             [&](const FusedOperand& o) { return o.strides[2] - s_.ow * o.strides[3]; });
        e_.set(x, 0);
      });
    };
    if (wrapping.empty()) return inside();
    const auto crossing = [&](auto&& self, size_t i) -> void {
      const auto call = [&] {
        e_.call(wrapped[i], tile_args());
        advance(wrapping[i], x, true);
      };
      if (i + 1 == wrapping.size()) return call();
      e_.if_(x, Compare::eq, wrapping[i].x, call, [&] { self(self, i + 1); });
    };
    if (mr_ > s_.ow) return crossing(crossing, 0);
    e_.if_(x, Compare::le, s_.ow - mr_, inside, [&] { crossing(crossing, 0); });
  }

  /// Pointers and x from tile t to the one after it; a wrapping tile's start is known.
  void advance(const Tile& t, Int x, bool wraps) {
    if (!wraps) {
      move(mr_ * s_.a_col, mr_ * s_.c_col, [&](const FusedOperand& o) { return mr_ * o.strides[3]; });
      if (s_.ow != m_) add(e_, x, x, mr_);
      return;
    }
    move_over(t, mr_);
    e_.set(x, (t.x + mr_) % s_.ow);
  }
  void move_over(const Tile& t, int64_t rows) {
    move(pixel(t, rows, s_.a_row, s_.a_col), pixel(t, rows, s_.c_row, s_.c_col),
         [&](const FusedOperand& o) { return pixel(t, rows, o.strides[2], o.strides[3]); });
  }

  void move(int64_t a, int64_t c, FunctionRef<int64_t(const FusedOperand&)> fused) {
    add(e_, e_.param(0), e_.param(0), a * kF);
    add(e_, e_.param(2), e_.param(2), c * size_of(out_type_));
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      const int64_t by = fused(o) * size_of(o.dtype);
      const Int p = e_.param(static_cast<int>(3 + i));
      if (by) add(e_, p, p, by);
    }
  }

  Emitter& e_;
  const ContractionSpec& s_;
  Schedule schedule_;
  std::string name_;
  int64_t mr_, m_;
  size_t fused_;
  int64_t ahead_tiles_;
  Int ahead_;  ///< of the panel function
  DType out_type_;
};

}  // namespace

std::vector<int64_t> remainder_tiles(const ContractionSpec& flattened, const Schedule& schedule) {
  const int64_t m = flattened.oh * flattened.ow, mr = schedule.mr, rest = m % mr;
  if (rest == 0) return {};
  const bool alone = m < mr || (schedule.mc && m % schedule.mc < mr && m % schedule.mc);  // in the last block
  if (alone || rest > 2 || mr < 4) return {rest};
  return {ceil_div(mr + rest, 2), (mr + rest) / 2};
}

int64_t remainder_rows(const ContractionSpec& flattened, const Schedule& schedule) {
  int64_t rows = 0;
  for (int64_t tile : remainder_tiles(flattened, schedule)) rows += tile;
  return rows;
}

void split_rows(Emitter& e, const ContractionSpec& flattened, const Schedule& schedule, Int rows, Int count, Int rest) {
  e.op(IntOp::rem, rest, rows, schedule.mr);
  e.op(IntOp::div, count, rows, schedule.mr);
  if (remainder_tiles(flattened, schedule).size() == 2) e.if_(rest, Compare::ne, 0, [&] { add(e, count, count, -1); });
}

int64_t ahead_tiles(const ContractionSpec& flattened, const Schedule& schedule, const Target& target, int64_t bytes) {
  const int64_t m = flattened.oh * flattened.ow, nr = tile_columns(schedule, target);
  const int64_t tiles = (schedule.mc ? std::min<int64_t>(schedule.mc, m) : m) / schedule.mr;
  const bool can = tiles >= 2 && tiles <= nr * std::min<int64_t>(schedule.unroll, 4) && flattened.n / nr >= 3;
  return can && bytes >= kReadAhead ? tiles : 0;
}

void call_panel(Emitter& e, Func panel, std::vector<Arg> args, Int index, int64_t full, int64_t ahead_bytes) {
  if (ahead_bytes) {
    const Int ahead = e.integer();
    add(e, ahead, args[1], ahead_bytes);
    // The tiles round up how far they read, which may be into the panel after the next one: the last two look back.
    e.if_(index, Compare::ge, full - 2, [&] { e.op(IntOp::sub, ahead, ahead, 2 * ahead_bytes); });
    args.emplace_back(ahead);
  }
  e.call(panel, args);
}

Func emit_panel(Emitter& emitter, const ContractionSpec& flattened, const Schedule& schedule, const std::string& name,
                int64_t columns, int64_t ahead_tiles) {
  return PanelEmitter(emitter, flattened, schedule, name, ahead_tiles).emit(columns);
}

Func emit_panels(Emitter& e, const ContractionSpec& s, const Schedule& schedule, const std::string& name,
                 int64_t ahead_tiles) {
  const int64_t nr = tile_columns(schedule, e.target()), full = s.n / nr, tail = s.n % nr;
  Func whole{}, last{};
  if (full) whole = emit_panel(e, s, schedule, name, nr, ahead_tiles);
  if (tail) last = emit_panel(e, s, schedule, name, tail);
  const std::vector<FusedOperand>& fused = s.epilogue.operands;
  const auto pointers = static_cast<int>(3 + fused.size());
  const Func f = e.begin_function(name + "_panels", pointers + 4);
  const Int panel = e.param(pointers), left = e.param(pointers + 1);
  std::vector<Arg> args;
  for (int i = 0; i < pointers; ++i) args.emplace_back(e.param(i));
  args.insert(args.end(), {0, e.param(pointers + 2), e.param(pointers + 3)});
  e.do_while(
      [&] {
        const auto call_whole = [&] { call_panel(e, whole, args, panel, full, ahead_tiles ? nr * s.k * kF : 0); };
        if (full && tail)
          e.if_(panel, Compare::lt, full, call_whole, [&] { e.call(last, args); });
        else if (full)
          call_whole();
        else
          e.call(last, args);
        add(e, e.param(1), e.param(1), nr * s.k * kF);
        add(e, e.param(2), e.param(2), nr * size_of(stored_type(s.epilogue)));
        for (size_t i = 0; i < fused.size(); ++i)
          if (fused[i].strides[4]) {
            const Int p = e.param(static_cast<int>(3 + i));
            add(e, p, p, nr * fused[i].strides[4] * size_of(fused[i].dtype));
          }
        add(e, panel, panel, 1);
        add(e, left, left, -1);
      },
      left, Compare::gt, 0);
  e.end_function();
  return f;
}

}  // namespace kiln
