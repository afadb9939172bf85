// Softmax, log-softmax, layer norm and RMS norm on contiguous rows: passes over a row that stays in the
// first-level cache.
#include "jit/kernels/norm.h"

#include <cfloat>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/cascade.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/math.h"
#include "jit/touch.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;
constexpr int kAccumulators = 4;

const NormSpec& spec_of(const KernelSpec& spec) { return *std::get_if<NormSpec>(&spec); }

class NormEmitter {
 public:
  NormEmitter(Emitter& emitter, const NormSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        weights_(s_.has_scale + s_.has_shift),
        fused_(s_.epilogue.operands.size()),
        out_type_(stored_type(s_.epilogue)) {}

  Func emit() {
    const Func row = emit_row();
    const int first_fused = 5 + weights_;
    const Func f = e_.begin_function(name_, first_fused + static_cast<int>(fused_));
    UnitOperands operands(e_, s_.rows);
    operands.add(3, size_of(out_type_), s_.out_rows);
    operands.add(4, kF, s_.in_rows);
    for (int i = 5; i < first_fused; ++i) operands.add(i, kF);
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      operands.add(first_fused + static_cast<int>(i), size_of(o.dtype), o.strides);
    }
    for_units(e_, [&](Int unit) { e_.call(row, operands.at(unit)); });
    e_.end_function();
    return f;
  }

  Func emit_row() {
    const Func f = e_.begin_function(name_ + "_row", static_cast<int>(2 + weights_ + static_cast<int>(fused_)));
    switch (s_.kind) {
      case NormKind::softmax:
        softmax();
        break;
      case NormKind::log_softmax:
        log_softmax();
        break;
      case NormKind::layer_norm:
        layer_norm();
        break;
      case NormKind::rms_norm:
        rms_norm();
        break;
    }
    e_.end_function();
    return f;
  }

 private:
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

  /// Folds a row of the input into every lane of one register: accumulate(acc, x) for whole vectors, then `combine`
  /// across lanes. The rest of the row follows one element at a time, each in every lane.
  Vec fold(VecBinary combine, Vec start, int accumulators, FunctionRef<void(Vec acc, Vec x)> accumulate) {
    std::vector<Vec> acc;
    for (int i = 0; i < accumulators; ++i) e_.set(acc.emplace_back(e_.vec()), start);
    const Vec tail = e_.vec(), x = e_.vec();
    e_.set(tail, start);
    const Int in = e_.integer();
    e_.set(in, e_.param(1));
    size_t next = 0;
    const auto take = [&](int64_t at, int lanes) {
      if (lanes == e_.width()) {
        e_.load(x, {in, at * kF});
        return accumulate(acc[next++ % acc.size()], x);
      }
      for (int i = 0; i < lanes; ++i) {
        e_.splat_load(x, {in, (at + i) * kF});
        accumulate(tail, x);
      }
    };
    for_row(accumulators, {in}, {kF}, combine == VecBinary::add ? acc : std::vector<Vec>{}, take);
    for (size_t i = 1; i < acc.size(); ++i) e_.op(combine, acc[0], acc[0], acc[i]);
    horizontal(e_, combine, acc[0], x);
    e_.op(combine, acc[0], acc[0], tail);
    return acc[0];
  }

  /// Adds the row's vectors to `sums`, `unroll` of them per round.
  void for_row(int unroll, const std::vector<Int>& bases, const std::vector<int64_t>& steps,
               const std::vector<Vec>& sums, FunctionRef<void(int64_t at, int lanes)> body) {
    const int64_t chunk = int64_t{unroll} * e_.width(), rounds = s_.cols / chunk;
    for_vectors(e_, rounds, s_.cols % chunk, unroll, bases, steps, body,
                [&](FunctionRef<void()> round) { Cascade(e_, sums).loop(rounds, 1, round); });
  }

