#include "jit/kernels/strassen.h"

#include "jit/epilogue.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/loops.h"

namespace kiln {

int64_t strassen_rows(const ContractionSpec& s, const Schedule& schedule) {
  return schedule.mc ? schedule.mc : s.oh * s.ow;
}

ContractionSpec strassen_product(const ContractionSpec& s, int64_t rows, int64_t columns) {
  ContractionSpec product;
  product.ow = ceil_div(rows, 2), product.k = s.k / 2, product.n = columns;
  product.a_col = s.a_col, product.a_tap_col = product.k, product.c_col = columns;
  return product;
}

namespace {

constexpr int64_t kF = 4;  // bytes of a float

/// Rows of a block: of its upper half, and from one half to the other; with an odd number both compute the middle one.
/// Of a thread's scratch, in elements: sums of quadrants of A, as [S1 S2] and [S3 S4] with A's own pitch, results of
/// products with a panel, sums of quadrants of a panel.
struct Layout {
  int64_t nr, k, rows, half, lower;
  int64_t pairs, blocks;
  int64_t matrix, partial, product, panel, end;  ///< a matrix's size, offsets

  Layout(const ContractionSpec& s, const Schedule& schedule, const Target& target)
      : nr(tile_columns(schedule, target)),
        k(s.k / 2),
        rows(strassen_rows(s, schedule)),
        half(ceil_div(rows, 2)),
        lower(rows / 2),
        pairs(s.n / (2 * nr)),
        blocks(s.ow / rows),
        matrix(half * s.a_col),
        partial(round_up(2 * matrix, 16)),
        product(round_up(partial + half * nr, 16)),
        panel(round_up(product + half * nr, 16)),
        end(panel + k * nr) {}
};

/// A unit is a block of rows × a pair of panels, one from each half of B's columns. All sums lie in caches. Sums of A
/// are made once for all pairs that a thread computes of a block. Sums of panels are made just before their product.
/// Results are added panel by panel. So the epilogue writes C once.
class StrassenEmitter {
 public:
  StrassenEmitter(Emitter& emitter, const ContractionSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter),
        s_(flattened(spec)),
        schedule_(schedule),
        name_(std::move(name)),
        l_(s_, schedule, emitter.target()),
        fused_(spec.epilogue.operands.size()) {
    schedule_.mc = 0;
  }

  Func emit() {
    const Func row = emit_row_sums();
    return emit_entry(row, emit_pair());
  }

 private:
  // -- sums of quadrants
  /// row(upper row of A, lower one, S1, S3): a row of S1 = A21 + A22, S2 = S1 − A11, S3 = A21 − A11, S4 = A12 − S2.
  Func emit_row_sums() {
    const Func f = e_.begin_function(name_ + "_sums", 4);
    const Int upper = e_.param(0), lower = e_.param(1), s12 = e_.param(2), s34 = e_.param(3);
    for_vectors(e_, l_.k, 1, {upper, lower, s12, s34}, {kF, kF, kF, kF}, [&](int64_t element, int lanes) {
      const int64_t left = element * kF, right = (element + l_.k) * kF;
      const auto load = [&](Int from, int64_t at) {
        const Vec v = e_.vec();
        e_.load(v, {from, at}, DType::f32, lanes);
        return v;
      };
      const auto put = [&](Int to, int64_t at, VecBinary op, Vec a, Vec b) {
        const Vec v = e_.vec();
        e_.op(op, v, a, b);
        e_.store({to, at}, v, DType::f32, lanes);
        return v;
      };
      const Vec a11 = load(upper, left), a21 = load(lower, left);
      const Vec s1 = put(s12, left, VecBinary::add, a21, load(lower, right));
      const Vec s2 = put(s12, right, VecBinary::sub, s1, a11);
      put(s34, left, VecBinary::sub, a21, a11);
      put(s34, right, VecBinary::sub, load(upper, right), s2);
    });
    e_.end_function();
    return f;
  }

  /// subtract(to, a, b, rows): rows of a panel.
  Func emit_subtract() {
    return e_.shared_function("strassen_subtract" + std::to_string(l_.nr), [&] {
      const Func f = e_.begin_function("strassen_subtract" + std::to_string(l_.nr), 4);
      const Int left = e_.param(3);
      const Vec a = e_.vec(), b = e_.vec();
      e_.do_while(
          [&] {
            for (int64_t i = 0; i < l_.nr; i += e_.width()) {
              e_.load(a, {e_.param(1), i * kF});
              e_.load(b, {e_.param(2), i * kF});
              e_.op(VecBinary::sub, a, a, b);
              e_.store({e_.param(0), i * kF}, a);
            }
            for (int p = 0; p < 3; ++p) add(e_, e_.param(p), e_.param(p), l_.nr * kF);
            add(e_, left, left, -1);
          },
          left, Compare::gt, 0);
      e_.end_function();
      return f;
    });
  }

