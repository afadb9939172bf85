// Reductions over any dims. Lanes run across a kept dim where one is contiguous (a channels-last average), else across a contiguous
// reduced dim, else one element at a time.
#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

using Sizes = std::vector<int64_t>;

const ReduceSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ReduceSpec>(&spec); }

int64_t product(const Sizes& s, size_t skip = SIZE_MAX) {
  int64_t n = 1;
  for (size_t i = 0; i < s.size(); ++i)
    if (i != skip) n *= s[i];
  return n;
}

bool is_arg(ReduceKind k) { return k == ReduceKind::argmax || k == ReduceKind::argmin; }
size_t find_contiguous(const Sizes& dims, const Sizes& strides) {
  for (size_t d = dims.size(); d-- > 0;)
    if (strides[d] == 1 && dims[d] > 1) return d;
  return SIZE_MAX;
}
/// The kept dim that lanes run across, or SIZE_MAX.
size_t lane_dim(const ReduceSpec& s) { return find_contiguous(s.kept, s.in_kept); }

class ReduceEmitter {
 public:
  ReduceEmitter(Emitter& emitter, const ReduceSpec& spec, std::string name)
      : e_(emitter), s_(spec), name_(std::move(name)), lane_dim_(lane_dim(spec)),
        out_type_(stored_type(spec.epilogue, spec.out_dtype)), is_f32_(spec.dtype == DType::f32) {
    if (lane_dim_ == SIZE_MAX && !is_arg(s_.kind)) row_dim_ = find_contiguous(s_.reduced, s_.in_reduced);
    types_ = {out_type_, s_.dtype};
    strides_ = {s_.out_kept, s_.in_kept};
    for (const FusedOperand& o : s_.epilogue.operands) types_.push_back(o.dtype), strides_.push_back(o.strides);
  }

  Func emit() {
    const Func one = emit_unit();
    const Func f = e_.begin_function(name_, static_cast<int>(3 + types_.size()));
    for_units(e_, [&](Int unit) {
      std::vector<Int> p;
      for (size_t i = 0; i < types_.size(); ++i) {
        p.push_back(e_.integer());
        e_.set(p[i], e_.param(static_cast<int>(3 + i)));
      }
      const Int rest = e_.integer(), index = e_.integer(), t = e_.integer();
      e_.set(rest, unit);
      for (size_t d = s_.kept.size(); d-- > 0;) {
        if (d == lane_dim_ || s_.kept[d] == 1) continue;
        e_.op(IntOp::rem, index, rest, s_.kept[d]);
        e_.op(IntOp::div, rest, rest, s_.kept[d]);
        for (size_t i = 0; i < p.size(); ++i) {
          if (!strides_[i][d]) continue;
          e_.op(IntOp::mul, t, index, strides_[i][d] * size_of(types_[i]));
          add(e_, p[i], p[i], t);
        }
      }
      e_.call(one, std::vector<Arg>(p.begin(), p.end()));
    });
    e_.end_function();
    return f;
  }

 private:
  Func emit_unit() {
    const Func f = e_.begin_function(name_ + "_row", static_cast<int>(types_.size()));
    std::vector<Int> p;
    Sizes steps;
    for (size_t i = 0; i < types_.size(); ++i) {
      p.push_back(e_.param(static_cast<int>(i)));
      steps.push_back(lane_dim_ == SIZE_MAX ? 0 : strides_[i][lane_dim_] * size_of(types_[i]));
    }
    const int64_t run = lane_dim_ == SIZE_MAX ? 1 : s_.kept[lane_dim_];
    for_vectors(e_, run, 1, p, steps, [&](int64_t element, int lanes) {
      const Vec value = row_dim_ == SIZE_MAX ? fold_lanes(element * steps[1], lanes) : fold_row();
      store(finish(value), element, lanes, steps);
    });
    e_.end_function();
    return f;
  }

  void store(Vec value, int64_t element, int lanes, const Sizes& steps) {
    if (!s_.epilogue.empty()) {
      std::vector<Vec> inputs{value};
      for (size_t i = 2; i < types_.size(); ++i) {
        const int64_t stride = lane_dim_ == SIZE_MAX ? 0 : strides_[i][lane_dim_];
        inputs.push_back(load_strided(e_, {e_.param(static_cast<int>(i)), element * steps[i]}, types_[i], stride, lanes));
      }
      value = emit_expr(e_, s_.epilogue.expr, inputs);
    }
    const int64_t stride = lane_dim_ == SIZE_MAX ? 1 : strides_[0][lane_dim_];
    store_strided(e_, {e_.param(0), element * steps[0]}, value, out_type_, stride, lanes);
  }

