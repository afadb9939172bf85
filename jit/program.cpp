#include "jit/program.h"

#include <algorithm>

#include "jit/control.h"
#include "jit/family.h"
#include "jit/kernels/loops.h"
#include "jit/sharing.h"

namespace kiln {
namespace {

/// Steps per chunk function. Engines are slow to compile larger functions.
constexpr size_t kChunk = 24;

class ProgramEmitter {
 public:
  ProgramEmitter(Emitter& emitter, const Program& program) : e_(emitter), p_(program), sharing_(emitter, program) {}

  Status emit(bool load, bool run) {
    std::vector<bool> needed(p_.kernels.size());
    const auto need = [&](const std::vector<ProgramStep>& steps) {
      for (const ProgramStep& step : steps) needed[static_cast<size_t>(step.kernel)] = true;
    };
    if (load) std::for_each(p_.init.begin(), p_.init.end(), need);
    if (run) need(p_.steps);
    entries_.resize(p_.kernels.size());
    for (size_t i = 0; i < p_.kernels.size(); ++i) {
      if (!needed[i]) continue;
      const Program::Kernel& k = p_.kernels[i];
      const Family& family = family_of(k.spec);
      if (!family.feasible(k.spec, k.schedule, e_.target()))
        return Error{ErrorCode::internal, "schedule '" + to_string(k.schedule) + "' does not fit this target",
                     to_string(k.spec)};
      entries_[i] = entry(k, "k" + std::to_string(i) + "_" + family.name);
    }
    if (load) emit_init();
    if (!run) return ok();
    if (e_.target().threads) sharing_.emit();
    unit_.assign(p_.steps.size(), Unit::step);
    if (!p_.loops.empty()) emit_loop_functions();
    emit_run();
    return ok();
  }

 private:
  /// Kernels that take sizes at each call are emitted once for all specs that share the code.
  Func entry(const Program::Kernel& k, const std::string& name) {
    const Family& family = family_of(k.spec);
    if (!family.code) return family.emit(e_, k.spec, k.schedule, name);
    const KernelCode code = family.code(k.spec, k.schedule);
    return e_.shared_function(to_string(code.spec) + " | " + to_string(code.schedule),
                              [&] { return family.emit(e_, code.spec, code.schedule, name); });
  }

  /// chunk(base, thread, threads, first, last): runs those of its steps that are in [first, last).
  Func emit_chunk(size_t begin) {
    const Func f = e_.begin_function("steps" + std::to_string(begin), 5);
    const Int base = e_.param(0), thread = e_.param(1), first = e_.param(3), last = e_.param(4);
    const Int scratch = e_.integer();
    e_.op(IntOp::mul, scratch, thread, p_.scratch_stride);
    add(e_, scratch, scratch, p_.scratch);
    add(e_, scratch, scratch, base);
    const Int slot = e_.target().threads ? sharing_.slot(base, thread) : Int{};
    for (size_t i = begin; i < std::min(begin + kChunk, p_.steps.size()); ++i) {
      const auto at = static_cast<int64_t>(i);
      e_.if_(first, Compare::le, at, [&] {
        e_.if_(last, Compare::gt, at, [&] {
          if (p_.steps[i].barrier_before && i > 0) e_.if_(first, Compare::lt, at, [&] { emit_gate(i); });
          emit_share(i, slot, scratch);
        });
      });
    }
    e_.end_function();
    return f;
  }

  /// A barrier before a step: waits until the steps since the last barrier are done. Returns from the chunk if the run
  /// was cancelled.
  void emit_gate(size_t step) {
    const Int base = e_.param(0), control = e_.integer(), status = e_.integer();
    add(e_, control, base, p_.control);
    if (e_.target().threads) {
      size_t from = step - 1;
      while (from > 0 && !p_.steps[from].barrier_before) --from;
      for (; from < step; ++from) sharing_.await(base, e_.param(2), e_.param(3), static_cast<int64_t>(from));
      e_.atomic_load(status, {control, kControlStatus});
    } else {
      e_.load_int(status, {control, kControlCancel}, DType::i32);
      e_.if_(status, Compare::ne, 0, [&] {
        e_.set(status, kStatusAborted);
        e_.store_int({control, kControlStatus}, status, DType::i32);
      });
    }
    e_.if_(status, Compare::eq, kStatusAborted, [&] { e_.return_(); });
  }

  int64_t units(const ProgramStep& step) const {
    const Program::Kernel& k = p_.kernels[static_cast<size_t>(step.kernel)];
    return family_of(k.spec).units(k.spec, k.schedule, e_.target());
  }

  /// Runs a thread's part of a step.
  void emit_share(size_t i, Int slot, Int scratch) {
    const Int base = e_.param(0);
    if (unit_[i] == Unit::inside) {  // with the last step of its loop; here it is only marked as done
      if (e_.target().threads) sharing_.each_piece(base, e_.param(1), e_.param(2), slot, i, 0, 0, [](Int, Int) {});
      return;
    }
    if (unit_[i] == Unit::loop) {
      const ProgramLoop& loop = p_.loops[loop_at_[i]];
      const auto call = [&] { e_.call(loop_functions_[loop_at_[i]], {base, scratch}); };
      if (!e_.target().threads) return emit_if(e_, loop.when, base, call);
      return sharing_.each_piece(base, e_.param(1), e_.param(2), slot, i, count_if(loop.when, base, 1), 0,
                                 [&](Int, Int) { call(); });
    }
    const ProgramStep& step = p_.steps[i];
    const auto all = [&] { emit_call(step, base, {0, units(step), scratch}); };
    prepare_scratch(step, scratch);
    if (!e_.target().threads) return step.when.empty() ? all() : emit_if(e_, step.when, base, all);
    const Arg count = count_if(step.when, base, units(step));
    sharing_.each_piece(base, e_.param(1), e_.param(2), slot, i, count, step.pieces, [&](Int begin, Int end) {
      if (step.looks < 2) return emit_call(step, base, {begin, end, scratch});
      emit_in_parts(begin, end, ceil_div(units(step), step.looks), [&](Int from, Int until) {
        emit_call(step, base, {from, until, scratch});
      });
    });
  }

