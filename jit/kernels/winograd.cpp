#include "jit/kernels/winograd.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/sizes.h"

namespace kiln {

WinogradForm winograd_form(const ContractionSpec& s, Algorithm algorithm) {
  return {winograd_tile(algorithm), static_cast<int>(stride_in_taps(s))};
}

int64_t winograd_tiles(const ContractionSpec& s, int m) { return s.batch[0] * ceil_div(s.oh, m) * ceil_div(s.ow, m); }

namespace {

constexpr int64_t kF = 4;  // bytes of a float

/// Sizes in elements of a thread's scratch: temporary of one tile, V [points][tile][phases][k], products
/// [points][tile][columns].
struct Layout {
  WinogradForm form;
  int m, side;  ///< side: points
  int64_t tiles, block, columns, points;
  int64_t v_row, v_point, p_row, p_point;
  int64_t temporary, v, p, end;  ///< offsets

  Layout(const ContractionSpec& s, const Schedule& schedule, int width)
      : form(winograd_form(s, schedule.algorithm)),
        m(std::max(form.m, 2)),  // schedules of other algorithms have no layout
        side(form.points()),
        tiles(winograd_tiles(s, m)),
        points(side * side) {
    const int64_t all = round_up(tiles, schedule.mr);
    block = schedule.mc ? std::min<int64_t>(schedule.mc, all) : all;
    columns = schedule.nc ? std::min<int64_t>(schedule.nc, s.n) : s.n;
    v_row = round_up(form.phases() * s.k, width);
    p_row = round_up(columns, width);
    // One cache line more, so that the points of a tile do not compete for the same cache sets.
    constexpr int64_t kLine = 16;
    v_point = round_up(block * v_row, kLine) + kLine;
    p_point = round_up(block * p_row, kLine) + kLine;
    temporary = 0;
    v = form.weights() * width;
    p = v + points * v_point;
    end = p + points * p_point;
  }
};

/// A unit is a block of tiles × a range of columns. Its products are plain contractions from scratch to scratch. A
/// thread transforms a block's input once for all ranges of columns that it computes of the block.
class WinogradEmitter {
 public:
  WinogradEmitter(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        s_(spec),
        schedule_(schedule),
        name_(std::move(name)),
        l_(spec, schedule, emitter.width()),
        nr_(tile_columns(schedule, emitter.target())),
        fused_(spec.epilogue.operands.size()),
        out_type_(stored_type(spec.epilogue)) {}

  Func emit() {
    const Func forward = emit_forward();
    const Func multiply = emit_multiply();
    const int64_t rest = s_.n % l_.columns;
    const Func inverse = emit_inverse(l_.columns);
    return emit_entry(forward, multiply, inverse, rest ? emit_inverse(rest) : inverse);
  }

 private:
  std::string part(const char* what, int64_t a, int64_t b) const {
    return name_ + what + std::to_string(a) + "x" + std::to_string(b);
  }
  int64_t across() const { return ceil_div(s_.ow, l_.m); }
  int64_t down() const { return ceil_div(s_.oh, l_.m); }
  /// Output columns of the last tile of a row, and of all others.
  int64_t last_columns() const { return s_.ow - (across() - 1) * l_.m; }

  // -- input: V[point][tile] = Bᵀ d B for each phase of a tile's d
  // ---------------------------------------------------------------------
  /// input(v, src, temporary, rows): one tile, of which `rows` rows and `columns` columns exist; the others are zero.
  SizedFunc emit_input(int64_t columns) {
    Sizes sizes(e_.target().shared_tiles, 4);
    const Size rounds = sizes.add(s_.k / e_.width()), col = sizes.add(s_.a_tap_col * kF),
               row = sizes.add(s_.a_tap_row * kF), point = sizes.add(l_.v_point * kF),
               line_of_points = sizes.add(l_.side * l_.v_point * kF), phase = sizes.add(s_.k * kF, l_.form.stride == 2);
    const int64_t data = l_.form.data();
    const auto emit = [&](const std::string& name) {
      const Func f = e_.begin_function(name, sizes.params());
      const Int v = e_.param(0), src = e_.param(1), temporary = e_.param(2), rows = e_.param(3);
      const int64_t line = data * e_.width() * kF;  // of the temporary
      WinogradTransform transform = WinogradTransform::input(e_, l_.form);
      const Vec zero = e_.vec();
      e_.splat(zero, 0);
      const Int from = e_.integer(), to = e_.integer(), left = e_.integer();
      for_vectors(e_, arg(e_, rounds), s_.k % e_.width(), 1, {v, src}, {kF, kF}, [&](int64_t element, int lanes) {
        add(e_, from, src, element * kF);
        e_.set(to, temporary);
        e_.set(left, rows);
        const auto next_line = [&] {
          add(e_, to, to, line);
          add(e_, left, left, -1);
        };
        e_.do_while(
            [&] {
              std::vector<Vec> d;
              Walk at(e_, from, col);
              for (int64_t x = 0; x < data; ++x) {
                d.push_back(x < columns ? e_.vec() : zero);
                if (x < columns) e_.load(d.back(), at.next(), DType::f32, lanes);
              }
              store_all({e_, to, {e_.width() * kF}}, l_.form.stride == 1 ? transform.apply(d) : by_phase(transform, d));
              add(e_, from, from, arg(e_, row));
              next_line();
            },
            left, Compare::gt, 0);
        e_.op(IntOp::sub, left, data, rows);
        e_.if_(left, Compare::gt, 0, [&] {
          e_.do_while(
              [&] {
                store_all({e_, to, {e_.width() * kF}}, std::vector<Vec>(static_cast<size_t>(data), zero));
                next_line();
              },
              left, Compare::gt, 0);
        });
        e_.set(from, temporary);
        add(e_, to, v, element * kF);
        const auto next_column = [&] {
          add(e_, from, from, e_.width() * kF);
          add(e_, to, to, arg(e_, point));
        };
        if (l_.form.stride == 1) {
          e_.for_range(left, 0, l_.side, 1, [&] {
            store_all({e_, to, line_of_points}, transform.apply(load_all({e_, from, {line}}, l_.side)));
            next_column();
          });
          return;
        }
        // The phases of a point are adjacent. A point at infinity has fewer. A last partial vector must not reach into
        // the next phase.
        const auto columns_of = [&](int64_t count, int odd_rows) {
          e_.for_range(left, 0, count, 1, [&] {
            const Int odd = e_.integer();
            e_.op(IntOp::mul, odd, arg(e_, phase), odd_rows);
            add(e_, odd, odd, to);
            store_all({e_, to, line_of_points}, transform.apply(load_all({e_, from, {2 * line}}, l_.side)), lanes);
            add(e_, from, from, line);
            store_all({e_, odd, line_of_points}, transform.apply(load_all({e_, from, {2 * line}}, l_.m)), lanes);
            add(e_, from, from, -line);
            next_column();
          });
        };
        columns_of(l_.m, 2);
        add(e_, to, v, element * kF);
        add(e_, to, to, arg(e_, phase));
        columns_of(l_.m, 2);
        e_.op(IntOp::sub, to, to, arg(e_, phase));
        columns_of(1, 1);
      });
      e_.end_function();
      return f;
    };
    const std::string own = part("_input", l_.side, columns);
    return share(e_, sizes, own, "winograd_input" + shape(columns, s_.k), emit);
  }

  /// From a line's data to the finite points of even columns, those of odd columns, and infinity of even columns.
  static std::vector<Vec> by_phase(WinogradTransform& transform, const std::vector<Vec>& d) {
    std::vector<Vec> columns[2];
    for (size_t x = 0; x < d.size(); ++x) columns[x % 2].push_back(d[x]);
    std::vector<Vec> out = transform.apply(columns[0]);
    const std::vector<Vec> odd = transform.apply(columns[1]);
    out.insert(out.end() - 1, odd.begin(), odd.end());
    return out;
  }

  std::vector<Vec> load_all(Walk at, int count) {
    std::vector<Vec> out;
    for (int i = 0; i < count; ++i) e_.load(out.emplace_back(e_.vec()), at.next());
    return out;
  }
  void store_all(Walk at, const std::vector<Vec>& values) { store_all(at, values, e_.width()); }
  void store_all(Walk at, const std::vector<Vec>& values, int lanes) {
    for (const Vec v : values) e_.store(at.next(), v, DType::f32, lanes);
  }

  /// What a transform's code depends on besides its sizes.
  std::string shape(int64_t columns, int64_t channels) const {
    return std::to_string(l_.m) + " stride" + std::to_string(l_.form.stride) + " columns" + std::to_string(columns) +
           " rest" + std::to_string(channels % e_.width());
  }
  /// forward(scratch, a, first, count): tiles [first, first + count).
  Func emit_forward() {
    const int64_t last = std::min<int64_t>(last_columns(), l_.m);
    const auto input_columns = [&](int64_t columns) { return columns * l_.form.stride + 3 - l_.form.stride; };
    const SizedFunc edge = emit_input(input_columns(last));
    const SizedFunc inside = last == l_.m ? edge : emit_input(input_columns(l_.m));
    const Func f = e_.begin_function(name_ + "_forward", 4);
    const Int v = e_.integer(), temporary = e_.param(0), src = e_.integer();
    add(e_, v, e_.param(0), l_.v * kF);
    each_tile([&](const Tile& t) {
      e_.op(IntOp::mul, t.rows, t.rows, l_.form.stride);
      add(e_, t.rows, t.rows, 3 - l_.form.stride);
      place(src, e_.param(1), kF, {s_.a_batch[0], l_.m * s_.a_row, l_.m * s_.a_col}, t);
      const std::vector<Arg> args{v, src, temporary, t.rows};
      call_edge(t, inside, edge, args);
      add(e_, v, v, l_.v_row * kF);
    });
    e_.end_function();
    return f;
  }

  // -- tiles
  // ---------------------------------------------------------------------------------------------------------------
  struct Tile {
    Int image, y, x;
    Int rows;  ///< that exist, of the output or of the input
  };

  /// Loops over the tiles [param(2), param(2) + param(3)), with their rows of the output.
  void each_tile(FunctionRef<void(const Tile&)> body) {
    const Tile t{e_.integer(), e_.integer(), e_.integer(), e_.integer()};
    const Int tile = e_.param(2), left = e_.param(3), r = e_.integer();
    e_.do_while(
        [&] {
          split(e_, tile, across(), t.x, r);
          split(e_, r, down(), t.y, t.image);
          e_.op(IntOp::mul, r, t.y, -l_.m);
          add(e_, r, r, s_.oh);
          e_.op(IntOp::min, t.rows, r, l_.m);
          body(t);
          add(e_, tile, tile, 1);
          add(e_, left, left, -1);
        },
        left, Compare::gt, 0);
  }

  void call_edge(const Tile& t, const SizedFunc& inside, const SizedFunc& edge, const std::vector<Arg>& args) {
    const auto call = [&](const SizedFunc& f) {
      std::vector<Arg> all = args;
      all.insert(all.end(), f.sizes.begin(), f.sizes.end());
      e_.call(f.function, all);
    };
    if (inside.function.id == edge.function.id) return call(edge);
    e_.if_(
        t.x, Compare::lt, across() - 1, [&] { call(inside); }, [&] { call(edge); });
  }

  /// dst = base + bytes · (image·s0 + y·s1 + x·s2)
  void place(Int dst, Int base, int64_t bytes, const std::array<int64_t, 3>& strides, const Tile& t) {
    const Int by = e_.integer();
    const Int index[] = {t.image, t.y, t.x};
    e_.set(dst, base);
    for (size_t i = 0; i < 3; ++i) {
      if (!strides[i]) continue;
      e_.op(IntOp::mul, by, index[i], strides[i] * bytes);
      add(e_, dst, dst, by);
    }
  }

  // -- products
  // ------------------------------------------------------------------------------------------------------------
  /// The product of a point with so many phases.
  ContractionSpec point_product(int phases) const {
    ContractionSpec product;
    product.ow = l_.tiles, product.k = phases * s_.k, product.n = s_.n;
    product.a_col = l_.v_row, product.c_col = l_.p_row;
    return product;
  }
  /// multiply(scratch, u, panel, panels, count, rest): every point's product with panels of U; `count` and `rest` as in
  /// emit_panel.
  Func emit_multiply() {
    std::vector<Func> panels(static_cast<size_t>(l_.form.phases()) + 1);
    for (int phases = l_.form.phases(); phases > 0; phases /= 2) {
      const ContractionSpec product = point_product(phases);
      const int64_t ahead = ahead_tiles(product, schedule_, e_.target(), l_.form.weights() * s_.k * s_.n * kF);
      const std::string name = name_ + (phases > 1 ? "_x" + std::to_string(phases) : "");
      panels[static_cast<size_t>(phases)] = emit_panels(e_, product, schedule_, name, ahead);
    }
    const Func f = e_.begin_function(name_ + "_multiply", 6);
    const Int a = e_.integer(), b = e_.integer(), c = e_.integer(), row = e_.integer(), point = e_.integer(),
              panel = e_.integer(), from = e_.integer();
    add(e_, a, e_.param(0), l_.v * kF);
    add(e_, c, e_.param(0), l_.p * kF);
    e_.set(b, e_.param(1));
    e_.op(IntOp::mul, panel, e_.param(2), nr_ * s_.k * kF);
    const auto products = [&](int64_t points, int phases) {
      e_.for_range(point, 0, points, 1, [&] {
        e_.op(IntOp::mul, from, panel, phases);
        add(e_, from, from, b);
        e_.call(panels[static_cast<size_t>(phases)], {a, from, c, e_.param(2), e_.param(3), e_.param(4), e_.param(5)});
        add(e_, a, a, l_.v_point * kF);
        add(e_, b, b, phases * packed_size(s_.k, s_.n) * kF);
        add(e_, c, c, l_.p_point * kF);
      });
    };
    if (l_.form.stride == 1) {
      products(l_.points, 1);
    } else {
      e_.for_range(row, 0, l_.m, 1, [&] {
        products(l_.m, 4);
        products(1, 2);
      });
      products(l_.m, 2);
      products(1, 1);
    }
    e_.end_function();
    return f;
  }

  // -- output: epilogue(Aᵀ p A) for a tile's products p
  // ------------------------------------------------------------------------------
  /// output(p, temporary, rows, c, fused…): `rows` rows and `columns` columns of a tile, `n` channels of each.
  SizedFunc emit_output(int64_t columns, int64_t n) {
    Sizes sizes(e_.target().shared_tiles, static_cast<int>(4 + fused_));
    const Size rounds = sizes.add(n / e_.width()), point = sizes.add(l_.p_point * kF),
               line_of_points = sizes.add(l_.side * l_.p_point * kF);
    std::vector<Size> row_steps, column_steps;  // of c and the fused operands
    std::vector<int64_t> channel_steps;
    for (size_t i = 0; i <= fused_; ++i) {
      const FusedOperand* o = i ? &s_.epilogue.operands[i - 1] : nullptr;
      const int64_t size = size_of(o ? o->dtype : out_type_);
      row_steps.push_back(sizes.add((o ? o->strides[2] : s_.c_row) * size, !o || moves(*o)));
      column_steps.push_back(sizes.add((o ? o->strides[3] : s_.c_col) * size, !o || moves(*o)));
      channel_steps.push_back((o ? o->strides[4] : 1) * size);
    }
    const auto emit = [&](const std::string& name) {
      const Func f = e_.begin_function(name, sizes.params());
      const Int p = e_.param(0), temporary = e_.param(1), rows = e_.param(2);
      const int64_t line = l_.side * e_.width() * kF;
      std::vector<Int> bases{p}, at;
      std::vector<int64_t> steps{kF};
      for (size_t i = 0; i <= fused_; ++i) {
        bases.push_back(e_.param(static_cast<int>(3 + i)));
        at.push_back(e_.integer());
        steps.push_back(channel_steps[i]);
      }
      WinogradTransform transform = WinogradTransform::output(e_, l_.form);
      const Int from = e_.integer(), to = e_.integer(), left = e_.integer();
      for_vectors(e_, arg(e_, rounds), n % e_.width(), 1, bases, steps, [&](int64_t element, int lanes) {
        add(e_, from, p, element * kF);
        e_.set(to, temporary);
        e_.for_range(left, 0, l_.side, 1, [&] {
          store_all({e_, to, {line}}, transform.apply(load_all({e_, from, line_of_points}, l_.side)));
          add(e_, from, from, arg(e_, point));
          add(e_, to, to, e_.width() * kF);
        });
        for (size_t i = 0; i < at.size(); ++i) add(e_, at[i], bases[i + 1], element * steps[i + 1]);
        std::vector<Vec> fixed(fused_);  // operands that are the same for all pixels (a bias)
        for (size_t i = 0; i < fused_; ++i)
          if (const FusedOperand& o = s_.epilogue.operands[i]; !moves(o))
            fixed[i] = load_strided(e_, {at[i + 1], 0}, o.dtype, o.strides[4], lanes);
        e_.set(from, temporary);
        e_.set(left, rows);
        e_.do_while(
            [&] {
              const std::vector<Vec> y = transform.apply(load_all({e_, from, {e_.width() * kF}}, l_.side));
              std::vector<Walk> pixels;
              for (size_t i = 0; i < at.size(); ++i) pixels.emplace_back(e_, at[i], column_steps[i]);
              for (int64_t x = 0; x < columns; ++x) {
                const Vec value = epilogue(y[static_cast<size_t>(x)], lanes, pixels, fixed);
                e_.store(pixels[0].next(), value, out_type_, lanes);
              }
              add(e_, from, from, line);
              for (size_t i = 0; i < at.size(); ++i) add(e_, at[i], at[i], arg(e_, row_steps[i]));
              add(e_, left, left, -1);
            },
            left, Compare::gt, 0);
      });
      e_.end_function();
      return f;
    };
    return share(e_, sizes, part("_output", columns, n), "winograd_output" + shape(columns, n) + code_text(s_.epilogue),
                 emit);
  }

  Vec epilogue(Vec acc, int lanes, std::vector<Walk>& pixels, const std::vector<Vec>& fixed) {
    if (s_.epilogue.empty()) return acc;
    std::vector<Vec> inputs{acc};
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      inputs.push_back(moves(o) ? load_strided(e_, pixels[i + 1].next(), o.dtype, o.strides[4], lanes) : fixed[i]);
    }
    return emit_expr(e_, s_.epilogue.expr, inputs);
  }