  /// Every lane folds its own elements.
  Vec fold_lanes(int64_t offset, int lanes) {
    const Int in = e_.integer();
    add(e_, in, e_.param(1), offset);
    const Vec acc = e_.vec(), x = e_.vec(), index = e_.vec(), best = e_.vec(), one = e_.vec(), better = e_.vec();
    start(acc);
    if (is_arg(s_.kind)) {
      e_.load(acc, {in, 0}, s_.dtype, lanes);
      e_.splat_i32(index, 0);
      e_.splat_i32(best, 0);
      e_.splat_i32(one, 1);
    } else if (starts_at_element()) {
      e_.load(acc, {in, 0}, s_.dtype, lanes);
    }
    Sizes bytes;
    for (int64_t st : s_.in_reduced) bytes.push_back(st * size_of(s_.dtype));
    nest(e_, s_.reduced, {in}, {bytes}, 0, [&] {
      e_.load(x, {in, 0}, s_.dtype, lanes);
      if (!is_arg(s_.kind)) return combine(acc, x);
      e_.compare(better, is_f32_ ? Lane::f32 : Lane::i32, s_.kind == ReduceKind::argmax ? Compare::gt : Compare::lt, x, acc);
      e_.select(acc, better, x, acc);
      e_.select(best, better, index, best);
      e_.op(VecBinary::i32_add, index, index, one);
    });
    return is_arg(s_.kind) ? best : acc;
  }

  /// Lanes share a contiguous run of the reduced elements, four accumulators; every lane ends with the result.
  Vec fold_row() {
    const int64_t run = s_.reduced[row_dim_];
    Sizes outer = s_.reduced, bytes;
    outer.erase(outer.begin() + static_cast<long>(row_dim_));
    for (size_t d = 0; d < s_.reduced.size(); ++d)
      if (d != row_dim_) bytes.push_back(s_.in_reduced[d] * size_of(s_.dtype));
    constexpr int kAccumulators = 4;
    const Int in = e_.integer();
    e_.set(in, e_.param(1));
    Vec acc[kAccumulators], tail = e_.vec();
    const Vec x = e_.vec(), scratch = e_.vec();
    for (Vec& a : acc) start_row(a = e_.vec(), in);
    start_row(tail, in);
    const int w = e_.width();
    nest(e_, outer, {in}, {bytes}, 0, [&] {
      int next = 0;
      for_vectors(e_, run, kAccumulators, {in}, {size_of(s_.dtype)}, [&](int64_t at, int lanes) {
        if (lanes == w) {
          e_.load(x, {in, at * size_of(s_.dtype)}, s_.dtype, w);
          combine(acc[next++ % kAccumulators], x);
        } else {  // single elements, in every lane: folded after the lanes are
          for (int i = 0; i < lanes; ++i) combine(tail, load_strided(e_, {in, (at + i) * size_of(s_.dtype)}, s_.dtype, 0, w));
        }
      });
    });
    for (int i = 1; i < kAccumulators; ++i) combine(acc[0], acc[i]);
    for (int distance = w / 2; distance >= 1; distance /= 2) {
      e_.rotate(scratch, acc[0], distance);
      combine(acc[0], scratch);
    }
    combine(acc[0], tail);
    return acc[0];
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
      case ReduceKind::prod: return is_f32_ ? e_.splat(acc, 1) : e_.splat_i32(acc, 1);
      case ReduceKind::all: return e_.splat_i32(acc, -1);
      default: return e_.splat_i32(acc, 0);
    }
  }
  void combine(Vec acc, Vec x) {
    switch (s_.kind) {
      case ReduceKind::sum:
      case ReduceKind::mean: return e_.op(is_f32_ ? VecBinary::add : VecBinary::i32_add, acc, acc, x);
      case ReduceKind::prod: return e_.op(is_f32_ ? VecBinary::mul : VecBinary::i32_mul, acc, acc, x);
      case ReduceKind::max: return e_.op(is_f32_ ? VecBinary::max : VecBinary::i32_max, acc, acc, x);
      case ReduceKind::min: return e_.op(is_f32_ ? VecBinary::min : VecBinary::i32_min, acc, acc, x);
      case ReduceKind::any: return e_.op(VecBinary::or_, acc, acc, x);
      default: return e_.op(VecBinary::and_, acc, acc, x);
    }
  }
  Vec finish(Vec v) {
    if (s_.kind != ReduceKind::mean) return v;
    const Vec scale = e_.vec();
    e_.splat(scale, static_cast<float>(1.0 / static_cast<double>(product(s_.reduced))));
    e_.op(VecBinary::mul, v, v, scale);
    return v;
  }

  Emitter& e_;
  ReduceSpec s_;
  std::string name_;
  size_t lane_dim_, row_dim_ = SIZE_MAX;
  DType out_type_;
  bool is_f32_;
  std::vector<DType> types_;
  std::vector<Sizes> strides_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) { return product(spec_of(spec).kept, lane_dim(spec_of(spec))); }
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) { return ReduceEmitter(e, spec_of(spec), name).emit(); }

}  // namespace

const Family kReduceFamily{"reduce", units, no_scratch, feasible, emit};

}  // namespace kiln
