// Rows of a table by index: embeddings and index_select. No index reads outside the table, whatever the input
// holds.
#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/rounded.h"

namespace kiln {
namespace {

const GatherSpec& spec_of(const KernelSpec& spec) { return *std::get_if<GatherSpec>(&spec); }

/// slice(dst, src, scale) of a rounded row.
Func emit_rounded_slice(Emitter& e, int64_t slice, const std::string& name) {
  const Func f = e.begin_function(name, 3);
  const Vec scale = e.vec(), v = e.vec();
  e.splat_load(scale, {e.param(2), 0});
  for_rounded(e, slice, 4, e.param(1), {e.param(0)}, {4}, [&](int64_t at, int lanes, Vec value) {
    e.op(VecBinary::mul, v, value, scale);
    e.store({e.param(0), at * 4}, v, DType::f32, lanes);
  });
  e.end_function();
  return f;
}

/// Bytes of a slice that is copied where it was found: a call would take longer than the copy.
constexpr int64_t kSmallSlice = 64;

void copy_slice(Emitter& e, const GatherSpec& s, Int dst, Int src) {
  const int64_t slice_bytes = s.slice * size_of(s.dtype);
  const int64_t words = slice_bytes / 4;
  const Int byte = e.integer();
  for_vectors(e, words, 4, {dst, src}, {4, 4}, [&](int64_t at, int lanes) {
    const Vec v = e.vec();
    e.load(v, {src, at * 4}, DType::i32, lanes);
    e.store({dst, at * 4}, v, DType::i32, lanes);
  });
  for (int64_t at = words * 4; at < slice_bytes; ++at) {
    e.load_int(byte, {src, at}, DType::u8);
    e.store_int({dst, at}, byte, DType::u8);
  }
}

/// slice(dst, src).
Func emit_slice(Emitter& e, const GatherSpec& s, const std::string& name) {
  const Func f = e.begin_function(name, 2);
  copy_slice(e, s, e.param(0), e.param(1));
  e.end_function();
  return f;
}

/// Entry operands: out, table, index, status.
Func emit(Emitter& e, const KernelSpec& kernel, const Schedule&, const std::string& name) {
  const GatherSpec& s = spec_of(kernel);
  const int64_t bytes = size_of(s.dtype), words = rounded_row(s.slice);
  const bool small = !s.rounded && s.slice * bytes <= kSmallSlice;
  const Func copy = s.rounded ? emit_rounded_slice(e, s.slice, name + "_slice")
                    : small   ? Func{}
                              : emit_slice(e, s, name + "_slice");
  const Func f = e.begin_function(name, 7);
  const Int i = e.integer(), o = e.integer(), index = e.integer(), at = e.integer(), from = e.integer(),
            t = e.integer();
  for_units(e, [&](Int unit) {
    if (s.outer == 1) {
      e.set(i, unit);
      e.set(o, 0);
    } else {
      split(e, unit, s.count, i, o);
    }
    e.op(IntOp::mul, at, i, s.index_stride * size_of(s.index_dtype));
    add(e, at, at, e.param(5));
    e.load_int(index, {at, 0}, DType::i32);
    const auto refuse = [&] {
      e.set(index, 0);
      e.set(t, kStatusBadIndex);
      e.store_int({e.param(6), 0}, t, DType::i32);
    };
    if (s.index_dtype == DType::i64) {  // addresses may be narrower: the high half must be the sign of the low one
      e.load_int(t, {at, 4}, DType::i32);
      e.set(from, 0);
      e.if_(index, Compare::lt, 0, [&] { e.set(from, -1); });
      e.if_(t, Compare::ne, from, refuse);
    }
    e.if_(index, Compare::lt, 0, [&] { add(e, index, index, s.rows); });
    e.if_(index, Compare::lt, 0, refuse);
    e.if_(index, Compare::ge, s.rows, refuse);
    e.op(IntOp::mul, from, index, s.rounded ? words * 4 : s.table_row * bytes);
    e.op(IntOp::mul, t, o, s.table_outer * bytes);
    add(e, from, from, t);
    add(e, from, from, e.param(4));
    e.op(IntOp::mul, at, i, s.out_row * bytes);
    e.op(IntOp::mul, t, o, s.out_outer * bytes);
    add(e, at, at, t);
    add(e, at, at, e.param(3));
    if (small) return copy_slice(e, s, at, from);
    if (!s.rounded) return e.call(copy, {at, from});
    e.op(IntOp::mul, t, index, 4);
    add(e, t, t, e.param(4));
    add(e, t, t, s.rows * words * 4);
    e.call(copy, {at, from, t});
  });
  e.end_function();
  return f;
}

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) {
  return spec_of(spec).outer * spec_of(spec).count;
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }

}  // namespace

const Family kGatherFamily{"gather", units, no_scratch, feasible, emit};

}  // namespace kiln
