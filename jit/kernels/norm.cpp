// Softmax, log-softmax, layer norm and RMS norm on contiguous rows: passes over a row that stays in the first-level cache.
#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/math.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;
constexpr int kAccumulators = 4;

const NormSpec& spec_of(const KernelSpec& spec) { return *std::get_if<NormSpec>(&spec); }

class NormEmitter {
 public:
  NormEmitter(Emitter& emitter, const NormSpec& spec, std::string name)
      : e_(emitter), s_(spec), name_(std::move(name)), weights_(s_.has_scale + s_.has_shift), fused_(s_.epilogue.operands.size()),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit() {
    const Func row = emit_row();
    const auto operands = static_cast<size_t>(2 + weights_) + fused_;
    const Func f = e_.begin_function(name_, static_cast<int>(3 + operands));
    for_units(e_, [&](Int unit) {
      std::vector<Int> p;
      for (size_t i = 0; i < operands; ++i) {
        p.push_back(e_.integer());
        e_.set(p[i], e_.param(static_cast<int>(3 + i)));
      }
      const Int rest = e_.integer(), index = e_.integer(), t = e_.integer();
      e_.set(rest, unit);
      for (size_t d = s_.rows.size(); d-- > 0;) {
        if (s_.rows[d] == 1) continue;
        e_.op(IntOp::rem, index, rest, s_.rows[d]);
        e_.op(IntOp::div, rest, rest, s_.rows[d]);
        const auto move = [&](size_t i, int64_t bytes) {
          if (!bytes) return;
          e_.op(IntOp::mul, t, index, bytes);
          add(e_, p[i], p[i], t);
        };
        move(0, s_.out_rows[d] * size_of(out_type_));
        move(1, s_.in_rows[d] * kF);
        for (size_t i = 0; i < fused_; ++i) {
          const FusedOperand& o = s_.epilogue.operands[i];
          move(static_cast<size_t>(2 + weights_) + i, o.strides[d] * size_of(o.dtype));
        }
      }
      e_.call(row, std::vector<Arg>(p.begin(), p.end()));
    });
    e_.end_function();
    return f;
  }

 private:
  Func emit_row() {
    const Func f = e_.begin_function(name_ + "_row", static_cast<int>(2 + weights_ + static_cast<int>(fused_)));
    switch (s_.kind) {
      case NormKind::softmax: softmax(); break;
      case NormKind::log_softmax: log_softmax(); break;
      case NormKind::layer_norm: layer_norm(); break;
      case NormKind::rms_norm: rms_norm(); break;
    }
    e_.end_function();
    return f;
  }

  Vec splat(float v) {
    const Vec r = e_.vec();
    e_.splat(r, v);
    return r;
  }
  Vec op(VecBinary o, Vec a, Vec b) {
    const Vec r = e_.vec();
    e_.op(o, r, a, b);
    return r;
  }

  /// Folds f(element) over a row of `base`; the result stands in every lane. What is left of a whole vector goes in one by one. `map`
  /// may store what it made of whole vectors (with their lanes) through `at`.
  Vec fold(Int base, VecBinary combine, Vec start, FunctionRef<Vec(Vec x, Mem out, int lanes)> map) {
    Vec acc[kAccumulators];
    for (Vec& a : acc) e_.set(a = e_.vec(), start);
    const Vec tail = e_.vec();
    e_.set(tail, start);
    const Int in = e_.integer(), out = e_.integer();
    e_.set(in, base);
    e_.set(out, e_.param(0));
    int next = 0;
    for_vectors(e_, s_.cols, kAccumulators, {in, out}, {kF, kF}, [&](int64_t at, int lanes) {
      if (lanes == e_.width()) {
        const Vec x = e_.vec();
        e_.load(x, {in, at * kF});
        const Vec a = acc[next++ % kAccumulators];
        e_.op(combine, a, a, map(x, {out, at * kF}, lanes));
        return;
      }
      for (int i = 0; i < lanes; ++i) {
        const Vec x = e_.vec();
        e_.splat_load(x, {in, (at + i) * kF});
        e_.op(combine, tail, tail, map(x, {out, (at + i) * kF}, 1));
      }
    });
    for (int i = 1; i < kAccumulators; ++i) e_.op(combine, acc[0], acc[0], acc[i]);
    horizontal(e_, combine, acc[0], e_.vec());
    e_.op(combine, acc[0], acc[0], tail);
    return acc[0];
  }

