#include "jit/control.h"

namespace kiln {
namespace {

class LoopEmitter {
 public:
  LoopEmitter(Emitter& emitter, const Program& program, size_t most, WholeStep whole_step)
      : functions(program.loops.size()), e_(emitter), p_(program), most_(most), whole_step_(whole_step) {}

  /// loop(base, scratch) of loop `index` and those in it. Returns the index of the next loop.
  size_t emit_loop(size_t index) {
    const ProgramLoop& loop = p_.loops[index];
    size_t next = index + 1;
    while (next < p_.loops.size() && p_.loops[next].begin < loop.end) next = emit_loop(next);
    std::vector<Func> parts;
    for (int i = loop.begin; i < loop.end;) parts.push_back(emit_part(i, index));
    const Func f = e_.begin_function("loop" + std::to_string(index), 2);
    const Int base = e_.param(0), number = e_.integer(), at = e_.integer(), condition = e_.integer(), go = e_.integer(),
              cancel = e_.integer();
    add(e_, at, base, loop.number);
    e_.set(number, 0);
    const auto look = [&] {  // whether there is another round
      e_.set(go, 1);
      if (loop.bound) e_.if_(number, Compare::ge, loop.bound, [&] { e_.set(go, 0); });
      if (loop.condition >= 0) {
        add(e_, condition, base, loop.condition);
        e_.load_int(condition, {condition, 0}, DType::u8);
        e_.if_(condition, Compare::eq, 0, [&] { e_.set(go, 0); });
      }
      if (!e_.target().threads) return;
      add(e_, cancel, base, p_.control);
      e_.atomic_load(cancel, {cancel, kControlCancel});
      e_.if_(cancel, Compare::ne, 0, [&] { e_.set(go, 0); });
    };
    look();
    e_.if_(go, Compare::ne, 0, [&] {
      e_.do_while(
          [&] {
            e_.store_int({at, 0}, number, DType::i64);
            for (Func part : parts) e_.call(part, {base, e_.param(1), number});
            add(e_, number, number, 1);
            look();
          },
          go, Compare::ne, 0);
    });
    e_.end_function();
    functions[index] = f;
    return next;
  }

  std::vector<Func> functions;

 private:
  /// part(base, scratch, number): some steps of a round, from step `i` on, behind which it leaves i.
  Func emit_part(int& i, size_t index) {
    const ProgramLoop& loop = p_.loops[index];
    const Func f = e_.begin_function("loop" + std::to_string(index) + "_" + std::to_string(i), 3);
    const Int base = e_.param(0), scratch = e_.param(1), moved = e_.integer();
    for (size_t n = 0; i < loop.end && n < most_; ++n) {
      const size_t inner = loop_from(i, index);
      if (inner != index) {
        emit_if(e_, p_.loops[inner].when, base, [&] { e_.call(functions[inner], {base, scratch}); });
        i = p_.loops[inner].end;
        continue;
      }
      const ProgramStep& step = p_.steps[static_cast<size_t>(i++)];
      emit_if(e_, step.when, base, [&] {
        if (step.moves) e_.op(IntOp::mul, moved, e_.param(2), step.moves);
        whole_step_(step, base, scratch, step.moves ? &moved : nullptr);
      });
    }
    e_.end_function();
    return f;
  }

  /// The outermost loop in loop `index` that begins with step `i`; `index` itself: none does.
  size_t loop_from(int i, size_t index) const {
    for (size_t inner = index + 1; inner < p_.loops.size() && p_.loops[inner].begin <= i; ++inner)
      if (p_.loops[inner].begin == i) return inner;
    return index;
  }

  Emitter& e_;
  const Program& p_;
  size_t most_;
  WholeStep whole_step_;
};

}  // namespace

Arg units_if(Emitter& e, const std::vector<int64_t>& when, Int base, int64_t units) {
  const Int count = e.integer();
  e.set(count, units);
  const Int holds = e.integer(), at = e.integer();
  for (int64_t address : when) {
    add(e, at, base, address);
    e.load_int(holds, {at, 0}, DType::u8);
    e.if_(holds, Compare::eq, 0, [&] { e.set(count, 0); });
  }
  return count;
}
void emit_if(Emitter& e, const std::vector<int64_t>& when, Int base, FunctionRef<void()> body) {
  if (when.empty()) return body();
  const Int count = units_if(e, when, base, 1).reg;
  e.if_(count, Compare::ne, 0, body);
}

std::vector<Func> emit_loops(Emitter& e, const Program& program, size_t most, WholeStep whole_step) {
  LoopEmitter loops(e, program, most, whole_step);
  for (size_t i = 0; i < program.loops.size();) i = loops.emit_loop(i);
  return loops.functions;
}

}  // namespace kiln
