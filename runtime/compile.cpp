#include "runtime/compile.h"

#include <algorithm>

#include "jit/backends/wasm.h"
#include "jit/kernels/contraction.h"
#include "jit/touch.h"
#include "runtime/file_placement.h"
#include "runtime/verify_plan.h"
#include "support/checked.h"

namespace kiln {
namespace {

constexpr int64_t kAlign = 64;
/// Bytes: what spaces are laid out of never comes near the end of 64 bits.
constexpr int64_t kMostCounted = int64_t{1} << 60;

/// A step's schedule: its own, for a pack that of its consumer, or for another init step the prior's.
Schedule schedule_of(const PlanStep& step, int own, const Planned& planned, const std::vector<Choice>& choices,
                     const CompileOptions& options) {
  const int of = step.schedule_of >= 0 ? step.schedule_of : own;
  if (of < 0) return prior_at_load(step.spec, options.target, options.device);
  return choices[static_cast<size_t>(planned.step_spec[static_cast<size_t>(of)])].schedule;
}

/// The plan's buffers. Those of packed weights get the size that their schedules need.
std::vector<Buffer> sized_buffers(const Planned& planned, const std::vector<Choice>& choices,
                                  const CompileOptions& options) {
  std::vector<Buffer> buffers = planned.plan.buffers;
  for (const auto& phase : planned.plan.init)
    for (const PlanStep& step : phase) {
      if (step.schedule_of < 0) continue;
      const auto made = operands_of(step.spec, schedule_of(step, -1, planned, choices, options), kMostCounted);
      if (!made.empty()) buffers[static_cast<size_t>(step.operands[0].buffer)].bytes = made[0].span.end;
    }
  return buffers;
}

/// Scratch per thread: that of the step that needs most.
int64_t scratch_bytes(const Planned& planned, const std::vector<Choice>& choices, const CompileOptions& options) {
  int64_t most = 0;
  const auto consider = [&](const PlanStep& step, int own) {
    const Schedule schedule = schedule_of(step, own, planned, choices, options);
    most = std::max(most, family_of(step.spec).scratch_bytes(step.spec, schedule, options.target));
  };
  for (size_t i = 0; i < planned.plan.steps.size(); ++i) consider(planned.plan.steps[i], static_cast<int>(i));
  for (const auto& phase : planned.plan.init)
    for (const PlanStep& step : phase) consider(step, -1);
  return most;
}

MemoryMap lay_out(const Plan& plan, std::vector<Buffer> buffers, int64_t scratch_stride,
                  const CompileOptions& options) {
  MemoryMap m;
  m.control = 0;
  m.progress = kControlBytes;
  m.weights = m.progress + (options.target.threads ? progress_bytes(options.threads, plan.steps.size()) : 0);
  m.weights_bytes = round_up(plan_arena(buffers, Space::weights), kAlign);
  m.arena = m.weights + m.weights_bytes;
  m.buffers = std::move(buffers);
  m.scratch = m.arena + round_up(std::max(plan.arena_bytes, plan.staging_bytes), kAlign);
  m.scratch_stride = round_up(scratch_stride, kAlign);
  m.total_bytes = m.scratch + m.scratch_stride * options.threads;
  return m;
}

/// How a step reads its source. A pack reads just its operand, and writes panels in the order in which the rows of its
/// source lie.
Traversal traversal_of(const PlanStep& step, const Schedule& schedule, const Target& target) {
  const auto* pack = std::get_if<PackSpec>(&step.spec);
  if (!pack) return {};
  const int64_t row = (pack->taps - 1) * pack->src_tap + (pack->k - 1) * pack->src_k + 1;
  const int64_t last = (pack->batch[0] - 1) * pack->src_batch[0] + (pack->batch[1] - 1) * pack->src_batch[1] +
                       (pack->n - 1) * pack->src_n;
  const bool forwards =
      std::min({pack->src_tap, pack->src_k, pack->src_n, pack->src_batch[0], pack->src_batch[1]}) >= 0;
  if (!forwards) return {};
  const bool in_order = packs_plain_panels(schedule) && pack->scales == 0 && pack->batch[0] * pack->batch[1] == 1 &&
                        pack->src_n == pack->taps * pack->k && row <= pack->src_n;
  const int64_t panel = in_order ? tile_columns(schedule, target) * pack->src_n : 0;
  return {(last + row) * size_of(DType::f32), panel * size_of(DType::f32)};
}

/// The same, with the bytes of the file in memory.
MemoryMap lay_out_over_file(const Planned& planned, const std::vector<Choice>& choices, std::vector<Buffer> buffers,
                            int64_t scratch_stride, const CompileOptions& options) {
  const Plan& plan = planned.plan;
  MemoryMap m;
  const FilePlacement placed = place_over_file(plan, buffers, options.landed, [&](const PlanStep& step) {
    return traversal_of(step, schedule_of(step, -1, planned, choices, options), options.target);
  });
  m.progress = kControlBytes;
  m.arena = m.progress + (options.target.threads ? progress_bytes(options.threads, plan.steps.size()) : 0);
  m.scratch = m.arena + round_up(std::max(plan.arena_bytes, placed.staging_bytes), kAlign);
  m.scratch_stride = round_up(scratch_stride, kAlign);
  const int64_t end = m.scratch + m.scratch_stride * options.threads;
  m.weights = std::max(end, options.file_at - placed.lead);
  m.weights_bytes = placed.weights_bytes;
  m.file = m.weights + placed.lead;
  m.total_bytes = std::max(m.weights + m.weights_bytes, m.file + round_up(options.landed, kAlign));
  m.buffers = std::move(buffers);
  return m;
}

/// The kernels of a program. Each (spec, schedule) is in it once.
class KernelTable {
 public:
  explicit KernelTable(Program& program) : program_(program) {}
  int index(const KernelSpec& spec, const Schedule& schedule) {
    const std::string key = to_string(spec) + " | " + to_string(schedule);
    const auto found = index_.find(key);
    if (found != index_.end()) return found->second;
    program_.kernels.push_back({spec, schedule});
    return index_[key] = static_cast<int>(program_.kernels.size()) - 1;
  }

