// A plan: steps in execution order over buffers with offsets. Everything about a model is decided, except schedules and
// the kernels' code.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "jit/kernel_spec.h"

namespace kiln {

enum class Space : uint8_t {
  weights,  ///< filled once at load, kept
  arena,    ///< lives inside one run; inputs and outputs too
  staging,  ///< lives inside the load only; shares its memory with the arena
  file,     ///< a weight that is only packed, among the bytes of the file: `offset` from the first weight
};

struct Buffer {
  Space space = Space::arena;
  int64_t bytes = 0;
  int64_t offset = 0;       ///< from the start of its space, 64-byte aligned (set by plan_arena)
  int first = 0, last = 0;  ///< arena: steps; staging: load times (segment indices)
};

struct Operand {
  int buffer = -1;
  int64_t offset = 0;                     ///< bytes
  static constexpr int kStatusWord = -2;  ///< as `buffer`: the status word of the control block
};

struct PlanStep {
  KernelSpec spec;
  std::vector<Operand> operands;   ///< the first num_written(spec) are written
  std::vector<Operand> when = {};  ///< booleans in memory: the step runs if all of them hold
  int64_t moves = 0;               ///< bytes by which operands[0] moves from round to round of the innermost loop
  /// Whose schedule applies: -1 its own; else, for a pack, the consumer (index into Plan::steps).
  int schedule_of = -1;
  bool barrier_before = false;
  std::string label;  ///< "conv aten.convolution resnet/encoder/stage0 …" for profiles
};

/// Steps [begin, end) run again and again, one after the other on one thread, while a condition holds. Loops may stand
/// in loops. A step's conditions are within the innermost one.
struct Loop {
  int begin = 0, end = 0;
  int64_t bound = 0;  ///< rounds at most; 0: only the condition ends it
  Operand condition = {},
          number;  ///< a boolean that is looked at before each round, if there is one; which round it is
  std::vector<Operand> when = {};  ///< as of a step
};
/// Which loop each step is in, the innermost, and each loop; -1: none.
struct LoopNest {
  std::vector<int> of_step, around;
};
LoopNest nest_of(const std::vector<Loop>& loops, size_t steps);

/// Bytes [file_offset, file_offset + size) of the weights go to `dst` when they arrive. Then load phase `phase` may
/// run, if there is one.
struct Transfer {
  int segment = 0;
  int64_t file_offset = 0, size = 0;
  Operand dst;
  int phase = -1;
};

struct Port {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  Operand at;
  /// Of an output whose size along an axis a run decides, up to that of its shape: the axis, and which of Plan::counts
  /// has the size.
  int64_t axis = -1;
  size_t count = 0;
};

struct Plan {
  std::vector<Buffer> buffers;
  std::vector<PlanStep> steps;
  std::vector<Loop> loops;                  ///< outer ones before those in them
  std::vector<std::vector<PlanStep>> init;  ///< by load phase: packs weights, computes constants; once, on one thread
  std::vector<Transfer> transfers;          ///< in file order
  struct Inline {
    Operand dst;
    std::vector<uint8_t> bytes;
  };
  std::vector<Inline> constants;      ///< small constants, written before anything else
  std::vector<Port> inputs, outputs;  ///< contiguous row-major in memory
  std::vector<Port> counts;           ///< one i32 each, which a run leaves: sizes of outputs
  int64_t weights_bytes = 0, arena_bytes = 0, staging_bytes = 0;
  int64_t arena_lower_bound = 0;  ///< largest sum of live arena buffers at any step
};

/// How far arithmetic may be reordered and rounded. docs/precision.md has the measured error of each.
enum class Precision : uint8_t {
  exact,     ///< sums of products: only rounding, about 1e-5 of the scale
  balanced,  ///< the fastest algorithms that keep a model's outputs within 1e-4 of their scale
  fast,      ///< … within 1e-3
};
/// By the name that every interface uses.
Result<Precision> precision_by_name(std::string_view name);

/// Optimized graph → plan. Values become strided views of buffers, so permute, reshape, expand, slice and concat cost
/// nothing where the strides allow. Convolutions read zero-padded buffers, which their producers write into directly.
/// What depends on weights alone becomes steps of load phases.
Result<Plan> lower(const Graph& graph, Precision precision = Precision::balanced);

/// Assigns offsets to the buffers of one space. Buffers that are alive at once do not overlap. Returns the size.
int64_t plan_arena(std::vector<Buffer>& buffers, Space space, int64_t* lower_bound = nullptr);

std::string to_string(const Plan& plan);  ///< for --dump=plan

}  // namespace kiln
