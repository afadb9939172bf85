// The straight line from graph to module: plan_model, lay_out_model, emit_part. Every stage can be dumped.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ir/optimize.h"
#include "ir/plan.h"
#include "jit/program.h"
#include "tuner/tuner.h"

namespace kiln {

struct CompileOptions {
  Target target;
  Device device;
  std::map<std::string, int64_t> dims;
  int threads = 1;
  Precision precision = Precision::balanced;
  /// The first `landed` bytes of the file's weights lie in the model's memory before they are packed. They begin
  /// `file_at` bytes from its base (a multiple of 64) or further on. The others come to a staging area, one after the
  /// other. 0: all come to the staging area.
  int64_t file_at = 0, landed = 0;
  std::function<void(const char* stage, const std::string& text)> dump;  ///< called after every stage when set
};

/// Where everything lies in the model's memory, relative to its base: control block, progress, weights, arena (and
/// staging), scratch. If the file's bytes land in memory, the order is: control block, progress, arena (and staging),
/// scratch, weights. The packed weights then reach into the bytes of the file that have been packed already.
struct MemoryMap {
  int64_t control = 0, progress = 0, weights = 0, arena = 0, scratch = 0, scratch_stride = 0;
  int64_t file = 0, weights_bytes = 0, total_bytes = 0;
  std::vector<Buffer> buffers;  ///< the plan's; packed weights have the size that their schedules need
  int64_t address(const Operand& operand) const;
};

/// Everything known about a model before its code is emitted.
struct Planned {
  Graph graph;
  Plan plan;
  std::vector<KernelSpec> specs;  ///< distinct specs of plan steps, the tuner's work list
  std::vector<int> step_spec;     ///< step → index into specs
};
Result<Planned> plan_model(Graph graph, const CompileOptions& options);

/// The bytes that the weights will take, as expected before schedules are known: those of the plan, less where the
/// prior would choose 16-bit integers.
int64_t expected_weights_bytes(const Planned& planned, const CompileOptions& options);

struct Compiled {
  Program program;
  MemoryMap memory;
  std::vector<Choice> choices;  ///< per spec of Planned::specs
};
/// The backend for a target. Null if this build has none.
std::unique_ptr<ModuleEmitter> make_emitter(const Target& target);
/// Lays out a model: memory, schedules and the program to emit. Unusable `choices` are replaced by the prior's.
Result<Compiled> lay_out_model(const Planned& planned, const std::vector<Choice>& choices,
                               const CompileOptions& options);
/// One half of a laid-out model as a module of its own.
Result<Module> emit_part(const Compiled& laid_out, const CompileOptions& options, ProgramPart part);

}  // namespace kiln
