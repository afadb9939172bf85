// Loop shapes that all kernels use.
#pragma once

#include <vector>

#include "jit/family.h"

namespace kiln {

/// do body while (++i < end), skipped if begin ≥ end: the loop over a thread's units.
inline void for_units(Emitter& e, FunctionRef<void(Int unit)> body) {
  const Int unit = e.param(0), end = e.param(1);
  e.if_(unit, Compare::lt, end, [&] {
    e.do_while(
        [&] {
          body(unit);
          add(e, unit, unit, 1);
        },
        unit, Compare::lt, end);
  });
}

/// Call it before a thread's first units of a step.
inline void leave_nothing(Emitter& e, Int scratch) {
  const Int word = e.integer();
  e.set(word, kNothingLeft);
  e.store_int({scratch, 0}, word, DType::i32);
}

/// Prepares what several units of a block read from a thread's scratch, behind its header. It calls make(), unless the
/// thread's last unit of this step was in the same block.
inline void once_per_block(Emitter& e, Int block, FunctionRef<void()> make) {
  const Mem made{e.param(2), 0};
  const Int last = e.integer();
  e.load_int(last, made, DType::i32);
  e.if_(block, Compare::ne, last, [&] {
    make();
    e.store_int(made, block, DType::i32);
  });
}
/// The address of that.
inline Int behind_header(Emitter& e) {
  const Int at = e.integer();
  add(e, at, e.param(2), kScratchHeader);
  return at;
}

/// A nest of loops that moves pointers. After the nest every pointer is where it was. `strides[p][d]` are in bytes.
/// `repeat` runs its body dims[depth] times.
inline void nest(Emitter& e, const std::vector<int64_t>& dims, const std::vector<Int>& pointers,
                 const std::vector<std::vector<int64_t>>& strides, size_t depth, FunctionRef<void()> body,
                 FunctionRef<void(size_t depth, FunctionRef<void()> round)> repeat) {
  if (depth == dims.size()) return body();
  const auto move = [&](int64_t times) {
    for (size_t p = 0; p < pointers.size(); ++p)
      if (strides[p][depth]) add(e, pointers[p], pointers[p], strides[p][depth] * times);
  };
  if (dims[depth] == 1) return nest(e, dims, pointers, strides, depth + 1, body, repeat);
  repeat(depth, [&] {
    nest(e, dims, pointers, strides, depth + 1, body, repeat);
    move(1);
  });
  move(-dims[depth]);
}
inline void nest(Emitter& e, const std::vector<int64_t>& dims, const std::vector<Int>& pointers,
                 const std::vector<std::vector<int64_t>>& strides, size_t depth, FunctionRef<void()> body) {
  nest(e, dims, pointers, strides, depth, body, [&](size_t d, FunctionRef<void()> round) {
    const Int i = e.integer();
    e.for_range(i, 0, dims[d], 1, round);
  });
}

/// Vectors of a contiguous run: `rounds` times `unroll` whole vectors, then `rest` elements (fewer than a round's). It
/// calls body(first element, lanes). `bases` move by `steps` bytes per element, and are where they were in the end. The
/// first element is relative to the moved bases. `repeat` runs its body `rounds` times.
inline void for_vectors(Emitter& e, Arg rounds, int64_t rest, int unroll, const std::vector<Int>& bases,
                        const std::vector<int64_t>& steps, FunctionRef<void(int64_t element, int lanes)> body,
                        FunctionRef<void(FunctionRef<void()> round)> repeat) {
  const int w = e.width();
  const int64_t chunk = int64_t{w} * unroll;
  repeat([&] {
    for (int u = 0; u < unroll; ++u) body(int64_t{u} * w, w);
    for (size_t b = 0; b < bases.size(); ++b)
      if (steps[b]) add(e, bases[b], bases[b], steps[b] * chunk);
  });
  for (int64_t at = 0; at < rest; at += w) body(at, static_cast<int>(rest - at < w ? rest - at : w));
  for (size_t b = 0; b < bases.size(); ++b) {
    if (!steps[b] || (rounds.is_imm() && rounds.imm == 0)) continue;
    if (rounds.is_imm()) {
      add(e, bases[b], bases[b], -rounds.imm * chunk * steps[b]);
      continue;
    }
    const Int back = e.integer();
    e.op(IntOp::mul, back, rounds, -chunk * steps[b]);
    add(e, bases[b], bases[b], back);
  }
}
inline void for_vectors(Emitter& e, Arg rounds, int64_t rest, int unroll, const std::vector<Int>& bases,
                        const std::vector<int64_t>& steps, FunctionRef<void(int64_t element, int lanes)> body) {
  for_vectors(e, rounds, rest, unroll, bases, steps, body, [&](FunctionRef<void()> round) {
    const Int i = e.integer();
    e.for_range(i, 0, rounds, 1, round);
  });
}
/// The same for a run of `count` elements.
inline void for_vectors(Emitter& e, int64_t count, int unroll, const std::vector<Int>& bases,
                        const std::vector<int64_t>& steps, FunctionRef<void(int64_t element, int lanes)> body) {
  const int64_t chunk = int64_t{e.width()} * unroll;
  for_vectors(e, count / chunk, count % chunk, unroll, bases, steps, body);
}

/// Where each operand of a unit of work stands, for units that are the elements of a box; dims outermost first.
class UnitOperands {
 public:
  UnitOperands(Emitter& e, std::vector<int64_t> dims) : e_(e), dims_(std::move(dims)) {}
  /// An operand of the entry; strides are in elements of `size` bytes. It does not move along dims without one.
  void add(int param, int64_t size, std::vector<int64_t> strides = {});
  /// Moves all of them to unit number `unit`, and returns them as arguments.
  std::vector<Arg> at(Int unit) const;

  std::vector<Int> pointers;

 private:
  Emitter& e_;
  std::vector<int64_t> dims_;
  std::vector<int> params_;
  std::vector<std::vector<int64_t>> strides_;  // bytes
};

/// low = v mod n, high = v div n. Neither low nor high may be v.
inline void split(Emitter& e, Int v, Arg n, Int low, Int high) {
  e.op(IntOp::rem, low, v, n);
  e.op(IntOp::div, high, v, n);
}

}  // namespace kiln
