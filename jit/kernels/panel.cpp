// The rows of a block against one panel of B.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/tile.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
constexpr int64_t kReadAhead = 128 << 10;

class PanelEmitter {
 public:
  PanelEmitter(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, std::string name,
               int64_t columns, int64_t ahead_tiles)
      : e_(emitter),
        s_(spec),
        schedule_(schedule),
        name_(std::move(name)),
        columns_(columns),
        mr_(schedule.mr),
        m_(s_.oh * s_.ow),
        fused_(s_.epilogue.operands.size()),
        rounds_(rounds_of_tile(spec, schedule.unroll)),
        ahead_step_(ahead_tiles ? ceil_div(s_.kh * s_.kw * s_.k * columns * kF, ahead_tiles * rounds_) : 0),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit() {
    const bool inner = mr_ <= s_.ow;  // some tiles lie within one image row
    const std::vector<Tile> wrapping = wrapping_tiles();
    SizedFunc within;
    std::vector<SizedFunc> wrapped;
    if (inner && mr_ <= m_) within = tile({mr_, 0});
    for (const Tile& t : wrapping) wrapped.push_back(tile(t));
    std::vector<Tile> rest;
    std::vector<SizedFunc> remainder;
    for (int64_t rows : remainder_tiles(s_, schedule_)) {
      const int64_t done = rest.empty() ? m_ - remainder_rows(s_, schedule_) : m_ - rows;
      const Tile t{rows, done % s_.ow};
      const bool again = !rest.empty() && rest[0].rows == t.rows && rest[0].x == t.x;
      rest.push_back(t);
      remainder.push_back(again ? remainder[0] : tile(t));
    }

    const auto n = static_cast<int>(3 + fused_);
    const Func f = e_.begin_function(name_ + "_panel" + std::to_string(columns_), n + (ahead_step_ ? 4 : 3));
    ahead_ = ahead_step_ ? e_.param(n + 3) : Int{};
    const Int x = e_.param(n), count = e_.param(n + 1), with_rest = e_.param(n + 2);
    if (mr_ <= m_) {
      e_.if_(count, Compare::gt, 0, [&] {
        e_.do_while(
            [&] {
              emit_step(within, wrapping, wrapped, x);
              if (ahead_step_) add(e_, ahead_, ahead_, ahead_step_ * rounds_);
              add(e_, count, count, -1);
            },
            count, Compare::gt, 0);
      });
    }
    if (!rest.empty())
      e_.if_(with_rest, Compare::ne, 0, [&] {
        call(remainder[0]);
        if (rest.size() == 1) return;
        move_over(rest[0], rest[0].rows);
        call(remainder[1]);
      });
    e_.end_function();
    return f;
  }

 private:
  SizedFunc tile(const Tile& t) {
    const std::string name = name_ + "_tile" + std::to_string(t.rows) + "x" + std::to_string(columns_) +
                             (t.x ? "_at" + std::to_string(t.x) : "");
    return emit_tile(e_, s_, {columns_, schedule_.unroll, ahead_step_, schedule_.algorithm == Algorithm::int16}, t,
                     name);
  }

  // -- the rows of a block against one panel
  // ---------------------------------------------------------------------------------
  /// Tiles in the order they come up from row 0: by where in an image row they start.
  std::vector<Tile> wrapping_tiles() const {
    std::vector<Tile> tiles;
    for (int64_t row = 1; row < s_.oh && row <= mr_; ++row) {  // of the tile that the end of each image row lies in
      const int64_t start = row * s_.ow / mr_ * mr_;
      const Tile t{mr_, start % s_.ow};
      if (start == row * s_.ow || start + mr_ > m_) continue;
      if (std::none_of(tiles.begin(), tiles.end(), [&](const Tile& o) { return o.x == t.x; })) tiles.push_back(t);
    }
    return tiles;
  }

  void call(const SizedFunc& tile) {
    std::vector<Arg> args;
    for (int i = 0; i < static_cast<int>(3 + fused_); ++i) args.emplace_back(e_.param(i));
    if (ahead_step_) args.emplace_back(ahead_);
    args.insert(args.end(), tile.sizes.begin(), tile.sizes.end());
    e_.call(tile.function, args);
  }

  /// Calls the tile that starts at x, then moves every pointer and x to the next one.
  void emit_step(const SizedFunc& within, const std::vector<Tile>& wrapping, const std::vector<SizedFunc>& wrapped,
                 Int x) {
    if (wrapping.empty() && s_.ow == m_) {  // a plain matrix: one row
      call(within);
      return advance({mr_, 0}, x, false);
    }
    const auto inside = [&] {
      call(within);
      advance({mr_, 0}, x, false);
      e_.if_(x, Compare::eq, s_.ow, [&] {
        move(s_.a_row - s_.ow * s_.a_col, s_.c_row - s_.ow * s_.c_col,
             [&](const FusedOperand& o) { return o.strides[2] - s_.ow * o.strides[3]; });
        e_.set(x, 0);
      });
    };
    if (wrapping.empty()) return inside();
    const auto crossing = [&](auto&& self, size_t i) -> void {
      const auto wrap = [&] {
        call(wrapped[i]);
        advance(wrapping[i], x, true);
      };
      if (i + 1 == wrapping.size()) return wrap();
      e_.if_(x, Compare::eq, wrapping[i].x, wrap, [&] { self(self, i + 1); });
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
    move(pixel(s_, t, rows, s_.a_row, s_.a_col), pixel(s_, t, rows, s_.c_row, s_.c_col),
         [&](const FusedOperand& o) { return pixel(s_, t, rows, o.strides[2], o.strides[3]); });
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
  int64_t columns_, mr_, m_;
  size_t fused_;
  int64_t rounds_, ahead_step_;  ///< of a tile; bytes of the next panel that each of them moves on
  Int ahead_;                    ///< of the panel function
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
  return PanelEmitter(emitter, flattened, schedule, name, columns, ahead_tiles).emit();
}

Func emit_panels(Emitter& e, const ContractionSpec& s, const Schedule& schedule, const std::string& name,
                 int64_t ahead_tiles) {
  const int64_t nr = tile_columns(schedule, e.target()), full = s.n / nr, tail = s.n % nr;
  const int64_t panel_bytes = nr * (s.b_k ? 1 : s.kh * s.kw * s.k) * kF;
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
        const auto call_whole = [&] { call_panel(e, whole, args, panel, full, ahead_tiles ? panel_bytes : 0); };
        if (full && tail)
          e.if_(panel, Compare::lt, full, call_whole, [&] { e.call(last, args); });
        else if (full)
          call_whole();
        else
          e.call(last, args);
        add(e, e.param(1), e.param(1), panel_bytes);
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
