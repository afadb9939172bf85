// Units that are blocks of neighbours along one dim, at one element of all other dims.
#pragma once

#include <algorithm>
#include <vector>

#include "jit/kernels/loops.h"

namespace kiln {

struct Blocks {
  size_t dim = SIZE_MAX;                    ///< none: one element a unit
  int64_t block = 1, blocks = 1, rest = 0;  ///< elements of a block, how many, of the last if it is shorter

  void split(const std::vector<int64_t>& dims, int64_t most) {
    if (dim == SIZE_MAX) return;
    block = std::min(dims[dim], most);
    blocks = ceil_div(dims[dim], block);
    rest = dims[dim] % block;
  }
  int64_t units(const std::vector<int64_t>& dims) const {
    int64_t n = blocks;
    for (size_t d = 0; d < dims.size(); ++d) n *= d == dim ? 1 : dims[d];
    return n;
  }
  /// From one element of a block to the next.
  int64_t stride(const std::vector<int64_t>& strides, int64_t of_none) const {
    return dim == SIZE_MAX ? of_none : strides[dim];
  }

  struct Operand {
    int param;
    int64_t size;  ///< bytes
    std::vector<int64_t> strides;
  };
  /// The loop over a thread's units: calls `whole` or, for a shorter block, `last` with where the operands stand and
  /// what is `common`.
  void for_blocks(Emitter& e, const std::vector<int64_t>& dims, const std::vector<Operand>& operands, Func whole,
                  Func last, const std::vector<Arg>& common = {}) const {
    std::vector<int64_t> by = dims;  // blocks are innermost
    if (dim != SIZE_MAX) by[dim] = 1;
    by.push_back(blocks);
    UnitOperands at(e, by);
    for (const Operand& o : operands) {
      std::vector<int64_t> strides = o.strides;
      strides.push_back(block * stride(o.strides, 0));
      at.add(o.param, o.size, std::move(strides));
    }
    const Int number = e.integer();
    for_units(e, [&](Int unit) {
      std::vector<Arg> args = at.at(unit);
      args.insert(args.end(), common.begin(), common.end());
      if (!rest) return e.call(whole, args);
      e.op(IntOp::rem, number, unit, blocks);
      e.if_(
          number, Compare::lt, blocks - 1, [&] { e.call(whole, args); }, [&] { e.call(last, args); });
    });
  }
};

}  // namespace kiln