  /// Writes the row: value(x) for the elements at `base`, then scale, shift and epilogue.
  void write(Int base, FunctionRef<Vec(Vec x)> value) {
    std::vector<Int> p{e_.param(0), base};
    std::vector<int64_t> steps{size_of(out_type_), kF};
    for (int i = 0; i < weights_; ++i) p.push_back(e_.param(2 + i)), steps.push_back(kF);
    for (size_t i = 0; i < fused_; ++i) {
      const FusedOperand& o = s_.epilogue.operands[i];
      p.push_back(e_.param(2 + weights_ + static_cast<int>(i)));
      steps.push_back(o.strides.back() * size_of(o.dtype));
    }
    for_vectors(e_, s_.cols, s_.epilogue.expr.insts.size() > 6 ? 2 : 4, p, steps, [&](int64_t at, int lanes) {
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
    return fold(VecBinary::max, first, kAccumulators, [&](Vec acc, Vec x) { e_.op(VecBinary::max, acc, acc, x); });
  }
  Vec exp_below(Vec x, Vec max) { return math::exp_flushed(e_, op(VecBinary::sub, x, max)); }
  Vec exp_sum(Vec max) {
    return fold(VecBinary::add, splat(0), 2,
                [&](Vec acc, Vec x) { e_.op(VecBinary::add, acc, acc, exp_below(x, max)); });
  }
  /// The same, and the exponentials themselves in the output.
  Vec exp_sum_stored(Vec max) {
    const std::vector<Vec> acc{splat(0), splat(0)};
    const Int in = e_.integer(), out = e_.integer();
    e_.set(in, e_.param(1));
    e_.set(out, e_.param(0));
    size_t next = 0;
    for_row(2, {in, out}, {kF, kF}, acc, [&](int64_t at, int lanes) {
      const Vec x = e_.vec();
      e_.load(x, {in, at * kF}, DType::f32, lanes);
      const Vec y = exp_below(x, max);
      e_.store({out, at * kF}, y, DType::f32, lanes);
      if (lanes < e_.width()) e_.load(y, {out, at * kF}, DType::f32, lanes);  // zeros in the other lanes
      const Vec a = acc[next++ % 2];
      e_.op(VecBinary::add, a, a, y);
    });
    e_.op(VecBinary::add, acc[0], acc[0], acc[1]);
    horizontal(e_, VecBinary::add, acc[0], acc[1]);
    return acc[0];
  }
  void softmax() {
    Vec max = row_max();
    if (s_.masked) max = op(VecBinary::max, max, splat(-FLT_MAX));
    // This does not work for an output of another type, nor if an operand of the epilogue may lie in the output.
    const bool stored = s_.epilogue.operands.empty() && out_type_ == DType::f32;
    Vec sum = stored ? exp_sum_stored(max) : exp_sum(max);
    if (s_.masked) sum = op(VecBinary::max, sum, splat(0.5f));  // of a row with anything in it: at least 1
    const Vec scale = op(VecBinary::div, splat(1), sum);
    const Int base = e_.integer();
    e_.set(base, e_.param(stored ? 0 : 1));
    write(base, [&](Vec x) { return op(VecBinary::mul, stored ? x : exp_below(x, max), scale); });
  }
  void log_softmax() {
    const Vec max = row_max();
    const Vec shift = math::log(e_, exp_sum(max));
    write(e_.param(1), [&](Vec x) { return op(VecBinary::sub, op(VecBinary::sub, x, max), shift); });
  }
  Vec sum() {
    return fold(VecBinary::add, splat(0), kAccumulators, [&](Vec acc, Vec x) { e_.op(VecBinary::add, acc, acc, x); });
  }
  Vec square_sum(Vec mean) {
    return fold(VecBinary::add, splat(0), kAccumulators, [&](Vec acc, Vec x) {
      const Vec d = mean.id < 0 ? x : op(VecBinary::sub, x, mean);
      e_.madd(acc, d, d, acc);
    });
  }
  Vec inverse_deviation(Vec squares) {
    const Vec variance = e_.vec(), deviation = e_.vec();
    e_.madd(variance, squares, splat(1.0f / static_cast<float>(s_.cols)), splat(s_.eps));
    e_.op(VecUnary::sqrt, deviation, variance);
    return op(VecBinary::div, splat(1), deviation);
  }
  void layer_norm() {
    const Vec mean = op(VecBinary::div, sum(), splat(static_cast<float>(s_.cols)));
    const Vec scale = inverse_deviation(square_sum(mean));
    write(e_.param(1), [&](Vec x) { return op(VecBinary::mul, op(VecBinary::sub, x, mean), scale); });
  }
  void rms_norm() {
    const Vec scale = inverse_deviation(square_sum(Vec{}));
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
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return NormEmitter(e, spec_of(spec), name).emit();
}

}  // namespace

Func emit_norm_row(Emitter& emitter, const NormSpec& spec, const std::string& name) {
  return NormEmitter(emitter, spec, name).emit_row();
}

namespace {

using Spec = NormSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("kind", kind),    KILN_FIELD("rows", rows),
    KILN_FIELD("ir", in_rows),   KILN_FIELD("or", out_rows),
    KILN_FIELD("cols", cols),    KILN_FIELD("eps", eps),
    KILN_FIELD("sc", has_scale), KILN_FIELD(nullptr, has_shift),
    KILN_FIELD(nullptr, masked), KILN_EPILOGUE,
};
constexpr FieldList kFields = list_of("norm", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const NormSpec& s = spec_of(spec);
  o.writes("out", stored_type(s.epilogue)).along(s.rows, s.out_rows).run(s.cols);
  o.reads("in").along(s.rows, s.in_rows).run(s.cols);
  if (s.has_scale) o.reads("scale").run(s.cols);
  if (s.has_shift) o.reads("shift").run(s.cols);
  o.fused(s.epilogue, s.rows, s.cols);
}

Work work(const KernelSpec& spec) {
  const NormSpec& s = spec_of(spec);
  const double n = volume(s.rows) * static_cast<double>(s.cols);
  const size_t fused = s.epilogue.expr.insts.size();
  return {n * ((s.kind == NormKind::softmax ? 20 : 8) + static_cast<double>(fused)), 8 * n};
}

}  // namespace

const Family kNormFamily{"norm", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
