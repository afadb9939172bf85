// Running sums, products and extremes along any axis. Lanes run across another dim: contiguous neighbours if there are
// any, else sequences side by side.
#include <algorithm>
#include <limits>

#include "jit/calc.h"
#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/blocks.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/math.h"
#include "jit/touch.h"

namespace kiln {
namespace {

/// How many vectors of neighbours run together, to hide the latency of an addition.
constexpr int kVectors = 4;
/// Steps after which the lost part is added to the sum. Until then it is so small that it loses nothing itself.
constexpr int64_t kRun = 64;

const ScanSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ScanSpec>(&spec); }

/// Which sequences a unit computes.
Blocks blocks_of(const ScanSpec& s, const Target& target) {
  Blocks b;
  bool neighbours = false;
  for (size_t d = 0; d < s.dims.size(); ++d) {
    if (s.dims[d] == 1) continue;
    const bool contiguous = s.in[d] == 1 && (!s.has_out || s.out[d] == 1);
    if (b.dim == SIZE_MAX || contiguous || (!neighbours && s.dims[d] > s.dims[b.dim])) b.dim = d;
    neighbours = neighbours || contiguous;
  }
  b.split(s.dims, int64_t{neighbours ? kVectors : 1} * target.width);
  return b;
}

class ScanEmitter {
 public:
  ScanEmitter(Emitter& emitter, const ScanSpec& spec, std::string name)
      : e_(emitter),
        c_(emitter),
        s_(spec),
        name_(std::move(name)),
        blocks_(blocks_of(spec, emitter.target())),
        lane_(spec.dtype == DType::i64   ? Lane::i64
              : spec.dtype == DType::f32 ? Lane::f32
                                         : Lane::i32) {
    if (s_.has_out) operands_.push_back({s_.dtype, s_.out, s_.out_step});
    if (s_.has_index) operands_.push_back({DType::i64, s_.index, s_.index_step});
    operands_.push_back({s_.dtype, s_.in, s_.in_step});
  }

  Func emit() {
    const Func whole = emit_unit(blocks_.block), last = blocks_.rest ? emit_unit(blocks_.rest) : whole;
    const Func f = e_.begin_function(name_, 3 + static_cast<int>(operands_.size()));
    std::vector<Blocks::Operand> operands;
    for (size_t i = 0; i < operands_.size(); ++i)
      operands.push_back({static_cast<int>(3 + i), size_of(operands_[i].dtype), operands_[i].strides});
    blocks_.for_blocks(e_, s_.dims, operands, whole, last);
    e_.end_function();
    return f;
  }

 private:
  struct Operand {
    DType dtype;
    std::vector<int64_t> strides;
    int64_t step;
  };
  /// Of one vector of sequences: what there is so far, what rounding took from it, where it stood.
  struct State {
    integer::Wide so_far;
    Vec lost, index;
    int lanes;
  };

  int64_t lane_stride(const Operand& o) const { return blocks_.stride(o.strides, 1); }

  /// unit([out], [index], in): `run` sequences side by side.
  Func emit_unit(int64_t run) {
    const Func f = e_.begin_function(name_ + "_unit" + std::to_string(run), static_cast<int>(operands_.size()));
    const int w = e_.width();
    std::vector<State> states;
    for (int64_t at = 0; at < run; at += w)
      states.push_back(first_state(static_cast<int>(std::min<int64_t>(w, run - at))));
    const Vec place = e_.vec();
    e_.splat_i32(place, 0);
    const Int i = e_.integer();
    const bool rounds = lane_ == Lane::f32 && (s_.kind == ScanKind::sum || s_.kind == ScanKind::prod);
    if (!rounds) {
      e_.for_range(i, 0, s_.count, 1, [&] { step(states, place); });
    } else {
      const Int left = e_.integer(), part = e_.integer();
      e_.set(left, s_.count);
      e_.do_while(
          [&] {
            e_.op(IntOp::min, part, left, kRun);
            e_.for_range(i, 0, part, 1, [&] { step(states, place); });
            for (const State& s : states) settle(s.so_far.low, s.lost);
            add(e_, left, left, -kRun);
          },
          left, Compare::gt, 0);
    }
    e_.end_function();
    return f;
  }

