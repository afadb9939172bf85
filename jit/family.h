// One row per kernel family: everything that the tuner, the planner and the module builder ask of it.
#pragma once

#include "jit/emitter.h"
#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

/// Emitted entries take (begin, end, scratch, operand addresses…): the half-open range of work units of one thread,
/// that thread's scratch memory, then the operands in the order that the spec documents.
struct Family {
  const char* name;
  /// Independent units of work that may be split over threads.
  int64_t (*units)(const KernelSpec&, const Schedule&, const Target&);
  /// Bytes of scratch that each thread needs.
  int64_t (*scratch_bytes)(const KernelSpec&, const Schedule&, const Target&);
  /// Whether the schedule fits the target's registers and the shape.
  bool (*feasible)(const KernelSpec&, const Schedule&, const Target&);
  Func (*emit)(Emitter&, const KernelSpec&, const Schedule&, const std::string& name);
};

/// The row of the spec's family.
const Family& family_of(const KernelSpec& spec);
int num_operands(const KernelSpec& spec);

}  // namespace kiln
