// One row per kernel family: what the tuner, the planner and the module builder need to know.
#pragma once

#include <vector>

#include "jit/emitter.h"
#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

struct KernelCode {
  KernelSpec spec;
  Schedule schedule;
};

/// The first word of a thread's scratch when the thread begins a step of a run. A kernel may overwrite it and anything
/// behind it. It finds what it wrote when the same thread goes on with the same step.
constexpr int32_t kNothingLeft = -1;
constexpr int64_t kScratchHeader = 64;  ///< bytes; keeps what lies behind that word aligned

struct FieldList;
class Operands;

/// Floating-point operations (2 per multiply-add), and bytes that are touched at least once.
struct Work {
  double flops, bytes;
};
/// The points of a box.
double volume(const std::vector<int64_t>& dims);

/// An emitted entry takes (begin, end, scratch, operand addresses…, sizes…): a half-open range of work units, the
/// scratch memory of the calling thread, then the operands in the order that the spec documents.
struct Family {
  const char* name;
  const FieldList* fields;
  /// Lists the operands, in the order in which the entry takes them.
  void (*operands)(const KernelSpec&, Operands&);
  Work (*work)(const KernelSpec&);
  /// Independent units of work that may be split over threads.
  int64_t (*units)(const KernelSpec&, const Schedule&, const Target&);
  /// Bytes of scratch that each thread needs.
  int64_t (*scratch_bytes)(const KernelSpec&, const Schedule&, const Target&);
  /// Whether the schedule fits the target's registers and the shape.
  bool (*feasible)(const KernelSpec&, const Schedule&, const Target&);
  Func (*emit)(Emitter&, const KernelSpec&, const Schedule&, const std::string& name);
  /// For kernels that take sizes at each call. Specs that differ only in sizes then share code. `code` is the part of
  /// the spec and the schedule that the code depends on …
  KernelCode (*code)(const KernelSpec&, const Schedule&) = nullptr;
  /// … and `sizes` is the rest: integers that follow the operands of a call.
  std::vector<int64_t> (*sizes)(const KernelSpec&, const Schedule&, const Target&) = nullptr;
};

/// What emit() gets for a spec, and what a call passes after the operands.
KernelCode code_of(const KernelSpec& spec, const Schedule& schedule);
std::vector<int64_t> sizes_of(const KernelSpec& spec, const Schedule& schedule, const Target& target);

/// The row of the spec's family.
const Family& family_of(const KernelSpec& spec);
int num_operands(const KernelSpec& spec);

}  // namespace kiln
