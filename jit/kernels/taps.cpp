// Resizing along one axis. Each output is a weighted sum of a few inputs that a table names. Lanes run across another,
// contiguous dim, whose elements all read the same inputs. If there is none, lanes are neighbours on the axis, and
// their inputs are collected one by one.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

/// How many sequences are computed at once. The positions of their inputs are computed once for all.
constexpr int64_t kRows = 4;

const TapsSpec& spec_of(const KernelSpec& spec) { return *std::get_if<TapsSpec>(&spec); }

/// The contiguous dim with the most elements.
size_t lane_dim(const TapsSpec& s) {
  size_t best = SIZE_MAX;
  for (size_t d = 0; d < s.dims.size(); ++d)
    if (s.in[d] == 1 && s.dims[d] > 1 && (best == SIZE_MAX || s.dims[d] > s.dims[best])) best = d;
  return best;
}
/// Else the dim whose sequences are computed together, if its strides are not negative.
size_t row_dim(const TapsSpec& s) {
  size_t best = SIZE_MAX;
  const auto goes_back = [&](size_t d) {
    bool back = s.in[d] < 0 || s.out[d] < 0;
    for (const FusedOperand& o : s.epilogue.operands) back = back || o.strides[d] < 0;
    return back;
  };
  for (size_t d = 0; d < s.dims.size(); ++d)
    if (s.dims[d] > 1 && !goes_back(d) && (best == SIZE_MAX || s.dims[d] > s.dims[best])) best = d;
  return best;
}