  // -- products
  /// The epilogue for a sum to which so many partial results are added first. They are operands in front of its own.
  Epilogue after(int partial, const Epilogue& own) const {
    Epilogue out;
    Expr sum;
    uint16_t at = sum.input(0);
    const auto bias = bias_of(own);  // sums begin with it
    if (bias) at = sum.binary(PointOp::add, at, sum.input(1 + partial + static_cast<int>(*bias)));
    for (int i = 0; i < partial; ++i) {
      at = sum.binary(PointOp::add, at, sum.input(1 + i));
      out.operands.push_back({DType::f32, {0, 0, 0, l_.nr, 1}});
    }
    std::vector<int> outer, inner;
    for (int i = 0; i <= static_cast<int>(fused_); ++i) outer.push_back(i + partial);
    for (int i = 0; i < sum.num_inputs(); ++i) inner.push_back(i);
    out.expr = own.empty() ? sum : compose(without_bias(own), 0, sum, outer, inner);
    out.operands.insert(out.operands.end(), own.operands.begin(), own.operands.end());
    return out;
  }

  /// Products of `k` whose results lie in scratch or in C. `k` is half of the spec's, or 0 if there are only results to
  /// add.
  Func emit_product(const std::string& name, int partial, bool last, int64_t k, int64_t ahead) {
    ContractionSpec p = strassen_product(s_, l_.rows, l_.nr);
    p.k = p.a_tap_col = k;
    if (last) p.c_col = s_.c_col;
    if (partial) p.epilogue = after(partial, last ? s_.epilogue : Epilogue{});
    return emit_panel(e_, p, schedule_, name_ + name, l_.nr, ahead);
  }

  Int offset(Int base, int64_t bytes) {
    const Int at = e_.integer();
    add(e_, at, base, bytes);
    return at;
  }

  /// pair(scratch, a, b, next, c, fused…): a block's rows against two panels. Every pointer is that of the first
  /// quadrant. `next` is the panel after b.
  Func emit_pair() {
    const ContractionSpec product = strassen_product(s_, l_.rows, s_.n / 2);
    const int64_t ahead = ahead_tiles(product, schedule_, e_.target(), s_.k * s_.n * kF);
    const Func subtract = emit_subtract();
    const Func plain = emit_product("_first", 0, false, l_.k, ahead), sum = emit_product("_sum", 1, false, l_.k, ahead);
    const Func last = emit_product("_last", 1, true, l_.k, 0), last2 = emit_product("_last2", 2, true, l_.k, 0),
               add2 = emit_product("_add", 2, true, 0, 0);
    const Func f = e_.begin_function(name_ + "_pair", static_cast<int>(5 + fused_));
    const Int scratch = e_.param(0), a11 = e_.param(1), b11 = e_.param(2), next = e_.param(3);
    const int64_t half_row = l_.k * kF, half_panel = l_.k * l_.nr * kF, panels = 2 * half_panel * l_.pairs;
    const Int s12 = scratch, s34 = offset(scratch, l_.matrix * kF), x = offset(scratch, l_.partial * kF),
              p7 = offset(scratch, l_.product * kF), t = offset(scratch, l_.panel * kF);
    const Int a12 = offset(a11, half_row), a22 = offset(a12, l_.lower * s_.a_col * kF);
    const Int b21 = offset(b11, half_panel), b12 = offset(b11, panels), b22 = offset(b12, half_panel);
    const Int next21 = offset(next, half_panel), next12 = offset(next, panels), next22 = offset(next12, half_panel);

    const std::vector<int64_t> whole = remainder_tiles(product, schedule_);
    const int64_t tiles = (l_.half - remainder_rows(product, schedule_)) / schedule_.mr;
    const auto rows = [&](std::vector<Arg> args, Func product_of, const Int* touched) {
      args.insert(args.end(), {0, tiles, whole.empty() ? 0 : 1});
      if (ahead && touched) args.emplace_back(*touched);
      e_.call(product_of, args);
    };
    /// Moves to a quadrant of C, with its part of the fused operands.
    const auto finish = [&](Func product_of, Int a, Int b, std::initializer_list<Int> partial, bool low, bool right) {
      const auto at = [&](int param, int64_t row, int64_t column, int64_t bytes) {
        return offset(e_.param(param), ((low ? l_.lower * row : 0) + (right ? s_.n / 2 * column : 0)) * bytes);
      };
      std::vector<Arg> args{a, b, at(4, s_.c_col, 1, size_of(stored_type(s_.epilogue)))};
      for (const Int p : partial) args.emplace_back(p);
      for (size_t i = 0; i < fused_; ++i) {
        const FusedOperand& o = s_.epilogue.operands[i];
        args.emplace_back(at(static_cast<int>(5 + i), o.strides[3], o.strides[4], size_of(o.dtype)));
      }
      rows(args, product_of, nullptr);
    };
    const auto panel_sum = [&](Int of, Int less) { e_.call(subtract, {t, of, less, l_.k}); };

    panel_sum(b12, b22);
    rows({s34, t, p7}, plain, &next);           // P7 = (A21 − A11)(B12 − B22)
    rows({a11, b11, x}, plain, &next21);        // P1
    finish(last, a12, b21, {x}, false, false);  // C11 = P1 + P2
    panel_sum(b11, t);
    rows({offset(s12, half_row), t, x, x}, sum, &next12);  // P1 + P6
    panel_sum(b21, t);
    finish(last2, a22, t, {x, p7}, true, false);  // C21 = P1 + P6 + P7 + P4
    panel_sum(b12, b11);
    rows({s12, t, x, x}, sum, &next22);                          // P1 + P6 + P5
    finish(last, offset(s34, half_row), b22, {x}, false, true);  // C12 = P1 + P6 + P5 + P3
    finish(add2, a11, b11, {x, p7}, true, true);                 // C22 = P1 + P6 + P5 + P7
    e_.end_function();
    return f;
  }

