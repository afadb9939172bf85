// A program: kernels and steps in their order, with addresses in place of values and buffers. emit_program() makes a
// module of it.
#pragma once

#include <string>
#include <vector>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

struct ProgramStep {
  int kernel = 0;                 ///< index into Program::kernels
  std::vector<int64_t> operands;  ///< byte addresses relative to the base that the entry is called with
  bool barrier_before = false;    ///< earlier steps' results must be visible to every thread first
  int pieces = 0;  ///< that each thread's share is cut into, the first the largest; 0: one thread does the step
  int looks = 1;   ///< in so many parts it is done, before each of which the cancel flag is looked at; 1: it is not
  std::vector<int64_t> when = {};  ///< addresses of bytes: the step runs if none of them is 0
  int64_t moves = 0;               ///< added to operands[0] from round to round of the innermost loop
};

/// Steps [begin, end) are one: the thread that comes first does them, one after the other, round after round. The step
/// is the last of them; those before it have nothing to do. Loops may stand in loops.
struct ProgramLoop {
  int begin = 0, end = 0;
  int64_t bound = 0;               ///< rounds at most; 0: only the condition ends it
  int64_t condition = -1;          ///< address of a byte that is not 0 before each round; -1: there is none
  int64_t number = 0;              ///< address of the number of the round, 64 bits
  std::vector<int64_t> when = {};  ///< as of a step
};

struct Program {
  struct Kernel {
    KernelSpec spec;
    Schedule schedule;
  };
  std::vector<Kernel> kernels;                 ///< distinct
  std::vector<ProgramStep> steps;              ///< one inference
  std::vector<ProgramLoop> loops;              ///< of them, in the order of their begins, outer ones first
  std::vector<std::vector<ProgramStep>> init;  ///< phases that run once, single-threaded, as weights arrive
  int64_t control = 0;                         ///< address of the control block, kControlBytes long, 64-byte aligned
  int64_t scratch = 0, scratch_stride = 0;     ///< per-thread scratch: scratch + thread × stride
  int threads = 1;                             ///< at most so many in a run
  int64_t progress = 0;                        ///< address of progress_bytes(); only where target().threads
};

/// The control block (32-bit words): status, a cancel flag that the host may set, how many threads sleep, and the
/// status of a load, which no run clears.
constexpr int64_t kControlBytes = 1024;
constexpr int64_t kControlStatus = 0, kControlCancel = 64, kControlSleepers = 128, kControlLoadStatus = 192;
/// From here to kControlBytes the control block belongs to the host (js-sdk, native pool): start generation, etc.
constexpr int64_t kControlHost = 256;

/// How far a run has come (jit/sharing.h): a line for each thread, a record for each step. The host clears all of it
/// before the first run, and before every run with several threads. So it is a region of its own.
constexpr int64_t kProgressLine = 64;
constexpr int64_t progress_record_bytes(int threads) { return round_up(4 * (1 + threads), kProgressLine); }
constexpr int64_t progress_bytes(int threads, size_t steps) {
  return kProgressLine * threads + progress_record_bytes(threads) * static_cast<int64_t>(steps);
}

/// Exports (all parameters address-wide integers):
///   run(base, thread, threads, first, last)   steps [first, last); a thread calls it with the common range or not at
///                                             all
///   init(base, phase)                         the steps of one load phase
/// When run() returns on one thread, all the work is done. Other threads may still be about to return. They must have
/// returned before progress is cleared. If the cancel flag is set when a step is completed, the run ends on every
/// thread, with status kStatusAborted. The host clears status and flag before a run.
Status emit_program(Emitter& emitter, const Program& program);
/// One half of the program: `init` or `run`, with the kernels that it needs. As two modules, the first already runs
/// while the second is emitted.
enum class ProgramPart : uint8_t { load, run };
Status emit_program(Emitter& emitter, const Program& program, ProgramPart part);

}  // namespace kiln