class TapsEmitter {
 public:
  TapsEmitter(Emitter& emitter, const TapsSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        first_fused_(spec.weighted ? 4 : 3),
        across_(lane_dim(spec)),
        rows_(across_ == SIZE_MAX ? row_dim(spec) : SIZE_MAX),
        size_(size_of(spec.dtype)),
        out_type_(stored_type(spec.epilogue, spec.dtype)) {}

  Func emit() {
    const int64_t all = rows_ == SIZE_MAX ? 1 : s_.dims[rows_], block = std::min(all, kRows), rest = all % block;
    const Func whole = across_ == SIZE_MAX ? emit_along(block) : emit_across();
    const Func last = rest ? emit_along(rest) : whole;
    // The innermost dim of the units: outputs of the axis, or blocks of sequences.
    std::vector<int64_t> dims = s_.dims;
    if (across_ != SIZE_MAX) dims[across_] = 1;
    if (rows_ != SIZE_MAX) dims[rows_] = 1;
    dims.push_back(across_ != SIZE_MAX ? s_.count : ceil_div(all, block));
    const auto count = static_cast<size_t>(first_fused_) + fused().size();
    const Func f = e_.begin_function(name_, static_cast<int>(3 + count));
    UnitOperands operands(e_, dims);
    const auto operand = [&](const std::vector<int64_t>& others, int64_t step, int64_t size) {
      std::vector<int64_t> strides = others;
      strides.resize(s_.dims.size());
      strides.push_back(across_ != SIZE_MAX ? step : rows_ != SIZE_MAX ? others[rows_] * block : 0);
      operands.add(static_cast<int>(3 + operands.pointers.size()), size, std::move(strides));
    };
    const std::vector<int64_t> none(s_.dims.size(), 0);
    operand(s_.out, s_.out_step, size_of(out_type_));
    operand(s_.in, 0, size_);
    operand(none, 1, 4);
    if (s_.weighted) operand(none, 1, 4);
    for (const FusedOperand& o : fused()) operand(o.strides, o.strides.back(), size_of(o.dtype));
    const Int at = e_.integer();
    for_units(e_, [&](Int unit) {
      const std::vector<Arg> args = operands.at(unit);
      if (!rest) return e_.call(whole, args);
      e_.op(IntOp::rem, at, unit, dims.back());
      e_.if_(
          at, Compare::lt, all / block, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

 private:
  const std::vector<FusedOperand>& fused() const { return s_.epilogue.operands; }
  /// The offset of tap t from tap 0, in a table with a row per tap.
  int64_t in_table(int64_t tap) const { return tap * s_.count * 4; }

  /// Adds a weighted tap to the sum.
  void weigh(Vec sum, Vec x, Vec weight, bool first) {
    if (first)
      s_.weighted ? e_.op(VecBinary::mul, sum, x, weight) : e_.set(sum, x);
    else
      e_.madd(sum, x, weight, sum);
  }

  /// unit(out, in, index, [weight], fused…): one output of the axis, all of the dim that lanes run across.
  Func emit_across() {
    const auto params = first_fused_ + static_cast<int>(fused().size());
    const Func f = e_.begin_function(name_ + "_across", params);
    std::vector<Int> p{e_.param(0)};
    std::vector<int64_t> steps{s_.out[across_] * size_of(out_type_)};
    std::vector<Vec> weights;
    for (int64_t t = 0; t < s_.taps; ++t) {
      const Int at = e_.integer();
      e_.load_int(at, {e_.param(2), in_table(t)}, DType::i32);
      e_.op(IntOp::mul, at, at, s_.in_step * size_);
      add(e_, at, at, e_.param(1));
      p.push_back(at);
      steps.push_back(size_);
      weights.push_back(e_.vec());
      if (s_.weighted) e_.splat_load(weights.back(), {e_.param(3), in_table(t)});
    }
    const size_t before = p.size();
    for (size_t i = 0; i < fused().size(); ++i) {
      p.push_back(e_.param(first_fused_ + static_cast<int>(i)));
      steps.push_back(fused()[i].strides[across_] * size_of(fused()[i].dtype));
    }
    for_vectors(e_, s_.dims[across_], 2, p, steps, [&](int64_t element, int lanes) {
      const Vec sum = e_.vec(), x = e_.vec();
      for (size_t t = 0; t < weights.size(); ++t) {
        e_.load(x, {p[1 + t], element * size_}, s_.dtype, lanes);
        weigh(sum, x, weights[t], t == 0);
      }
      finish(sum, lanes, {p[0], element * steps[0]}, s_.out[across_], [&](size_t i) {
        return load_strided(e_, {p[before + i], element * steps[before + i]}, fused()[i].dtype,
                            fused()[i].strides[across_], lanes);
      });
    });
    e_.end_function();
    return f;
  }

  /// unit(out, in, index, [weight], fused…): all outputs of `rows` sequences.
  Func emit_along(int64_t rows) {
    const auto params = first_fused_ + static_cast<int>(fused().size());
    const Func f = e_.begin_function(name_ + "_along" + std::to_string(rows), params);
    const auto row_bytes = [&](int64_t row, const std::vector<int64_t>& strides, DType type) {
      return row ? row * strides[rows_] * size_of(type) : 0;
    };
    std::vector<Int> p;
    std::vector<int64_t> steps{s_.out_step * size_of(out_type_), 0, 4};
    for (int i = 0; i < params; ++i) p.push_back(e_.param(i));
    if (s_.weighted) steps.push_back(4);
    for (const FusedOperand& o : fused()) steps.push_back(o.strides.back() * size_of(o.dtype));
    const Int at = e_.integer();
    for_vectors(e_, s_.count, 1, p, steps, [&](int64_t element, int lanes) {
      std::vector<Vec> sums, x;
      const Vec weight = e_.vec();
      for (int64_t r = 0; r < rows; ++r) sums.push_back(e_.vec()), x.push_back(e_.vec());
      for (int64_t t = 0; t < s_.taps; ++t) {
        for (const Vec v : x) e_.splat_i32(v, 0);
        for (int lane = 0; lane < lanes; ++lane) {
          e_.load_int(at, {p[2], in_table(t) + (element + lane) * 4}, DType::i32);
          e_.op(IntOp::mul, at, at, s_.in_step * size_);
          add(e_, at, at, p[1]);
          for (int64_t r = 0; r < rows; ++r) put(x[static_cast<size_t>(r)], lane, {at, row_bytes(r, s_.in, s_.dtype)});
        }
        if (s_.weighted) e_.load(weight, {p[3], in_table(t) + element * 4}, DType::f32, lanes);
        for (size_t r = 0; r < x.size(); ++r) weigh(sums[r], x[r], weight, t == 0);
      }
      for (int64_t r = 0; r < rows; ++r)
        finish(sums[static_cast<size_t>(r)], lanes, {p[0], element * steps[0] + row_bytes(r, s_.out, out_type_)},
               s_.out_step, [&](size_t i) {
                 const auto operand = static_cast<size_t>(first_fused_) + i;
                 const FusedOperand& o = fused()[i];
                 return load_strided(e_, {p[operand], element * steps[operand] + row_bytes(r, o.strides, o.dtype)},
                                     o.dtype, o.strides.back(), lanes);
               });
    });
    e_.end_function();
    return f;
  }
  /// Loads one element into a lane that is zero.
  void put(Vec into, int lane, Mem from) {
    if (size_ == 4) return e_.load_lane(into, lane, from);
    const Vec one = e_.vec();
    e_.load(one, from, s_.dtype, 1);
    if (lane) e_.rotate(one, one, e_.width() - lane);
    e_.op(VecBinary::or_, into, into, one);
  }

  void finish(Vec value, int lanes, Mem out, int64_t stride, FunctionRef<Vec(size_t operand)> load) {
    if (!s_.epilogue.empty()) {
      std::vector<Vec> inputs{value};
      for (size_t i = 0; i < fused().size(); ++i) inputs.push_back(load(i));
      value = emit_expr(e_, s_.epilogue.expr, inputs);
    }
    store_strided(e_, out, value, out_type_, stride, lanes);
  }

  Emitter& e_;
  TapsSpec s_;
  std::string name_;
  int first_fused_;       ///< operand
  size_t across_, rows_;  ///< dims
  int64_t size_;
  DType out_type_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) {
  const TapsSpec& s = spec_of(spec);
  const size_t across = lane_dim(s), rows = across == SIZE_MAX ? row_dim(s) : SIZE_MAX;
  int64_t n = across == SIZE_MAX ? 1 : s.count;
  for (size_t d = 0; d < s.dims.size(); ++d)
    n *= d == across ? 1 : d == rows ? ceil_div(s.dims[d], std::min(s.dims[d], kRows)) : s.dims[d];
  return n;
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return TapsEmitter(e, spec_of(spec), name).emit();
}

using Spec = TapsSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("d", dims),         KILN_FIELD("si", in),
    KILN_FIELD("so", out),         KILN_FIELD("n", count),
    KILN_FIELD(nullptr, taps),     KILN_FIELD(nullptr, in_step),
    KILN_FIELD(nullptr, out_step), KILN_FIELD(nullptr, weighted),
    KILN_FIELD("t", dtype),        KILN_EPILOGUE,
};
constexpr FieldList kFields = list_of("taps", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const TapsSpec& s = spec_of(spec);
  const int64_t table = times(s.taps, s.count);
  o.writes("out", stored_type(s.epilogue, s.dtype)).along(s.dims, s.out).loop(s.count, s.out_step);
  o.reads("in", s.dtype).along(s.dims, s.in);
  o.reads("index", DType::i32).run(table);
  if (s.weighted) o.reads("weight").run(table);
  o.fused(s.epilogue, s.dims, s.count);
  o.count(table);
}

Work work(const KernelSpec& spec) {
  const TapsSpec& s = spec_of(spec);
  const double n = volume(s.dims) * static_cast<double>(s.count);
  return {s.weighted ? 2 * n * static_cast<double>(s.taps) : 0, n * 2 * static_cast<double>(size_of(s.dtype))};
}

}  // namespace

const Family kTapsFamily{"taps", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
