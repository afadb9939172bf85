// How threads share the steps of a run. Each step is cut into pieces, which threads take by ticket. A thread that is
// late, or that the system has suspended, holds up only its current piece. The others do the rest. When a late thread
// arrives, it finds at each step that the work is done.
#pragma once

#include "jit/program.h"

namespace kiln {

/// Emits the functions that a module calls around each step. Only where target().threads.
class Sharing {
 public:
  Sharing(Emitter& emitter, const Program& program) : e_(emitter), p_(program) {}
  void emit();

  /// The address of a thread's own line of progress, for the calls below.
  Int slot(Int base, Int thread);
  /// Calls body(begin, end) for ranges of units until nothing of the step is left for this thread. `pieces` as in
  /// ProgramStep. All threads give the same number of units; with 0 the step is only marked as done.
  void each_piece(Int base, Int thread, Int threads, Int slot, size_t step, Arg units, int pieces,
                  FunctionRef<void(Int, Int)>);
  /// Returns when the step is done, or at once for a step before `first`. This thread then sees everything that the
  /// step's threads wrote. The status word says whether the run was cancelled; all threads see the same.
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