  void emit_loop_functions() {
    loop_functions_ = emit_loops(e_, p_, kChunk, [&](const ProgramStep& step, Int base, Int scratch, const Int* moved) {
      prepare_scratch(step, scratch);
      emit_call(step, base, {0, units(step), scratch}, moved);
    });
    for (size_t index = 0; index < p_.loops.size(); ++index) {
      const ProgramLoop& loop = p_.loops[index];
      for (int i = loop.begin; i < loop.end; ++i) {
        const auto at = static_cast<size_t>(i);
        if (unit_[at] != Unit::step) continue;  // with the loop around this one
        unit_[at] = i + 1 == loop.end ? Unit::loop : Unit::inside;
        loop_at_[at] = index;
      }
    }
  }

  void prepare_scratch(const ProgramStep& step, Int scratch) {
    const Program::Kernel& k = p_.kernels[static_cast<size_t>(step.kernel)];
    if (family_of(k.spec).scratch_bytes(k.spec, k.schedule, e_.target()) > 0) leave_nothing(e_, scratch);
  }

  Arg count_if(const std::vector<int64_t>& when, Int base, int64_t units) {
    return when.empty() ? Arg(units) : units_if(e_, when, base, units);
  }
  /// part(from, until) for one run of units after the other; none once the run is cancelled.
  void emit_in_parts(Int begin, Int end, int64_t units, FunctionRef<void(Int, Int)> part) {
    const Int from = e_.integer(), until = e_.integer(), cancel = e_.integer(), control = e_.integer();
    add(e_, control, e_.param(0), p_.control);
    e_.set(from, begin);
    e_.do_while(
        [&] {
          add(e_, until, from, units);
          e_.op(IntOp::min, until, until, end);
          e_.atomic_load(cancel, {control, kControlCancel});
          e_.if_(cancel, Compare::eq, 0, [&] { part(from, until); });
          e_.set(from, until);
        },
        from, Compare::lt, end);
  }

  /// `moved`: by how much the first operand has moved.
  void emit_call(const ProgramStep& step, Int base, std::vector<Arg> args, const Int* moved = nullptr) {
    const Program::Kernel& k = p_.kernels[static_cast<size_t>(step.kernel)];
    for (int64_t address : step.operands) {
      const Int a = e_.integer();
      add(e_, a, base, address);
      if (moved) add(e_, a, a, *moved);
      moved = nullptr;
      args.emplace_back(a);
    }
    for (int64_t size : sizes_of(k.spec, k.schedule, e_.target())) args.emplace_back(size);
    e_.call(entries_[static_cast<size_t>(step.kernel)], args);
  }

  /// init(base, phase): calls a function for each phase, all on one thread.
  void emit_init() {
    std::vector<Func> phases;
    for (size_t phase = 0; phase < p_.init.size(); ++phase) {
      phases.push_back(e_.begin_function("init" + std::to_string(phase), 1));
      const Int base = e_.param(0), scratch = e_.integer();
      add(e_, scratch, base, p_.scratch);
      for (const ProgramStep& step : p_.init[phase]) emit_call(step, base, {0, units(step), scratch});
      e_.end_function();
    }
    e_.begin_function("init", 2, true);
    emit_choice(phases, 0, phases.size());
    e_.end_function();
  }

  /// Calls the one of phases [first, last) that is asked for, after as many comparisons as halves.
  void emit_choice(const std::vector<Func>& phases, size_t first, size_t last) {
    if (last - first < 2) {
      if (last > first) e_.call(phases[first], {e_.param(0)});
      return;
    }
    const size_t middle = (first + last) / 2;
    e_.if_(
        e_.param(1), Compare::lt, static_cast<int64_t>(middle), [&] { emit_choice(phases, first, middle); },
        [&] { emit_choice(phases, middle, last); });
  }

  void emit_run() {
    std::vector<Func> chunks;
    for (size_t i = 0; i < p_.steps.size(); i += kChunk) chunks.push_back(emit_chunk(i));
    e_.begin_function("run", 5, true);
    const Int base = e_.param(0), threads = e_.param(2), status = e_.integer(), control = e_.integer();
    add(e_, control, base, p_.control);
    for (Func f : chunks) {
      e_.call(f, {base, e_.param(1), threads, e_.param(3), e_.param(4)});
      e_.load_int(status, {control, kControlStatus}, DType::i32);
      e_.if_(status, Compare::eq, kStatusAborted, [&] { e_.return_(); });
    }
    if (e_.target().threads) {
      const Int step = e_.integer();
      e_.for_range(step, e_.param(3), e_.param(4), 1, [&] { sharing_.await(base, threads, e_.param(3), step); });
    }
    e_.end_function();
  }

  Emitter& e_;
  const Program& p_;
  std::vector<Func> entries_;
  enum class Unit : uint8_t { step, inside, loop };
  std::vector<Unit> unit_;            // what each step of a run is
  std::map<size_t, size_t> loop_at_;  // by its last step
  std::vector<Func> loop_functions_;
  Sharing sharing_;
};

}  // namespace

Status emit_program(Emitter& emitter, const Program& program) {
  return ProgramEmitter(emitter, program).emit(true, true);
}
Status emit_program(Emitter& emitter, const Program& program, ProgramPart part) {
  return ProgramEmitter(emitter, program).emit(part == ProgramPart::load, part == ProgramPart::run);
}

}  // namespace kiln