  // -- the share of a thread
  Func emit_entry(Func row, Func pair) {
    const Func f = e_.begin_function(name_, static_cast<int>(6 + fused_));
    const Int scratch = behind_header(e_);
    const Int p = e_.integer(), block = e_.integer(), a = e_.integer(), b = e_.integer(), next = e_.integer();
    const int64_t pair_bytes = s_.k * l_.nr * kF;
    for_units(e_, [&](Int unit) {
      split(e_, unit, l_.pairs, p, block);
      const auto place = [&](Int to, Int base, int64_t by_row, int64_t by_column) {
        const Int t = e_.integer();
        e_.op(IntOp::mul, to, block, l_.rows * by_row);
        add(e_, to, to, base);
        if (!by_column) return;
        e_.op(IntOp::mul, t, p, l_.nr * by_column);
        add(e_, to, to, t);
      };
      place(a, e_.param(4), s_.a_col * kF, 0);
      once_per_block(e_, block, [&] {
        const Int lower = offset(a, l_.lower * s_.a_col * kF), upper = offset(a, 0), s12 = offset(scratch, 0),
                  s34 = offset(scratch, l_.matrix * kF), i = e_.integer();
        e_.for_range(i, 0, l_.half, 1, [&] {
          e_.call(row, {upper, lower, s12, s34});
          for (const Int at : {upper, lower, s12, s34}) add(e_, at, at, s_.a_col * kF);
        });
      });
      e_.op(IntOp::mul, b, p, pair_bytes);
      add(e_, b, b, e_.param(5));
      add(e_, next, b, pair_bytes);
      e_.if_(p, Compare::ge, l_.pairs - 2, [&] { e_.set(next, e_.param(5)); });  // see call_panel
      std::vector<Arg> args{scratch, a, b, next};
      for (size_t i = 0; i <= fused_; ++i) {
        const FusedOperand* o = i ? &s_.epilogue.operands[i - 1] : nullptr;
        const int64_t size = size_of(o ? o->dtype : stored_type(s_.epilogue));
        const Int at = e_.integer();
        place(at, e_.param(static_cast<int>(i ? 5 + i : 3)), (o ? o->strides[3] : s_.c_col) * size,
              (o ? o->strides[4] : 1) * size);
        args.emplace_back(at);
      }
      e_.call(pair, args);
    });
    e_.end_function();
    return f;
  }

  Emitter& e_;
  ContractionSpec s_;
  Schedule schedule_;
  std::string name_;
  Layout l_;
  size_t fused_;
};

}  // namespace

int64_t strassen_units(const ContractionSpec& spec, const Schedule& schedule, const Target& target) {
  const Layout l(flattened(spec), schedule, target);
  return l.blocks * l.pairs;
}

int64_t strassen_scratch(const ContractionSpec& spec, const Schedule& schedule, const Target& target) {
  return Layout(flattened(spec), schedule, target).end * kF + kScratchHeader;
}

bool strassen_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target) {
  constexpr int64_t kMostScratch = 8 << 20;
  const ContractionSpec s = flattened(spec);
  const int64_t rows = strassen_rows(s, schedule);
  return s.strassen && s.batch[0] * s.batch[1] * s.oh * s.kh * s.kw == 1 && s.k % 2 == 0 &&
         s.n % (2 * tile_columns(schedule, target)) == 0 && rows >= 2 && s.ow % rows == 0 &&
         strassen_scratch(spec, schedule, target) <= kMostScratch;
}

Func emit_strassen(Emitter& e, const ContractionSpec& spec, const Schedule& schedule, const std::string& name) {
  return StrassenEmitter(e, spec, schedule, name).emit();
}

}  // namespace kiln
