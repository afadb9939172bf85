// Reductions over any dims. Lanes run across a kept dim where one is contiguous (a channels-last average),
// else across a contiguous reduced dim, else one element at a time. A NaN always reaches the result, as in
// PyTorch.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/cascade.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/reduce_wide.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

using Sizes = std::vector<int64_t>;

/// The number of independent accumulators, which hide the latency of an addition.
constexpr int kAccumulators = 4;

const ReduceSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ReduceSpec>(&spec); }

int64_t product(const Sizes& s) {
  int64_t n = 1;
  for (int64_t x : s) n *= x;
  return n;
}

bool is_arg(ReduceKind k) { return k == ReduceKind::argmax || k == ReduceKind::argmin; }

/// Along which dims lanes and units run. Kept elements that are contiguous in the input form blocks of kAccumulators
/// vectors.
struct Shape {
  size_t lane_dim = SIZE_MAX;  ///< the kept dim that lanes run across
  size_t row_dim = SIZE_MAX;   ///< else the reduced dim that they do
  int64_t block = 1, blocks = 1,
          rest = 0;  ///< of lane_dim: elements of a block, how many, elements of the last if it is shorter

  Shape(const ReduceSpec& s, const Target& target) {
    lane_dim = contiguous(s.kept, s.in_kept);
    if (lane_dim != SIZE_MAX) {
      const int64_t run = s.kept[lane_dim];
      block = std::min<int64_t>(run, int64_t{kAccumulators} * target.width);
      blocks = ceil_div(run, block);
      rest = run % block;
      return;
    }
    const size_t d = contiguous(s.reduced, s.in_reduced);
    if (is_arg(s.kind) && is_wide(s)) return;
    // lanes count the indices of a row, so the row must be all that is reduced
    if (d != SIZE_MAX && is_arg(s.kind) && (s.reduced[d] != product(s.reduced) || s.reduced[d] < target.width)) return;
    row_dim = d;
  }
  static size_t contiguous(const Sizes& dims, const Sizes& strides) {
    for (size_t d = dims.size(); d-- > 0;)
      if (strides[d] == 1 && dims[d] > 1) return d;
    return SIZE_MAX;
  }
  int64_t units(const ReduceSpec& s) const {
    return lane_dim == SIZE_MAX ? product(s.kept) : product(s.kept) / s.kept[lane_dim] * blocks;
  }
  bool counts_lanes(const ReduceSpec& s) const { return is_arg(s.kind) && row_dim != SIZE_MAX; }
};

