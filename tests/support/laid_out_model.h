// Lays a plan out, emits it and runs it in this process.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "ir/builder.h"
#include "ir/plan.h"
#include "jit/program.h"
#include "runtime/compile.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/machine.h"
#include "tests/support/strided.h"

namespace kiln::testing {

inline std::vector<uint8_t> bytes_of(const Array& a) { return write_constant(a.data, a.dtype); }

/// One model in memory, on the scalar reference backend. `apart`: a separate module loads it, over the file's bytes, as
/// in a page. `wanted`: the schedule of all contractions for which it is feasible.
class Model {
 public:
  Model(const Plan& plan, const Target& target, Random& random, bool apart, const Schedule& wanted = {}) : plan_(plan) {
    Planned planned;
    planned.plan = plan;
    for (const PlanStep& step : plan.steps) {
      planned.step_spec.push_back(static_cast<int>(planned.specs.size()));
      planned.specs.push_back(step.spec);
    }
    CompileOptions options;
    options.target = target;
    if (apart) {
      options.file_at = 64 * std::uniform_int_distribution<int64_t>(1, 4000)(random);
      int64_t bytes = 0;
      for (const Transfer& t : plan.transfers) bytes = std::max(bytes, t.file_offset + t.size);
      options.landed = random() % 2 ? bytes : std::uniform_int_distribution<int64_t>(0, bytes)(random);
      landed_ = options.landed;
    }
    std::vector<Choice> choices(wanted == Schedule{} ? 0 : planned.specs.size(), Choice{wanted});
    auto compiled = lay_out_model(planned, choices, options);
    if (!compiled.ok()) {
      status_ = compiled.error();
      return;
    }
    map_ = compiled->memory;
    program_ = std::move(compiled->program);
    memory_.assign(static_cast<size_t>(map_.total_bytes + 64), 0);
    base_ = round_up(address(memory_.data()), 64);
    for (size_t i = 0; i < program_.steps.size();) {  // any order between barriers
      size_t end = i + 1;
      while (end < program_.steps.size() && !program_.steps[end].barrier_before) ++end;
      const auto first = program_.steps.begin() + static_cast<std::ptrdiff_t>(i),
                 last = program_.steps.begin() + static_cast<std::ptrdiff_t>(end);
      const bool barrier = first->barrier_before;
      first->barrier_before = false;
      std::shuffle(first, last, random);
      program_.steps[i].barrier_before = barrier;
      i = end;
    }
    if (apart) {
      loader_ = made(target, [&](Emitter& e) { return emit_program(e, program_, ProgramPart::load); });
      runner_ = made(target, [&](Emitter& e) { return emit_program(e, program_, ProgramPart::run); });
    } else {
      loader_ = runner_ = made(target, [&](Emitter& e) { return emit_program(e, program_); });
    }
  }

  /// The room between the start of the packed weights and the file.
  int64_t lead() const { return map_.file - map_.weights; }
  bool landed_whole() const {
    return landed_ > 0 && landed_ == plan_.transfers.back().file_offset + plan_.transfers.back().size;
  }

  Result<std::vector<Array>> run(const Bindings& bindings) {
    KILN_TRY(status_);
    const bool over_file = loader_ != runner_;
    poison(std::min(map_.weights, map_.arena), map_.scratch);
    if (over_file) poison(map_.scratch, map_.total_bytes);
    for (const Plan::Inline& c : plan_.constants) write(c.dst, c.bytes);
    std::map<int, int64_t> begins;  // of segments: transfers are in file order
    const auto bytes = [&](const Transfer& t) {
      const std::vector<uint8_t> segment = bytes_of(bindings.weights.at(t.segment));
      const auto from = segment.begin() + (t.file_offset - begins.emplace(t.segment, t.file_offset).first->second);
      return std::vector<uint8_t>(from, from + t.size);
    };
    const auto in_file = [&](const Transfer& t) {
      return reinterpret_cast<uint8_t*>(base_ + map_.file + t.file_offset);
    };
    const auto early = [&](const Transfer& t) { return std::clamp<int64_t>(landed_ - t.file_offset, 0, t.size); };
    for (const Transfer& t : plan_.transfers) std::copy_n(bytes(t).begin(), early(t), in_file(t));
    std::set<int> waiting;
    for (const Transfer& t : plan_.transfers) waiting.insert(t.phase);
    for (int phase = 0; phase < static_cast<int>(plan_.init.size()); ++phase)
      if (!waiting.count(phase)) KILN_TRY(loader_->call("init", {base_, phase}));
    for (const Transfer& t : plan_.transfers) {
      auto* to = reinterpret_cast<uint8_t*>(base_ + place(t.dst));
      const std::vector<uint8_t> whole = bytes(t);
      if (early(t)) std::memmove(to, in_file(t), static_cast<size_t>(early(t)));
      std::copy(whole.begin() + early(t), whole.end(), to + early(t));
      if (t.phase >= 0) KILN_TRY(loader_->call("init", {base_, t.phase}));
    }
    poison(map_.arena, map_.scratch);  // nothing of the load may be needed any more
    if (over_file) poison(map_.weights + map_.weights_bytes, map_.total_bytes);
    for (size_t i = 0; i < plan_.inputs.size(); ++i) write(plan_.inputs[i].at, bytes_of(bindings.inputs[i]));
    KILN_TRY(runner_->call("run", {base_, 0, 1, 0, static_cast<int64_t>(plan_.steps.size())}));
    std::vector<Array> outputs;
    for (const Port& port : plan_.outputs) {
      Value v;
      v.dtype = port.dtype;
      v.shape.assign(port.shape.begin(), port.shape.end());
      const int64_t size = element_count(v.shape) * size_of(port.dtype);
      const auto* from = reinterpret_cast<const uint8_t*>(base_ + place(port.at));
      v.data.assign(from, from + size);
      outputs.push_back({port.dtype, port.shape, read_constant(v)});
    }
    return outputs;
  }

 private:
  std::shared_ptr<Machine> made(const Target& target, const std::function<Status(Emitter&)>& build) {
    Status emitted = ok();
    auto machine = load(target, [&](Emitter& e) { emitted = build(e); });
    if (status_.ok()) status_ = emitted;
    if (status_.ok() && !machine.ok()) status_ = machine.error();
    return machine.ok() ? std::move(*machine) : nullptr;
  }
  int64_t place(const Operand& o) const {
    if (o.buffer >= 0) {
      EXPECT_EQ(map_.buffers[static_cast<size_t>(o.buffer)].offset % 64, 0);
    }
    return map_.address(o);
  }
  void write(const Operand& at, const std::vector<uint8_t>& bytes) {
    if (!bytes.empty()) std::memcpy(reinterpret_cast<void*>(base_ + place(at)), bytes.data(), bytes.size());
  }
  void poison(int64_t begin, int64_t end) {
    std::memset(reinterpret_cast<void*>(base_ + begin), 0xff, static_cast<size_t>(end - begin));
  }

  const Plan& plan_;
  MemoryMap map_;
  Program program_;
  std::vector<char> memory_;
  int64_t base_ = 0, landed_ = 0;
  std::shared_ptr<Machine> loader_, runner_;
  Status status_ = ok();
};

}  // namespace kiln::testing
