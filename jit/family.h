// One row per kernel family: everything that the tuner, the planner and the module builder ask of it.
#pragma once

#include "jit/emitter.h"
#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

struct KernelCode {
  KernelSpec spec;
  Schedule schedule;
};

/// The first word of a thread's scratch where it begins with a step of a run. What a kernel writes there, or anywhere
/// behind it, it finds when the same thread goes on with the same step.
constexpr int32_t kNothingLeft = -1;
constexpr int64_t kScratchHeader = 64;  ///< bytes that keep what lies behind such words aligned

/// Emitted entries take (begin, end, scratch, operand addresses…, sizes…): the half-open range of work units of one
/// thread, that thread's scratch memory, then the operands in the order that the spec documents.
struct Family {
  const char* name;
  /// Independent units of work that may be split over threads.
  int64_t (*units)(const KernelSpec&, const Schedule&, const Target&);
  /// Bytes of scratch that each thread needs.
  int64_t (*scratch_bytes)(const KernelSpec&, const Schedule&, const Target&);
  /// Whether the schedule fits the target's registers and the shape.
  bool (*feasible)(const KernelSpec&, const Schedule&, const Target&);
  Func (*emit)(Emitter&, const KernelSpec&, const Schedule&, const std::string& name);
  /// For kernels that take sizes at each call, so that specs alike in all else share them: what of the spec and the
  /// schedule the code depends on …
  KernelCode (*code)(const KernelSpec&, const Schedule&) = nullptr;
  /// … and the rest: integers that follow the operands of a call.
  std::vector<int64_t> (*sizes)(const KernelSpec&, const Schedule&, const Target&) = nullptr;
};

/// What emit() is given for a spec, and what calls of it pass after the operands.
KernelCode code_of(const KernelSpec& spec, const Schedule& schedule);
std::vector<int64_t> sizes_of(const KernelSpec& spec, const Schedule& schedule, const Target& target);

/// The row of the spec's family.
const Family& family_of(const KernelSpec& spec);
int num_operands(const KernelSpec& spec);

}  // namespace kiln
