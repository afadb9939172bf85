// The straight line: bytes → graph → plan → schedules → module, one function, with a dump after every stage.
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
  /// The first `landed` bytes of the file's weights lie in the model's memory before they are packed, `file_at` from
  /// its base (a multiple of 64) or further on; 0: nowhere. The others come to a staging area when it is their turn.
  int64_t file_at = 0, landed = 0;
  std::function<void(const char* stage, const std::string& text)> dump;  ///< called after every stage when set
};

/// Where everything lies in the model's memory, relative to its base: control block, progress of a run, weights, arena
/// (and staging), scratch. With the file in memory: control block, progress, arena (and staging), scratch, weights,
/// into which the bytes of the file reach that have been packed by then.
struct MemoryMap {
  int64_t control = 0, progress = 0, weights = 0, arena = 0, scratch = 0, scratch_stride = 0;
  int64_t file = 0, weights_bytes = 0, total_bytes = 0;
  std::vector<Buffer> buffers;  ///< the plan's, packed weights as large as their schedules want them
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

/// Bytes that weights will take, before their schedules are known: as many as in the plan, fewer where the prior would
/// make integers of them.
int64_t expected_weights_bytes(const Planned& planned, const CompileOptions& options);

struct Compiled {
  Program program;
  MemoryMap memory;
  std::vector<Choice> choices;  ///< per spec of Planned::specs
};
/// The backend for a target; null when this build has none.
std::unique_ptr<ModuleEmitter> make_emitter(const Target& target);
/// Everything but the code: `choices` where they are usable, else the prior's; memory laid out; the program to emit.
Result<Compiled> lay_out_model(const Planned& planned, const std::vector<Choice>& choices,
                               const CompileOptions& options);
/// One half of a laid-out model as a module of its own.
Result<Module> emit_part(const Compiled& laid_out, const CompileOptions& options, ProgramPart part);

}  // namespace kiln