  /// inverse(scratch, c, first, count, fused…): tiles [first, first + count), `n` channels.
  Func emit_inverse(int64_t n) {
    const int64_t last = std::min<int64_t>(last_columns(), l_.m);
    const SizedFunc edge = emit_output(last, n);
    const SizedFunc inside = last == l_.m ? edge : emit_output(l_.m, n);
    const Func f = e_.begin_function(name_ + "_inverse" + std::to_string(n), static_cast<int>(4 + fused_));
    const Int p = e_.integer();
    std::vector<Int> at(1 + fused_);
    for (Int& i : at) i = e_.integer();
    add(e_, p, e_.param(0), l_.p * kF);
    each_tile([&](const Tile& t) {
      place(at[0], e_.param(1), size_of(out_type_), {s_.c_batch[0], l_.m * s_.c_row, l_.m * s_.c_col}, t);
      for (size_t i = 0; i < fused_; ++i) {
        const FusedOperand& o = s_.epilogue.operands[i];
        place(at[1 + i], e_.param(static_cast<int>(4 + i)), size_of(o.dtype),
              {o.strides[0], l_.m * o.strides[2], l_.m * o.strides[3]}, t);
      }
      std::vector<Arg> args{p, e_.param(0), t.rows};
      args.insert(args.end(), at.begin(), at.end());
      call_edge(t, inside, edge, args);
      add(e_, p, p, l_.p_row * kF);
    });
    e_.end_function();
    return f;
  }

