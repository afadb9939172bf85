// How threads share the steps of a run: pieces that each takes by a ticket, instead of fixed shares that all must meet
// at a barrier with. A thread that is late, or that the system has put aside, holds up nothing but the piece in its
// hands: the others do the rest, and when it comes it finds out by a look at each step.
#pragma once

#include "jit/program.h"

namespace kiln {

/// Emits the functions that a module calls around each step. Only where target().threads.
class Sharing {
 public:
  Sharing(Emitter& emitter, const Program& program) : e_(emitter), p_(program) {}
  void emit();

  /// A thread's own line of memory, for the calls below.
  Int slot(Int base, Int thread);
  /// Calls body(begin, end) with range after range of units until none of the step is left for this thread.
  void each_piece(Int base, Int thread, Int threads, Int slot, size_t step, int64_t units, FunctionRef<void(Int, Int)>);
  /// Returns when the step is done, where it is not one before `first`. All that its threads wrote is then visible, and
  /// the status word tells whether the run was cancelled: all threads see the same.
  void await(Int base, Int threads, Int first, Arg step);

 private:
  void emit_take();
  void emit_await();
  void take_ticket(Int word, Int victim, Int shares, Int units, Int pieces, Int begin, Int end, Int taken);
  void announce(Int control, Int record, Int total, Int taken);
  void decide(Int control);
  Int record(Int base, Arg step);

  Emitter& e_;
  const Program& p_;
  Func take_{}, await_{};
};

}  // namespace kiln
