// Elements to places that indices name. Units are what no two indices can name together: other elements of a slice,
// other rows of a batch. In a unit updates come one after the other, so threads never meet, and of equal indices the
// last wins. An index out of range writes nothing and sets the status word.
#include <algorithm>

#include "jit/calc.h"
#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/index.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

/// Vectors of neighbours of a slice that a unit updates together.
constexpr int kVectors = 4;

const ScatterSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ScatterSpec>(&spec); }

/// Which elements a unit writes.
struct Lanes {
  size_t dim = SIZE_MAX;  ///< neighbours that have their index in common; none: one element a unit
  int64_t block = 1, blocks = 1, rest = 0;

  Lanes(const ScatterSpec& s, const Target& target) {
    for (size_t d = 0; d < s.dims.size(); ++d)
      if (s.dims[d] > 1 && s.out[d] == 1 && s.index[d] == 0 && s.updates[d] <= 1 && s.updates[d] >= 0) dim = d;
    if (dim == SIZE_MAX) return;
    block = std::min<int64_t>(s.dims[dim], int64_t{kVectors} * target.width);
    blocks = ceil_div(s.dims[dim], block);
    rest = s.dims[dim] % block;
  }
  int64_t units(const ScatterSpec& s) const {
    int64_t n = blocks;
    for (size_t d = 0; d < s.dims.size(); ++d) n *= d == dim ? 1 : s.dims[d];
    return n;
  }
};

class ScatterEmitter {
 public:
  ScatterEmitter(Emitter& emitter, const ScatterSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        lanes_(spec, emitter.target()),
        lane_(spec.dtype == DType::i64   ? Lane::i64
              : spec.dtype == DType::f32 ? Lane::f32
                                         : Lane::i32),
        size_(size_of(spec.dtype)) {}

  /// Entry operands: out, out, index, updates, status.
  Func emit() {
    const Func whole = emit_unit(lanes_.block);
    const Func last = lanes_.rest ? emit_unit(lanes_.rest) : whole;
    std::vector<int64_t> dims = s_.dims;  // blocks are innermost
    if (lanes_.dim != SIZE_MAX) dims[lanes_.dim] = 1;
    dims.push_back(lanes_.blocks);
    const Func f = e_.begin_function(name_, 8);
    UnitOperands at(e_, dims);
    const auto operand = [&](int param, int64_t size, std::vector<int64_t> strides) {
      strides.push_back(lanes_.dim == SIZE_MAX ? 0 : lanes_.block * strides[lanes_.dim]);
      at.add(param, size, std::move(strides));
    };
    operand(3, size_, s_.out);
    operand(5, size_of(s_.index_dtype), s_.index);
    operand(6, size_, s_.updates);
    const Int block = e_.integer();
    for_units(e_, [&](Int unit) {
      std::vector<Arg> args = at.at(unit);
      args.emplace_back(e_.param(7));
      if (!lanes_.rest) return e_.call(whole, args);
      e_.op(IntOp::rem, block, unit, lanes_.blocks);
      e_.if_(
          block, Compare::lt, lanes_.blocks - 1, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

 private:
  /// unit(out, index, updates, status): all updates of `run` neighbours.
  Func emit_unit(int64_t run) {
    const Func f = e_.begin_function(name_ + "_unit" + std::to_string(run), 4);
    const Int out = e_.param(0), index = e_.param(1), updates = e_.param(2), row = e_.integer();
    const std::vector<std::vector<int64_t>> strides{scaled(s_.serial_index, size_of(s_.index_dtype)),
                                                    scaled(s_.serial_updates, size_)};
    nest(e_, s_.serial, {index, updates}, strides, 0, [&] {
      load_index(e_, row, index, s_.index_dtype, s_.rows, e_.param(3), -1);
      e_.if_(row, Compare::ge, 0, [&] {
        e_.op(IntOp::mul, row, row, s_.out_row * size_);
        add(e_, row, row, out);
        update(row, updates, run);
      });
    });
    e_.end_function();
    return f;
  }
  static std::vector<int64_t> scaled(std::vector<int64_t> strides, int64_t size) {
    for (int64_t& s : strides) s *= size;
    return strides;
  }

  void update(Int to, Int from, int64_t run) {
    const int64_t stride = lanes_.dim == SIZE_MAX ? 1 : s_.updates[lanes_.dim];
    if (s_.kind == ScatterKind::replace && size_ == 8) return copy_wide(to, from, run, stride);
    for (int64_t at = 0; at < run; at += e_.width()) {
      const int lanes = static_cast<int>(std::min<int64_t>(e_.width(), run - at));
      const Mem place{to, at * size_};
      integer::Wide v = load_strided(e_, {from, at * stride * size_}, s_.dtype, lane_, stride, lanes);
      if (s_.kind != ScatterKind::replace) v = combined(load_strided(e_, place, s_.dtype, lane_, 1, lanes), v);
      store_strided(e_, place, v, s_.dtype, lane_, 1, lanes);
    }
  }
  /// 64 bits, element by element.
  void copy_wide(Int to, Int from, int64_t run, int64_t stride) {
    const Int word = e_.integer();
    for (int64_t at = 0; at < run; ++at)
      for (const int64_t half : {0, 4}) {
        e_.load_int(word, {from, at * stride * size_ + half}, DType::i32);
        e_.store_int({to, at * size_ + half}, word, DType::i32);
      }
  }

  integer::Wide combined(const integer::Wide& a, const integer::Wide& b) {
    const math::Calc c(e_);
    const bool wide = lane_ == Lane::i64, real = lane_ == Lane::f32;
    switch (s_.kind) {
      case ScatterKind::sum:
        if (wide) return integer::add(e_, a, b);
        return {c.op(real ? VecBinary::add : VecBinary::i32_add, a.low, b.low)};
      case ScatterKind::prod:
        if (wide) return integer::multiply(e_, a, b);
        return {c.op(real ? VecBinary::mul : VecBinary::i32_mul, a.low, b.low)};
      default:
        break;
    }
    const Compare better = s_.kind == ScatterKind::max ? Compare::gt : Compare::lt;
    if (wide) return integer::select(e_, integer::compare(e_, better, a, b), a, b);
    if (!real) return {c.select(c.icmp(better, a.low, b.low), a.low, b.low)};
    // NaN stays, and comes in.
    const Vec keep = c.either(c.cmp(better, a.low, b.low), c.cmp(Compare::ne, a.low, a.low));
    return {c.select(keep, a.low, b.low)};
  }

  Emitter& e_;
  ScatterSpec s_;
  std::string name_;
  Lanes lanes_;
  Lane lane_;
  int64_t size_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target& target) {
  return Lanes(spec_of(spec), target).units(spec_of(spec));
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return ScatterEmitter(e, spec_of(spec), name).emit();
}

}  // namespace

const Family kScatterFamily{"scatter", units, no_scratch, feasible, emit};

}  // namespace kiln
