#include "jit/emitter.h"

namespace kiln {

void Emitter::for_range(Int i, Arg begin, Arg end, Arg step, FunctionRef<void()> body) {
  if (begin.is_imm() && end.is_imm() && begin.imm >= end.imm) return;
  set(i, begin);
  auto loop = [&] {
    do_while(
        [&] {
          body();
          op(IntOp::add, i, i, step);
        },
        i, Compare::lt, end);
  };
  if (!begin.is_imm() || !end.is_imm()) {
    if_(i, Compare::lt, end, loop);
  } else if (step.is_imm() && begin.imm + step.imm >= end.imm) {
    body();  // one round: no loop
  } else {
    loop();
  }
}

void Emitter::if_any(Vec mask, FunctionRef<void()> then) {
  const Int set = integer();
  any(set, mask);
  if_(set, Compare::ne, 0, then);
}

Func Emitter::shared_function(const std::string& key, FunctionRef<Func()> emit) {
  const auto [at, is_new] = shared_functions_.emplace(key, Func{});
  if (is_new) at->second = emit();
  return at->second;
}

void horizontal(Emitter& e, VecBinary op, Vec v, Vec scratch) {
  // Every lane ends with the fold of all lanes, after rotations by w/2, w/4, …, 1. The width is a power of two.
  for (int distance = e.width() / 2; distance >= 1; distance /= 2) {
    e.rotate(scratch, v, distance);
    e.op(op, v, v, scratch);
  }
}

}  // namespace kiln
