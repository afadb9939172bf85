// Elements to places that indices name. Units are what no two indices can name together: other elements of a slice,
// other rows of a batch. In a unit updates come one after the other, so threads never meet, and of equal indices the
// last wins. An index out of range writes nothing and sets the status word.
#include <algorithm>

#include "jit/calc.h"
#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/blocks.h"
#include "jit/kernels/families.h"
#include "jit/kernels/index.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"

namespace kiln {
namespace {

/// Vectors of neighbours of a slice that a unit updates together.
constexpr int kVectors = 4;

const ScatterSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ScatterSpec>(&spec); }

/// Neighbours that have their index in common are updated together.
Blocks blocks_of(const ScatterSpec& s, const Target& target) {
  Blocks b;
  for (size_t d = 0; d < s.dims.size(); ++d)
    if (s.dims[d] > 1 && s.out[d] == 1 && s.index[d] == 0 && s.updates[d] <= 1 && s.updates[d] >= 0) b.dim = d;
  b.split(s.dims, int64_t{kVectors} * target.width);
  return b;
}

class ScatterEmitter {
 public:
  ScatterEmitter(Emitter& emitter, const ScatterSpec& spec, std::string name)
      : e_(emitter),
        s_(spec),
        name_(std::move(name)),
        blocks_(blocks_of(spec, emitter.target())),
        lane_(spec.dtype == DType::i64   ? Lane::i64
              : spec.dtype == DType::f32 ? Lane::f32
                                         : Lane::i32),
        size_(size_of(spec.dtype)) {}

  /// Entry operands: out, out, index, updates, status.
  Func emit() {
    const Func whole = emit_unit(blocks_.block), last = blocks_.rest ? emit_unit(blocks_.rest) : whole;
    const Func f = e_.begin_function(name_, 8);
    blocks_.for_blocks(e_, s_.dims,
                       {{3, size_, s_.out}, {5, size_of(s_.index_dtype), s_.index}, {6, size_, s_.updates}}, whole,
                       last, {e_.param(7)});
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
    const int64_t stride = blocks_.stride(s_.updates, 1);
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
  Blocks blocks_;
  Lane lane_;
  int64_t size_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target& target) {
  return blocks_of(spec_of(spec), target).units(spec_of(spec).dims);
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return ScatterEmitter(e, spec_of(spec), name).emit();
}

using Spec = ScatterSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("n", dims),
    KILN_FIELD("so", out),
    KILN_FIELD("si", index),
    KILN_FIELD("su", updates),
    KILN_FIELD("m", serial),
    KILN_FIELD("mi", serial_index),
    KILN_FIELD("mu", serial_updates),
    KILN_FIELD("rows", rows),
    KILN_FIELD(nullptr, out_row),
    KILN_FIELD(nullptr, kind),
    KILN_FIELD("t", dtype),
    KILN_FIELD("ti", index_dtype),
};
constexpr FieldList kFields = list_of("scatter", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const ScatterSpec& s = spec_of(spec);
  o.writes("out", s.dtype).along(s.dims, s.out).loop(s.rows, s.out_row);
  o.reads("old out", s.dtype).along(s.dims, s.out).loop(s.rows, s.out_row);
  o.reads("index", s.index_dtype).along(s.dims, s.index).along(s.serial, s.serial_index);
  o.reads("updates", s.dtype).along(s.dims, s.updates).along(s.serial, s.serial_updates);
  o.status();
}

Work work(const KernelSpec& spec) {
  const ScatterSpec& s = spec_of(spec);
  const double n = volume(s.dims) * volume(s.serial);
  return {20 * n, n * static_cast<double>(2 * size_of(s.dtype) + size_of(s.index_dtype))};
}

}  // namespace

const Family kScatterFamily{"scatter", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