  /// Writes the row: value(x) of what stands at `base`, then scale, shift and epilogue.
  void write(Int base, FunctionRef<Vec(Vec x)> value) {
    std::vector<Int> p{e_.param(0), base};
    std::vector<int64_t> steps{size_of(out_type_), kF};
    for (int i = 0; i < weights_; ++i) p.push_back(e_.param(2 + i)), steps.push_back(kF);
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      p.push_back(e_.param(2 + weights_ + static_cast<int>(i)));
      steps.push_back(o.strides.back() * size_of(o.dtype));
    }
    for_vectors(e_, s_.cols, 2, p, steps, [&](int64_t at, int lanes) {
      const Vec x = e_.vec();
      e_.load(x, {base, at * kF}, DType::f32, lanes);
      Vec y = value(x);
      if (weights_) {
        Vec w[2];
        for (int i = 0; i < weights_; ++i) e_.load(w[i] = e_.vec(), {e_.param(2 + i), at * kF}, DType::f32, lanes);
        const Vec r = e_.vec();
        if (weights_ == 2)
          e_.madd(r, y, w[0], w[1]);
        else
          e_.op(s_.has_scale ? VecBinary::mul : VecBinary::add, r, y, w[0]);
        y = r;
      }
      y = apply_epilogue(e_, s_.epilogue, y, lanes, [&](int k) {
        const auto i = static_cast<size_t>(2 + weights_ + k);
        return Mem{p[i], at * steps[i]};
      });
      e_.store({e_.param(0), at * steps[0]}, y, out_type_, lanes);
    });
  }

  Vec row_max() {
    const Vec first = e_.vec();
    e_.splat_load(first, {e_.param(1), 0});
    return fold(e_.param(1), VecBinary::max, first, [](Vec x, Mem, int) { return x; });
  }
  Vec sum_of(FunctionRef<Vec(Vec x)> f) {
    return fold(e_.param(1), VecBinary::add, splat(0), [&](Vec x, Mem, int) { return f(x); });
  }
  void softmax() {
    const Vec m = row_max();
    const Vec sum = fold(e_.param(1), VecBinary::add, splat(0), [&](Vec x, Mem out, int lanes) {
      const Vec y = math::exp(e_, op(VecBinary::sub, x, m));
      e_.store(out, y, DType::f32, lanes);
      return y;
    });
    const Vec scale = op(VecBinary::div, splat(1), sum);
    const Int base = e_.integer();
    e_.set(base, e_.param(0));
    write(base, [&](Vec x) { return op(VecBinary::mul, x, scale); });
  }
  void log_softmax() {
    const Vec m = row_max();
    const Vec sum = sum_of([&](Vec x) { return math::exp(e_, op(VecBinary::sub, x, m)); });
    const Vec shift = op(VecBinary::add, m, math::log(e_, sum));
    write(e_.param(1), [&](Vec x) { return op(VecBinary::sub, x, shift); });
  }
  Vec inverse_deviation(Vec square_sum) {
    const Vec variance = e_.vec(), deviation = e_.vec();
    e_.madd(variance, square_sum, splat(1.0f / static_cast<float>(s_.cols)), splat(s_.eps));
    e_.op(VecUnary::sqrt, deviation, variance);
    return op(VecBinary::div, splat(1), deviation);
  }
  void layer_norm() {
    const Vec mean = op(VecBinary::mul, sum_of([](Vec x) { return x; }), splat(1.0f / static_cast<float>(s_.cols)));
    const Vec squares = sum_of([&](Vec x) {
      const Vec d = op(VecBinary::sub, x, mean);
      return op(VecBinary::mul, d, d);
    });
    const Vec scale = inverse_deviation(squares);
    write(e_.param(1), [&](Vec x) { return op(VecBinary::mul, op(VecBinary::sub, x, mean), scale); });
  }
  void rms_norm() {
    const Vec scale = inverse_deviation(sum_of([&](Vec x) { return op(VecBinary::mul, x, x); }));
    write(e_.param(1), [&](Vec x) { return op(VecBinary::mul, x, scale); });
  }

  Emitter& e_;
  NormSpec s_;
  std::string name_;
  int weights_;
  size_t fused_;
  DType out_type_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) {
  int64_t n = 1;
  for (int64_t d : spec_of(spec).rows) n *= d;
  return n;
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) { return NormEmitter(e, spec_of(spec), name).emit(); }

}  // namespace

const Family kNormFamily{"norm", units, no_scratch, feasible, emit};

}  // namespace kiln
