// Kernels and the order they run in, in the jit's own terms: addresses and nothing else. emit_program() makes it one
// module.
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
};

struct Program {
  struct Kernel {
    KernelSpec spec;
    Schedule schedule;
  };
  std::vector<Kernel> kernels;                 ///< distinct
  std::vector<ProgramStep> steps;              ///< one inference
  std::vector<std::vector<ProgramStep>> init;  ///< phases that run once, single-threaded, as weights arrive
  int64_t control = 0;                         ///< address of the control block, kControlBytes long, 64-byte aligned
  int64_t scratch = 0, scratch_stride = 0;     ///< per-thread scratch: scratch + thread × stride
};

/// The control block (32-bit words): status, barrier count, barrier generation, and a cancel flag that the host may
/// set.
constexpr int64_t kControlBytes = 1024;
constexpr int64_t kControlStatus = 0, kControlCancel = 64, kControlBarrierCount = 128, kControlBarrierGeneration = 192;
/// From here to kControlBytes the control block belongs to the host (js-sdk, native pool): start generation, etc.
constexpr int64_t kControlHost = 256;

/// Exports (all parameters address-wide integers):
///   run(base, thread, threads, first, last)   steps [first, last), with barriers; every thread calls it with the same
///   range init(base, phase)                         the steps of one init phase
/// A run ends with a barrier: when it returns on one thread, every thread's work is done. A cancel flag that is set
/// when the last thread arrives at a barrier ends the run everywhere, with status kStatusAborted; the host clears
/// status and flag before a run.
Status emit_program(Emitter& emitter, const Program& program);

}  // namespace kiln