 private:
  Program& program_;
  std::map<std::string, int> index_;
};

/// Roughly, on one thread.
double microseconds_of(const KernelSpec& spec) {
  constexpr double kFlopsPerUs = 40e3, kBytesPerUs = 10e3;
  return std::max(flops_of(spec) / kFlopsPerUs, bytes_of(spec) / kBytesPerUs);
}

/// Who cancels a run waits for a part of a step, some 10 ms where it is as quick as is assumed here.
int looks_of(double us) {
  constexpr double kPartUs = 10e3, kMost = 1 << 20;
  return static_cast<int>(std::clamp(us / kPartUs, 1.0, kMost));
}

/// How finely a thread's share of a step is cut: the last pieces take some 10 µs, so that threads end together. A step
/// of a few microseconds is over before another thread has fetched what it works on.
int pieces_of(double us, int threads) {
  constexpr double kLeastUs = 5, kPieceUs = 10;
  if (us < kLeastUs) return 0;
  int pieces = 1;
  for (double piece = us / threads; piece >= 2 * kPieceUs && pieces < 5; piece /= 2) ++pieces;
  return pieces;
}

Program make_program(const Planned& planned, const std::vector<Choice>& choices, const MemoryMap& memory,
                     const CompileOptions& options) {
  const Plan& plan = planned.plan;
  Program program;
  KernelTable kernels(program);
  const auto convert = [&](const PlanStep& step, int own) {
    ProgramStep out;
    out.kernel = kernels.index(step.spec, schedule_of(step, own, planned, choices, options));
    for (const Operand& o : step.operands) {
      const bool of_load = o.buffer == Operand::kStatusWord && own < 0;
      out.operands.push_back(of_load ? memory.control + kControlLoadStatus : memory.address(o));
    }
    for (const Operand& o : step.when) out.when.push_back(memory.address(o));
    out.moves = step.moves;
    out.barrier_before = step.barrier_before;
    const double us = microseconds_of(step.spec);
    out.pieces = pieces_of(us, options.threads);
    out.looks = looks_of(us);
    return out;
  };
  for (size_t i = 0; i < plan.steps.size(); ++i) program.steps.push_back(convert(plan.steps[i], static_cast<int>(i)));
  for (const Loop& loop : plan.loops) {
    ProgramLoop out{loop.begin, loop.end, loop.bound, -1, memory.address(loop.number), {}};
    if (loop.condition.buffer >= 0) out.condition = memory.address(loop.condition);
    for (const Operand& o : loop.when) out.when.push_back(memory.address(o));
    program.loops.push_back(std::move(out));
  }
  for (const auto& phase : plan.init) {
    program.init.emplace_back();
    for (const PlanStep& step : phase) program.init.back().push_back(convert(step, -1));
  }
  program.control = memory.control;
  program.scratch = memory.scratch;
  program.scratch_stride = memory.scratch_stride;
  program.progress = memory.progress;
  program.threads = options.threads;
  return program;
}

std::string schedules_text(const Planned& planned, const std::vector<Choice>& choices) {
  std::string text;
  for (size_t i = 0; i < choices.size(); ++i)
    text += to_string(planned.specs[i]) + "\n    " + to_string(choices[i].schedule) + "  (" +
            name_of(choices[i].origin) + ")\n";
  return text;
}

}  // namespace

int64_t MemoryMap::address(const Operand& operand) const {
  if (operand.buffer == Operand::kStatusWord) return control + kControlStatus;
  const Buffer& b = buffers[static_cast<size_t>(operand.buffer)];
  const auto begin = [&] {
    switch (b.space) {
      case Space::weights:
        return weights;
      case Space::file:
        return file;
      default:
        return arena;
    }
  };
  return begin() + b.offset + operand.offset;
}

Result<Planned> plan_model(Graph graph, const CompileOptions& options) {
  const auto dump = [&](const char* stage, const std::string& text) {
    if (options.dump) options.dump(stage, text);
  };
  if (options.dump) dump("source", to_string(graph));
  Planned planned;
  KILN_ASSIGN(planned.graph, optimize(std::move(graph), {options.dims}));
  if (options.dump) dump("graph", to_string(planned.graph));
  KILN_ASSIGN(planned.plan, lower(planned.graph, options.precision));
  if (options.dump) dump("plan", to_string(planned.plan));
  std::map<std::string, int> index;
  for (const PlanStep& step : planned.plan.steps) {
    const auto [at, is_new] = index.emplace(to_string(step.spec), static_cast<int>(planned.specs.size()));
    if (is_new) planned.specs.push_back(step.spec);
    planned.step_spec.push_back(at->second);
  }
  return planned;
}

int64_t expected_weights_bytes(const Planned& planned, const CompileOptions& options) {
  std::vector<Choice> choices(planned.specs.size());
  bool integers = false;
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto* product = std::get_if<ContractionSpec>(&planned.specs[i]);
    if (!product || !product->int16) continue;
    choices[i].schedule = prior(*product, options.target, options.device);
    integers = integers || choices[i].schedule.algorithm == Algorithm::int16;
  }
  if (!integers) return planned.plan.weights_bytes;
  std::vector<Buffer> buffers = sized_buffers(planned, choices, options);
  return plan_arena(buffers, Space::weights);
}