  // -- the share of a thread
  // -----------------------------------------------------------------------------------------------
  Func emit_entry(Func forward, Func multiply, Func inverse, Func inverse_rest) {
    const int64_t ranges = ceil_div(s_.n, l_.columns), panels = ceil_div(l_.columns, nr_);
    const Func f = e_.begin_function(name_, static_cast<int>(6 + fused_));
    const Int scratch = behind_header(e_);
    const Int block = e_.integer(), range = e_.integer(), first = e_.integer(), tiles = e_.integer();
    const Int panel = e_.integer(), left = e_.integer(), count = e_.integer(), rest = e_.integer(), t = e_.integer();
    for_units(e_, [&](Int unit) {
      split(e_, unit, ranges, range, block);
      e_.op(IntOp::mul, first, block, l_.block);
      e_.op(IntOp::sub, tiles, l_.tiles, first);
      e_.op(IntOp::min, tiles, tiles, l_.block);
      once_per_block(e_, block, [&] { e_.call(forward, {scratch, e_.param(4), first, tiles}); });
      split_rows(e_, point_product(1), schedule_, tiles, count, rest);
      e_.op(IntOp::mul, panel, range, panels);
      e_.op(IntOp::sub, left, ceil_div(s_.n, nr_), panel);
      e_.op(IntOp::min, left, left, panels);
      e_.call(multiply, {scratch, e_.param(5), panel, left, count, rest});
      std::vector<Arg> args{scratch};
      for (size_t i = 0; i <= fused_; ++i) {
        const FusedOperand* o = i ? &s_.epilogue.operands[i - 1] : nullptr;
        const Int at = e_.integer();
        e_.op(IntOp::mul, t, range, l_.columns * (o ? o->strides[4] * size_of(o->dtype) : size_of(out_type_)));
        add(e_, at, t, e_.param(static_cast<int>(i ? 5 + i : 3)));
        args.emplace_back(at);
        if (i == 0) args.insert(args.end(), {first, tiles});
      }
      if (inverse.id == inverse_rest.id) return e_.call(inverse, args);
      e_.if_(
          range, Compare::lt, ranges - 1, [&] { e_.call(inverse, args); }, [&] { e_.call(inverse_rest, args); });
    });
    e_.end_function();
    return f;
  }

  Emitter& e_;
  const ContractionSpec& s_;
  Schedule schedule_;
  std::string name_;
  Layout l_;
  int64_t nr_;
  size_t fused_;
  DType out_type_;
};

}  // namespace

int64_t winograd_units(const ContractionSpec& s, const Schedule& schedule) {
  const Layout l(s, schedule, 1);
  return ceil_div(l.tiles, l.block) * ceil_div(s.n, l.columns);
}

int64_t winograd_scratch(const ContractionSpec& s, const Schedule& schedule, const Target& target) {
  return Layout(s, schedule, target.width).end * kF + kScratchHeader;
}

bool winograd_feasible(const ContractionSpec& s, const Schedule& schedule, const Target& target) {
  constexpr int64_t kMostScratch = 8 << 20;
  return winograd_tile(schedule.algorithm) <= s.winograd && schedule.nc % tile_columns(schedule, target) == 0 &&
         winograd_scratch(s, schedule, target) <= kMostScratch;
}

Func emit_winograd(Emitter& e, const ContractionSpec& spec, const Schedule& schedule, const std::string& name) {
  return WinogradEmitter(e, spec, schedule, name).emit();
}

}  // namespace kiln