  State first_state(int lanes) {
    State s{{e_.vec(), lane_ == Lane::i64 ? e_.vec() : Vec{}}, e_.vec(), e_.vec(), lanes};
    e_.splat_i32(s.lost, 0);
    e_.splat_i32(s.index, 0);
    const bool most = s_.kind == ScanKind::max || s_.kind == ScanKind::log_sum_exp;
    if (lane_ == Lane::f32) {
      const float end = std::numeric_limits<float>::infinity();
      e_.splat(s.so_far.low, s_.kind == ScanKind::sum ? 0 : s_.kind == ScanKind::prod ? 1 : most ? -end : end);
      return s;
    }
    const bool wide = lane_ == Lane::i64;
    const int64_t least = wide ? INT64_MIN : INT32_MIN, greatest = wide ? INT64_MAX : INT32_MAX;
    const int64_t first = s_.kind == ScanKind::sum ? 0 : s_.kind == ScanKind::prod ? 1 : most ? least : greatest;
    e_.splat_i32(s.so_far.low, static_cast<int32_t>(first));
    if (wide) e_.splat_i32(s.so_far.high, static_cast<int32_t>(first >> 32));
    return s;
  }

  /// One element of each sequence.
  void step(const std::vector<State>& states, Vec place) {
    const auto in_reach = [&](size_t operand, size_t v) {
      const Operand& o = operands_[operand];
      const int64_t at = static_cast<int64_t>(v) * e_.width() * lane_stride(o) * size_of(o.dtype);
      return Mem{e_.param(static_cast<int>(operand)), at};
    };
    const size_t in = operands_.size() - 1;
    for (size_t v = 0; v < states.size(); ++v) {
      const State& s = states[v];
      const integer::Wide x = load_strided(e_, in_reach(in, v), s_.dtype, lane_, lane_stride(operands_[in]), s.lanes);
      const integer::Wide y = take(s, x, place);
      if (s_.has_out) store_strided(e_, in_reach(0, v), y, s_.dtype, lane_, lane_stride(operands_[0]), s.lanes);
      if (!s_.has_index) continue;
      const integer::Wide index{s.index, c_.ki(0)};
      store_strided(e_, in_reach(in - 1, v), index, DType::i64, Lane::i64, lane_stride(operands_[in - 1]), s.lanes);
    }
    if (s_.has_index) e_.op(VecBinary::i32_add, place, place, c_.ki(1));
    for (size_t o = 0; o < operands_.size(); ++o) {
      const Int at = e_.param(static_cast<int>(o));
      add(e_, at, at, operands_[o].step * size_of(operands_[o].dtype));
    }
  }

  void set(const integer::Wide& to, const integer::Wide& from) {
    e_.set(to.low, from.low);
    if (lane_ == Lane::i64) e_.set(to.high, from.high);
  }

  /// Takes x in, and returns what there is now.
  integer::Wide take(const State& s, const integer::Wide& x, Vec place) {
    const integer::Wide& so_far = s.so_far;
    if (is_extreme(s_.kind)) {
      const Compare better = s_.kind == ScanKind::max ? Compare::ge : Compare::le;
      Vec mask = e_.vec();
      if (lane_ == Lane::i64) {
        mask = integer::compare(e_, better, x, so_far);
      } else {
        e_.compare(mask, lane_, better, x.low, so_far.low);
        if (lane_ == Lane::f32) mask = c_.either(mask, c_.cmp(Compare::ne, x.low, x.low));
      }
      set(so_far, lane_ == Lane::i64 ? integer::select(e_, mask, x, so_far)
                                     : integer::Wide{c_.select(mask, x.low, so_far.low)});
      e_.select(s.index, mask, place, s.index);
      return so_far;
    }
    if (s_.kind == ScanKind::log_sum_exp) return {log_sum_exp(s, x.low)};
    const bool sums = s_.kind == ScanKind::sum;
    if (lane_ == Lane::i64) {
      set(so_far, sums ? integer::add(e_, so_far, x) : integer::multiply(e_, so_far, x));
      return so_far;
    }
    if (lane_ == Lane::i32) {
      e_.op(sums ? VecBinary::i32_add : VecBinary::i32_mul, so_far.low, so_far.low, x.low);
      return so_far;
    }
    return {sums ? added(so_far.low, s.lost, x.low) : multiplied(so_far.low, s.lost, x.low)};
  }

