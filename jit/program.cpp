#include "jit/program.h"

#include <algorithm>

#include "jit/family.h"

namespace kiln {
namespace {

/// Steps of one chunk function: so that none becomes so large that engines are slow to compile it.
constexpr size_t kChunk = 24;
/// Rounds of spinning before a thread goes to sleep at a barrier: about 10 µs, a step of a small model.
constexpr int64_t kSpins = 4000;

class ProgramEmitter {
 public:
  ProgramEmitter(Emitter& emitter, const Program& program) : e_(emitter), p_(program) {}

  Status emit() {
    for (size_t i = 0; i < p_.kernels.size(); ++i) {
      const Program::Kernel& k = p_.kernels[i];
      const Family& family = family_of(k.spec);
      if (!family.feasible(k.spec, k.schedule, e_.target()))
        return Error{ErrorCode::internal, "schedule '" + to_string(k.schedule) + "' does not fit this target",
                     to_string(k.spec)};
      entries_.push_back(family.emit(e_, k.spec, k.schedule, "k" + std::to_string(i) + "_" + family.name));
    }
    if (e_.target().threads) barrier_ = emit_barrier();
    emit_init();
    emit_run();
    return ok();
  }

 private:
  /// barrier(base, threads): returns when all threads have come. The last one to come turns the generation, and decides
  /// whether the run was cancelled: once, before anybody goes on.
  Func emit_barrier() {
    const Func f = e_.begin_function("barrier", 2);
    const Int control = e_.integer(), threads = e_.param(1), generation = e_.integer(), now = e_.integer(),
              arrived = e_.integer(), spins = e_.integer();
    add(e_, control, e_.param(0), p_.control);
    const Mem count{control, kControlBarrierCount}, turn{control, kControlBarrierGeneration};
    const auto decide = [&] {
      const Int cancel = e_.integer();
      e_.atomic_load(cancel, {control, kControlCancel});
      e_.if_(cancel, Compare::ne, 0, [&] { e_.atomic_store({control, kControlStatus}, kStatusAborted); });
    };
    const auto meet = [&] {
      e_.atomic_load(generation, turn);
      e_.atomic_add(arrived, count, 1);
      add(e_, arrived, arrived, 1);
      e_.if_(
          arrived, Compare::eq, threads,
          [&] {
            decide();
            e_.atomic_store(count, 0);
            e_.atomic_add(arrived, turn, 1);
            e_.atomic_notify(turn);
          },
          [&] {
            e_.set(spins, kSpins);
            e_.do_while(
                [&] {
                  e_.pause();
                  e_.atomic_load(now, turn);
                  add(e_, spins, spins, -1);
                  e_.if_(now, Compare::ne, generation, [&] { e_.set(spins, 0); });
                },
                spins, Compare::gt, 0);
            e_.if_(now, Compare::eq, generation, [&] {
              e_.do_while(
                  [&] {
                    e_.atomic_wait(turn, generation);
                    e_.atomic_load(now, turn);
                  },
                  now, Compare::eq, generation);
            });
          });
    };
    e_.if_(threads, Compare::gt, 1, meet, decide);
    e_.end_function();
    return f;
  }

  /// chunk(base, thread, threads, first, last): its steps that lie in [first, last).
  Func emit_chunk(const std::vector<ProgramStep>& steps, size_t begin, const std::string& name, bool init) {
    const Func f = e_.begin_function(name, 5);
    const Int base = e_.param(0), thread = e_.param(1), threads = e_.param(2), first = e_.param(3), last = e_.param(4);
    for (size_t i = begin; i < std::min(begin + kChunk, steps.size()); ++i) {
      const auto at = static_cast<int64_t>(i);
      if (init) {
        emit_call(steps[i], base, thread, threads);
        continue;
      }
      e_.if_(first, Compare::le, at, [&] {
        e_.if_(last, Compare::gt, at, [&] {
          if (steps[i].barrier_before && i > 0) e_.if_(first, Compare::lt, at, [&] { emit_gate(base, threads); });
          emit_call(steps[i], base, thread, threads);
        });
      });
    }
    e_.end_function();
    return f;
  }

  /// Between steps: wait for the others; leave if the run was cancelled (all threads see the same decision).
  void emit_gate(Int base, Int threads) {
    const Int control = e_.integer(), status = e_.integer();
    add(e_, control, base, p_.control);
    if (barrier_.id >= 0) {
      e_.call(barrier_, {base, threads});
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

  void emit_call(const ProgramStep& step, Int base, Int thread, Int threads) {
    const Program::Kernel& k = p_.kernels[static_cast<size_t>(step.kernel)];
    const int64_t units = family_of(k.spec).units(k.spec, k.schedule, e_.target());
    const Int begin = e_.integer(), end = e_.integer(), t = e_.integer();
    e_.op(IntOp::mul, begin, thread, units);
    e_.op(IntOp::div, begin, begin, threads);
    add(e_, end, thread, 1);
    e_.op(IntOp::mul, end, end, units);
    e_.op(IntOp::div, end, end, threads);
    e_.if_(begin, Compare::lt, end, [&] {
      std::vector<Arg> args{begin, end};
      e_.op(IntOp::mul, t, thread, p_.scratch_stride);
      add(e_, t, t, p_.scratch);
      add(e_, t, t, base);
      args.emplace_back(t);
      for (int64_t address : step.operands) {
        const Int a = e_.integer();
        add(e_, a, base, address);
        args.emplace_back(a);
      }
      e_.call(entries_[static_cast<size_t>(step.kernel)], args);
    });
  }

  void emit_init() {
    std::vector<std::vector<Func>> phases;
    for (size_t phase = 0; phase < p_.init.size(); ++phase) {
      phases.emplace_back();
      for (size_t i = 0; i < p_.init[phase].size(); i += kChunk)
        phases.back().push_back(
            emit_chunk(p_.init[phase], i, "init" + std::to_string(phase) + "_" + std::to_string(i), true));
    }
    e_.begin_function("init", 2, true);
    const Int one = e_.integer(), zero = e_.integer();
    e_.set(one, 1);
    e_.set(zero, 0);
    for (size_t phase = 0; phase < phases.size(); ++phase) {
      e_.if_(e_.param(1), Compare::eq, static_cast<int64_t>(phase), [&] {
        for (Func f : phases[phase]) e_.call(f, {e_.param(0), zero, one, zero, zero});
      });
    }
    e_.end_function();
  }

  void emit_run() {
    std::vector<Func> chunks;
    for (size_t i = 0; i < p_.steps.size(); i += kChunk)
      chunks.push_back(emit_chunk(p_.steps, i, "steps" + std::to_string(i), false));
    e_.begin_function("run", 5, true);
    const Int base = e_.param(0), threads = e_.param(2), status = e_.integer(), control = e_.integer();
    add(e_, control, base, p_.control);
    for (Func f : chunks) {
      e_.call(f, {base, e_.param(1), threads, e_.param(3), e_.param(4)});
      e_.load_int(status, {control, kControlStatus}, DType::i32);
      e_.if_(status, Compare::eq, kStatusAborted, [&] { e_.return_(); });
    }
    if (barrier_.id >= 0) e_.call(barrier_, {base, threads});
    e_.end_function();
  }

  Emitter& e_;
  const Program& p_;
  std::vector<Func> entries_;
  Func barrier_{};
};

}  // namespace

Status emit_program(Emitter& emitter, const Program& program) { return ProgramEmitter(emitter, program).emit(); }

}  // namespace kiln