Result<Compiled> lay_out_model(const Planned& planned, const std::vector<Choice>& choices,
                               const CompileOptions& options) {
  Compiled out;
  for (size_t i = 0; i < planned.specs.size(); ++i) {
    const bool usable = i < choices.size() &&
                        family_of(planned.specs[i]).feasible(planned.specs[i], choices[i].schedule, options.target);
    out.choices.push_back(usable ? choices[i]
                                 : Choice{prior(planned.specs[i], options.target, options.device), Origin::prior, 0});
  }
  if (options.dump) options.dump("schedule", schedules_text(planned, out.choices));
  const int64_t scratch = scratch_bytes(planned, out.choices, options);
  std::vector<Buffer> buffers = sized_buffers(planned, out.choices, options);
  int64_t all = times(scratch, options.threads);
  for (const Buffer& b : buffers) all = plus(all, b.bytes);
  const auto too_large = [](int64_t bytes) {
    return Error{ErrorCode::out_of_memory,
                 "the model needs " + std::to_string(bytes >> 20) + " MB, more than this memory can address", ""};
  };
  if (all > kMostCounted) return too_large(all);
  out.memory = options.file_at ? lay_out_over_file(planned, out.choices, std::move(buffers), scratch, options)
                               : lay_out(planned.plan, std::move(buffers), scratch, options);
  const int64_t limit =
      options.target.isa == Isa::wasm ? wasm_memory_limit(options.target.memory64) - (1 << 20) : int64_t{1} << 46;
  if (out.memory.total_bytes > limit) return too_large(out.memory.total_bytes);
  out.program = make_program(planned, out.choices, out.memory, options);
  KILN_TRY(verify_plan(planned.plan, out, options));
  return out;
}

Result<Module> emit_part(const Compiled& laid_out, const CompileOptions& options, ProgramPart part) {
  const std::unique_ptr<ModuleEmitter> emitter = make_emitter(options.target);
  if (!emitter)
    return Error{ErrorCode::bad_option, "this build has no code generator for " + to_string(options.target), ""};
  KILN_TRY(emit_program(*emitter, laid_out.program, part));
  return emitter->finish();
}

}  // namespace kiln