  /// A NaN becomes 0, because an infinity loses nothing.
  Vec number(Vec v) { return c_.both(v, c_.cmp(Compare::eq, v, v)); }

  /// Adds x and keeps what the addition rounds off (Knuth's TwoSum). The result is as good as that of a sum in double
  /// precision.
  Vec added(Vec sum, Vec lost, Vec x) {
    const Vec next = c_.add(sum, x), virtual_x = c_.sub(next, sum), of_sum = c_.sub(sum, c_.sub(next, virtual_x)),
              of_x = c_.sub(x, virtual_x);
    e_.op(VecBinary::add, lost, lost, number(c_.add(of_sum, of_x)));
    e_.set(sum, next);
    return c_.add(sum, lost);
  }
  /// The same of a product, of factors in two parts each.
  Vec multiplied(Vec product, Vec lost, Vec x) {
    const Vec next = c_.mul(product, x), p = c_.leading(product), y = c_.leading(x), p_rest = c_.sub(product, p),
              y_rest = c_.sub(x, y);
    Vec error = c_.sub(c_.mul(p, y), next);
    error = c_.add(c_.add(error, c_.mul(p, y_rest)), c_.mul(p_rest, y));
    error = c_.add(error, c_.mul(p_rest, y_rest));
    e_.set(lost, number(c_.add(c_.mul(lost, x), error)));
    e_.set(product, next);
    return c_.add(product, lost);
  }
  void settle(Vec sum, Vec lost) {
    const Vec next = c_.add(sum, lost);
    e_.set(lost, number(c_.sub(lost, c_.sub(next, sum))));
    e_.set(sum, next);
  }

  /// The greatest so far, and the sum of powers relative to it, in the place of what was lost. The mask of `index` says
  /// where there was a NaN.
  Vec log_sum_exp(const State& s, Vec x) {
    const Vec most = s.so_far.low;
    const Vec next = c_.max(x, most), finite = c_.max(next, c_.k(-std::numeric_limits<float>::max()));
    const Vec before = math::exp(e_, c_.sub(most, finite)), own = math::exp(e_, c_.sub(x, finite));
    e_.set(s.lost, c_.add(c_.mul(s.lost, before), own));
    e_.op(VecBinary::or_, s.index, s.index, c_.cmp(Compare::ne, x, x));
    e_.set(most, next);
    const Vec infinity = c_.k(std::numeric_limits<float>::infinity());
    const Vec y = c_.select(c_.cmp(Compare::eq, next, infinity), infinity, c_.add(finite, math::log(e_, s.lost)));
    return c_.either(y, s.index);  // all ones are a NaN
  }

  Emitter& e_;
  math::Calc c_;
  ScanSpec s_;
  std::string name_;
  Blocks blocks_;
  Lane lane_;
  std::vector<Operand> operands_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target& target) {
  return blocks_of(spec_of(spec), target).units(spec_of(spec).dims);
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return ScanEmitter(e, spec_of(spec), name).emit();
}

using Spec = ScanSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("d", dims),          KILN_FIELD("si", in),
    KILN_FIELD("so", out),          KILN_FIELD("sx", index),
    KILN_FIELD("n", count),         KILN_FIELD(nullptr, in_step),
    KILN_FIELD(nullptr, out_step),  KILN_FIELD(nullptr, index_step),
    KILN_FIELD("f", kind),          KILN_FIELD(nullptr, has_out),
    KILN_FIELD(nullptr, has_index), KILN_FIELD("t", dtype),
};
constexpr FieldList kFields = list_of("scan", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const ScanSpec& s = spec_of(spec);
  if (s.has_out) o.writes("out", s.dtype).along(s.dims, s.out).loop(s.count, s.out_step);
  if (s.has_index) o.writes("index", DType::i64).along(s.dims, s.index).loop(s.count, s.index_step);
  o.reads("in", s.dtype).along(s.dims, s.in).loop(s.count, s.in_step);
  o.require(s.has_out || s.has_index);
}

Work work(const KernelSpec& spec) {
  const ScanSpec& s = spec_of(spec);
  const double n = volume(s.dims) * static_cast<double>(s.count);
  return {s.kind == ScanKind::log_sum_exp ? 40 * n : n, n * 2 * static_cast<double>(size_of(s.dtype))};
}

}  // namespace

const Family kScanFamily{"scan", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