class ReduceEmitter {
 public:
  ReduceEmitter(Emitter& emitter, const ReduceSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        shape_(spec, emitter.target()),
        out_type_(stored_type(spec.epilogue, spec.out_dtype)),
        lane_(spec.dtype == DType::f32 ? Lane::f32 : Lane::i32) {
    types_ = {out_type_, s_.dtype};
    strides_ = {s_.out_kept, s_.in_kept};
    for (const FusedOperand& o : s_.epilogue.operands) types_.push_back(o.dtype), strides_.push_back(o.strides);
  }

  Func emit() {
    const Func whole = emit_unit(shape_.block);
    const Func last = shape_.rest ? emit_unit(shape_.rest) : whole;
    const Func f = e_.begin_function(name_, static_cast<int>(3 + types_.size()));
    if (shape_.counts_lanes(s_)) store_lane_numbers();
    Sizes dims = s_.kept;  // blocks are innermost
    if (shape_.lane_dim != SIZE_MAX) dims[shape_.lane_dim] = 1;
    dims.push_back(shape_.blocks);
    UnitOperands operands(e_, dims);
    operands.add(2, 1);  // scratch
    for (size_t i = 0; i < types_.size(); ++i) {
      Sizes strides = strides_[i];
      strides.resize(s_.kept.size());
      strides.push_back(lane_stride(i) * shape_.block);
      operands.add(static_cast<int>(3 + i), size_of(types_[i]), std::move(strides));
    }
    const Int block = e_.integer();
    for_units(e_, [&](Int unit) {
      const std::vector<Arg> args = operands.at(unit);
      if (!shape_.rest) return e_.call(whole, args);
      e_.op(IntOp::rem, block, unit, shape_.blocks);
      e_.if_(
          block, Compare::lt, shape_.blocks - 1, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

 private:
  struct Best {
    Vec value, index;
  };

  /// unit(scratch, out, in, fused…): `run` neighbours in the lane dim, or one result.
  Func emit_unit(int64_t run) {
    const Func f = e_.begin_function(name_ + "_unit" + std::to_string(run), static_cast<int>(1 + types_.size()));
    if (is_wide(s_)) {
      emit_wide_unit(e_, s_, shape_.lane_dim, shape_.row_dim, run);
    } else if (shape_.counts_lanes(s_)) {
      store(best_of_row(), 0, 1);
    } else if (shape_.row_dim != SIZE_MAX) {
      store(fold_row(), 0, 1);
    } else {
      std::vector<int> lanes;
      for (int64_t at = 0; at < run; at += e_.width())
        lanes.push_back(static_cast<int>(std::min<int64_t>(e_.width(), run - at)));
      const std::vector<Vec> values = is_arg(s_.kind) ? best_of_lanes(lanes) : fold_lanes(lanes);
      for (size_t i = 0; i < values.size(); ++i) store(values[i], static_cast<int64_t>(i) * e_.width(), lanes[i]);
    }
    e_.end_function();
    return f;
  }

  Int operand(size_t i) { return e_.param(static_cast<int>(1 + i)); }
  int64_t lane_stride(size_t i) const { return shape_.lane_dim == SIZE_MAX ? 0 : strides_[i][shape_.lane_dim]; }
  Mem at(size_t i, int64_t element) { return {operand(i), element * lane_stride(i) * size_of(types_[i])}; }

  void store(Vec value, int64_t element, int lanes) {
    if (s_.kind == ReduceKind::mean) {
      const Vec count = e_.vec();
      e_.splat(count, static_cast<float>(product(s_.reduced)));
      e_.op(VecBinary::div, value, value, count);
    }
    if (!s_.epilogue.empty()) {
      std::vector<Vec> inputs{value};
      for (size_t i = 2; i < types_.size(); ++i)
        inputs.push_back(load_strided(e_, at(i, element), types_[i], lane_stride(i), lanes));
      value = emit_expr(e_, s_.epilogue.expr, inputs);
    }
    store_strided(e_, at(0, element), value, out_type_, lanes == 1 ? 1 : lane_stride(0), lanes);
  }

  Vec splat_i32(int32_t v) {
    const Vec r = e_.vec();
    e_.splat_i32(r, v);
    return r;
  }
  Sizes reduced_bytes(size_t without = SIZE_MAX) const {
    Sizes bytes;
    for (size_t d = 0; d < s_.reduced.size(); ++d)
      if (d != without) bytes.push_back(s_.in_reduced[d] * size_of(s_.dtype));
    return bytes;
  }

  /// Every lane folds its own elements. The vectors of a block are adjacent in memory.
  std::vector<Vec> fold_lanes(const std::vector<int>& lanes) {
    const Int in = e_.integer();
    e_.set(in, operand(1));
    const Vec x = e_.vec();
    std::vector<Vec> acc;
    const auto load = [&](Vec v, size_t i) {
      e_.load(v, {in, static_cast<int64_t>(i) * e_.width() * size_of(s_.dtype)}, s_.dtype, lanes[i]);
    };
    for (size_t i = 0; i < lanes.size(); ++i) {
      acc.push_back(e_.vec());
      if (starts_at_element())
        load(acc[i], i);
      else
        start(acc[i]);
    }
    cascade(acc).nest(s_.reduced, {in}, {reduced_bytes()}, 1, [&] {
      for (size_t i = 0; i < acc.size(); ++i) {
        load(x, i);
        combine(acc[i], x);
      }
    });
    return acc;
  }
  std::vector<Vec> best_of_lanes(const std::vector<int>& lanes) {
    const Int in = e_.integer();
    e_.set(in, operand(1));
    const Vec x = e_.vec(), index = splat_i32(0), one = splat_i32(1);
    std::vector<Vec> value, best;
    const auto load = [&](Vec v, size_t i) {
      e_.load(v, {in, static_cast<int64_t>(i) * e_.width() * size_of(s_.dtype)}, s_.dtype, lanes[i]);
    };
    for (size_t i = 0; i < lanes.size(); ++i) {
      load(value.emplace_back(e_.vec()), i);
      best.push_back(splat_i32(0));
    }
    nest(e_, s_.reduced, {in}, {reduced_bytes()}, 0, [&] {
      for (size_t i = 0; i < lanes.size(); ++i) {
        load(x, i);
        take({value[i], best[i]}, {x, index}, better(x, value[i]));
      }
      e_.op(VecBinary::i32_add, index, index, one);
    });
    return best;
  }

  /// Lanes run along contiguous reduced elements. Every lane ends with the result.
  Vec fold_row() {
    const int64_t size = size_of(s_.dtype);
    const int w = e_.width();
    Sizes outer = s_.reduced;
    outer.erase(outer.begin() + static_cast<long>(shape_.row_dim));
    const Int in = e_.integer();
    e_.set(in, operand(1));
    std::vector<Vec> acc;
    const Vec tail = e_.vec(), x = e_.vec();
    for (int i = 0; i < kAccumulators; ++i) start_row(acc.emplace_back(e_.vec()), in);
    start_row(tail, in);
    const Cascade row = cascade(acc);
    std::vector<Vec> all = acc;
    all.push_back(tail);
    const int64_t run = s_.reduced[shape_.row_dim], rounds = run / (kAccumulators * w);
    const int64_t terms = std::max<int64_t>(row.terms_after(rounds, 1) + 1, run % w);
    cascade(all).nest(outer, {in}, {reduced_bytes(shape_.row_dim)}, terms, [&] {
      size_t next = 0;
      const auto take = [&](int64_t element, int lanes) {
        if (lanes == w) {
          e_.load(x, {in, element * size}, s_.dtype, w);
          combine(acc[next++ % acc.size()], x);
        } else {  // single elements, in every lane: folded after the lanes are
          for (int i = 0; i < lanes; ++i) combine(tail, load_strided(e_, {in, (element + i) * size}, s_.dtype, 0, w));
        }
      };
      for_vectors(e_, rounds, run % (kAccumulators * w), kAccumulators, {in}, {size}, take,
                  [&](FunctionRef<void()> round) { row.loop(rounds, 1, round); });
    });
    for (size_t i = 1; i < acc.size(); ++i) combine(acc[0], acc[i]);
    for (int distance = w / 2; distance >= 1; distance /= 2) {
      e_.rotate(x, acc[0], distance);
      combine(acc[0], x);
    }
    combine(acc[0], tail);
    return acc[0];
  }

  /// Scratch holds 0, 1, 2, …, because lanes can only get different values from memory.
  void store_lane_numbers() {
    const Int i = e_.integer();
    for (int lane = 0; lane < e_.width(); ++lane) {
      e_.set(i, lane);
      e_.store_int({e_.param(2), 4 * lane}, i, DType::i32);
    }
  }
  Vec best_of_row() {
    const int64_t size = size_of(s_.dtype), run = s_.reduced[shape_.row_dim];
    const int w = e_.width();
    const Int in = e_.integer();
    e_.set(in, operand(1));
    const Vec x = e_.vec(), index = e_.vec(), step = splat_i32(w);
    e_.load(index, {e_.param(0), 0}, DType::i32, w);
    Best best{e_.vec(), e_.vec()};
    e_.load(best.value, {in, 0}, s_.dtype, w);
    e_.set(best.index, index);
    for_vectors(e_, run - run % w, 2, {in}, {size}, [&](int64_t element, int) {
      e_.load(x, {in, element * size}, s_.dtype, w);
      take(best, {x, index}, better(x, best.value));
      e_.op(VecBinary::i32_add, index, index, step);
    });
    const Vec turned_index = e_.vec();
    for (int distance = w / 2; distance >= 1; distance /= 2) {
      e_.rotate(x, best.value, distance);
      e_.rotate(turned_index, best.index, distance);
      const Vec earlier = compare(Lane::i32, Compare::lt, turned_index, best.index);
      const Vec no_worse = logic(VecBinary::andnot, earlier, better(best.value, x));
      take(best, {x, turned_index}, logic(VecBinary::or_, better(x, best.value), no_worse));
    }
    for (int64_t i = run - run % w; i < run; ++i) {
      const Vec last = load_strided(e_, {in, i * size}, s_.dtype, 0, w);
      take(best, {last, splat_i32(static_cast<int32_t>(i))}, better(last, best.value));
    }
    return best.index;
  }

  Vec compare(Lane lane, Compare c, Vec a, Vec b) {
    const Vec r = e_.vec();
    e_.compare(r, lane, c, a, b);
    return r;
  }
  Vec logic(VecBinary o, Vec a, Vec b) {
    const Vec r = e_.vec();
    e_.op(o, r, a, b);
    return r;
  }
  /// Whether x beats the best so far. The first NaN beats everything.
  Vec better(Vec x, Vec best) {
    const bool max = s_.kind == ReduceKind::argmax;
    if (lane_ == Lane::i32) return compare(lane_, max ? Compare::gt : Compare::lt, x, best);
    return logic(VecBinary::andnot, compare(lane_, Compare::eq, best, best),
                 compare(lane_, max ? Compare::le : Compare::ge, x, best));
  }
  void take(Best into, Best from, Vec mask) {
    e_.select(into.value, mask, from.value, into.value);
    e_.select(into.index, mask, from.index, into.index);
  }

  /// Only sums of floats need a cascade.
  Cascade cascade(const std::vector<Vec>& sums) const {
    const bool loses = lane_ == Lane::f32 && (s_.kind == ReduceKind::sum || s_.kind == ReduceKind::mean);
    return {e_, loses ? sums : std::vector<Vec>{}};
  }
  bool starts_at_element() const { return s_.kind == ReduceKind::max || s_.kind == ReduceKind::min; }
  void start_row(Vec acc, Int in) {
    if (starts_at_element())
      e_.set(acc, load_strided(e_, {in, 0}, s_.dtype, 0, e_.width()));
    else
      start(acc);
  }
  void start(Vec acc) {
    switch (s_.kind) {
      case ReduceKind::prod:
        return lane_ == Lane::f32 ? e_.splat(acc, 1) : e_.splat_i32(acc, 1);
      case ReduceKind::all:
        return e_.splat_i32(acc, -1);
      default:
        return e_.splat_i32(acc, 0);
    }
  }
  void combine(Vec acc, Vec x) {
    const bool f32 = lane_ == Lane::f32;
    switch (s_.kind) {
      case ReduceKind::sum:
      case ReduceKind::mean:
        return e_.op(f32 ? VecBinary::add : VecBinary::i32_add, acc, acc, x);
      case ReduceKind::prod:
        return e_.op(f32 ? VecBinary::mul : VecBinary::i32_mul, acc, acc, x);
      case ReduceKind::max:
        return f32 ? extremum(VecBinary::max, acc, x) : e_.op(VecBinary::i32_max, acc, acc, x);
      case ReduceKind::min:
        return f32 ? extremum(VecBinary::min, acc, x) : e_.op(VecBinary::i32_min, acc, acc, x);
      case ReduceKind::any:
        return e_.op(VecBinary::or_, acc, acc, x);
      default:
        return e_.op(VecBinary::and_, acc, acc, x);
    }
  }
  /// min and max keep a NaN of their first operand. This code keeps one of the accumulator.
  void extremum(VecBinary o, Vec acc, Vec x) {
    e_.select(acc, compare(Lane::f32, Compare::eq, acc, acc), logic(o, x, acc), acc);
  }

  Emitter& e_;
  ReduceSpec s_;
  std::string name_;
  Shape shape_;
  DType out_type_;
  Lane lane_;
  std::vector<DType> types_;
  std::vector<Sizes> strides_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target& target) {
  return Shape(spec_of(spec), target).units(spec_of(spec));
}
int64_t scratch_bytes(const KernelSpec& spec, const Schedule&, const Target& target) {
  return Shape(spec_of(spec), target).counts_lanes(spec_of(spec)) ? 4 * target.width : 0;
}
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return ReduceEmitter(e, spec_of(spec), name).emit();
}

using Spec = ReduceSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("kind", kind),  KILN_FIELD("kept", kept),     KILN_FIELD("red", reduced),
    KILN_FIELD("ik", in_kept), KILN_FIELD("ir", in_reduced), KILN_FIELD("ok", out_kept),
    KILN_FIELD("t", dtype),    KILN_FIELD("to", out_dtype),  KILN_EPILOGUE,
};
constexpr FieldList kFields = list_of("reduce", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const ReduceSpec& s = spec_of(spec);
  o.writes("out", stored_type(s.epilogue, s.out_dtype)).along(s.kept, s.out_kept);
  o.reads("in", s.dtype).along(s.kept, s.in_kept).along(s.reduced, s.in_reduced);
  o.fused(s.epilogue, s.kept);
  int64_t terms = 1;
  for (const int64_t size : s.reduced) terms = times(terms, size);
  o.count(terms);
  const bool indices = s.kind == ReduceKind::argmax || s.kind == ReduceKind::argmin;  // of 32 bits in lanes
  o.require(!indices || terms <= INT32_MAX);
}

Work work(const KernelSpec& spec) {
  const ReduceSpec& s = spec_of(spec);
  const double n = volume(s.kept) * volume(s.reduced);
  return {n, n * static_cast<double>(size_of(s.dtype))};
}

}  // namespace

const Family kReduceFamily{"reduce", &kFields, operands, work, units, scratch_bytes, feasible, emit};

}  // namespace kiln
