// Indices that a run brings: of a row among `rows`, counted from the end if negative.
#pragma once

#include "jit/emitter.h"
#include "jit/kernel_spec.h"

namespace kiln {

/// row = the index at `from`, or `instead` and a status where there is no such row.
inline void load_index(Emitter& e, Int row, Int from, DType dtype, int64_t rows, Int status, int64_t instead) {
  e.load_int(row, {from, 0}, DType::i32);
  const auto from_end = [&] { add(e, row, row, rows); };
  const auto refuse = [&] {
    const Int bad = e.integer();
    e.set(row, instead);
    e.set(bad, kStatusBadIndex);
    e.store_int({status, 0}, bad, DType::i32);
  };
  if (dtype == DType::i64) {
    // Addresses may be narrower. The high half is 0, or −1 for an index from the end. With the latter a low half that
    // is not negative stays beyond the rows.
    const Int high = e.integer();
    e.load_int(high, {from, 4}, DType::i32);
    e.if_(high, Compare::ne, 0, [&] {
      from_end();
      e.if_(high, Compare::ne, -1, [&] { e.set(row, -1); });
    });
  } else {
    e.if_(row, Compare::lt, 0, from_end);
  }
  e.if_(row, Compare::lt, 0, refuse);
  e.if_(row, Compare::ge, rows, refuse);
}

}  // namespace kiln
