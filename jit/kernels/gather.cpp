// Rows of a table by index: embeddings, index_select, gather. No index reads outside the table, whatever the input
// holds.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/families.h"
#include "jit/kernels/index.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/rounded.h"
#include "jit/touch.h"

namespace kiln {
namespace {

/// Elements of a unit of work, about.
constexpr int64_t kUnit = 1024;
/// Bytes of a slice that is copied where it was found: a call would take longer than the copy.
constexpr int64_t kSmallSlice = 64;

const GatherSpec& spec_of(const KernelSpec& spec) { return *std::get_if<GatherSpec>(&spec); }

/// Indices of a unit: neighbours on the last dim.
int64_t block_of(const GatherSpec& s) { return std::min(s.dims.back(), std::max<int64_t>(1, kUnit / s.slice)); }

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

void copy_slice(Emitter& e, const GatherSpec& s, Int dst, Int src) {
  const int64_t slice_bytes = s.slice * size_of(s.dtype), words = slice_bytes == 4 ? 0 : slice_bytes / 4;
  for_vectors(e, words, 4, {dst, src}, {4, 4}, [&](int64_t at, int lanes) {
    const Vec v = e.vec();
    e.load(v, {src, at * 4}, DType::i32, lanes);
    e.store({dst, at * 4}, v, DType::i32, lanes);
  });
  const DType type = slice_bytes == 4 ? DType::i32 : DType::u8;
  const Int element = e.integer();
  for (int64_t at = words * 4; at < slice_bytes; at += size_of(type)) {
    e.load_int(element, {src, at}, type);
    e.store_int({dst, at}, element, type);
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
  const int64_t size = size_of(s.dtype), row_bytes = s.rounded ? rounded_row(s.slice) * 4 : s.table_row * size;
  const bool small = !s.rounded && s.slice * size <= kSmallSlice;
  const Func copy = s.rounded ? emit_rounded_slice(e, s.slice, name + "_slice")
                    : small   ? Func{}
                              : emit_slice(e, s, name + "_slice");
  const int64_t count = s.dims.back(), block = block_of(s), blocks = ceil_div(count, block);
  std::vector<int64_t> dims = s.dims, steps;
  dims.back() = blocks;
  const Func f = e.begin_function(name, 7);
  UnitOperands operands(e, dims);
  const auto operand = [&](int64_t bytes, std::vector<int64_t> strides) {
    steps.push_back(strides.back() * bytes);
    strides.back() *= block;
    operands.add(static_cast<int>(2 + steps.size()), bytes, std::move(strides));
  };
  operand(size, s.out);
  operand(size, s.table);
  operand(size_of(s.index_dtype), s.index);
  const std::vector<Int>& p = operands.pointers;
  const Int left = e.integer(), row = e.integer(), from = e.integer();
  for_units(e, [&](Int unit) {
    operands.at(unit);
    e.set(left, block);
    if (count % block) {
      e.op(IntOp::rem, left, unit, blocks);
      e.op(IntOp::mul, left, left, -block);
      add(e, left, left, count);
      e.op(IntOp::min, left, left, block);
    }
    e.do_while(
        [&] {
          load_index(e, row, p[2], s.index_dtype, s.rows, e.param(6), 0);
          e.op(IntOp::mul, from, row, row_bytes);
          add(e, from, from, p[1]);
          if (small) {
            copy_slice(e, s, p[0], from);
          } else if (!s.rounded) {
            e.call(copy, {p[0], from});
          } else {
            e.op(IntOp::mul, row, row, 4);
            add(e, row, row, p[1]);
            add(e, row, row, s.rows * row_bytes);
            e.call(copy, {p[0], from, row});
          }
          for (size_t i = 0; i < p.size(); ++i)
            if (steps[i]) add(e, p[i], p[i], steps[i]);
          add(e, left, left, -1);
        },
        left, Compare::gt, 0);
  });
  e.end_function();
  return f;
}

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) {
  const GatherSpec& s = spec_of(spec);
  int64_t n = ceil_div(s.dims.back(), block_of(s));
  for (size_t d = 0; d + 1 < s.dims.size(); ++d) n *= s.dims[d];
  return n;
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }

using Spec = GatherSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("n", dims),         KILN_FIELD("so", out),
    KILN_FIELD("st", table),       KILN_FIELD("si", index),
    KILN_FIELD("rows", rows),      KILN_FIELD(nullptr, table_row),
    KILN_FIELD(nullptr, slice),    KILN_FIELD("t", dtype),
    KILN_FIELD("ti", index_dtype), KILN_MARK("weights=int16", rounded),
};
constexpr FieldList kFields = list_of("gather", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const GatherSpec& s = spec_of(spec);
  o.writes("out", s.dtype).along(s.dims, s.out).run(s.slice);
  o.reads("table", s.rounded ? DType::f32 : s.dtype).along(s.dims, s.table);
  if (s.rounded)
    o.run(rounded_words(s.slice, s.rows));
  else
    o.loop(s.rows, s.table_row).run(s.slice);
  o.reads("index", s.index_dtype).along(s.dims, s.index);
  o.status();
}

Work work(const KernelSpec& spec) {
  const GatherSpec& s = spec_of(spec);
  return {0, 2 * volume(s.dims) * static_cast<double>(s.slice * size_of(s.dtype))};
}

}  // namespace

const Family kGatherFamily{"gather", &kFields, operands, work, units, no_scratch, feasible, emit};

}  // namespace kiln
