// libFuzzer on all of the compiler: bytes → a model (tests/support/drawn_model.h) → a file → read → optimised → lowered
// → laid out → emitted. What comes out is a coded error, or a program that touches nothing but the model's memory:
// small ones are run by the reference interpreter, which refuses any access elsewhere.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "format/kiln_file.h"
#include "jit/backends/native.h"
#include "jit/backends/reference.h"
#include "runtime/compile.h"
#include "tests/support/drawn_model.h"
#include "tests/support/kiln_writer.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

[[noreturn]] void fail(const Graph& graph, const std::string& what) {
  std::fprintf(stderr, "%s\n%s\n", what.c_str(), to_string(graph).c_str());
  std::abort();
}

/// A bug of our own is no answer to a file.
void expect_coded(const Graph& graph, const Error& error) {
  if (error.code == ErrorCode::internal) fail(graph, "internal error: " + error.message + " " + error.where);
}

/// Loads and runs over memory of ones: no numbers that mean anything but the compiler's own, and every address that
/// there is.
void run_inside(const Graph& graph, const Planned& planned, const Compiled& compiled, const CompileOptions& options) {
  constexpr int64_t kMostBytes = 4 << 20;
  constexpr double kMostWork = 2e5;
  double work = 0;
  const auto consider = [&](const PlanStep& step) { work += flops_of(step.spec) + bytes_of(step.spec); };
  for (const PlanStep& step : planned.plan.steps) consider(step);
  for (const auto& phase : planned.plan.init)
    for (const PlanStep& step : phase) consider(step);
  if (compiled.memory.total_bytes > kMostBytes || !(work < kMostWork)) return;
  const auto emitter = make_reference_emitter(options.target);
  const Status emitted = emit_program(*emitter, compiled.program);
  if (!emitted.ok()) return expect_coded(graph, emitted.error());
  const Status finished = emitter->finish().ok() ? ok() : Status(Error{});
  if (!finished.ok()) fail(graph, "the reference interpreter did not take the program");
  std::vector<char> memory(static_cast<size_t>(compiled.memory.total_bytes) + 64, 1);
  const auto start = reinterpret_cast<uintptr_t>(memory.data());
  const auto base = static_cast<int64_t>((start + 63) / 64 * 64);
  std::memset(reinterpret_cast<void*>(base + compiled.memory.control), 0, kControlBytes);
  for (const Plan::Inline& c : planned.plan.constants)
    if (!c.bytes.empty())
      std::memcpy(reinterpret_cast<void*>(base + compiled.memory.address(c.dst)), c.bytes.data(), c.bytes.size());
  emitter->allow(reinterpret_cast<void*>(base), compiled.memory.total_bytes);
  for (size_t phase = 0; phase < planned.plan.init.size(); ++phase) {
    const Status loaded = emitter->call("init", {base, static_cast<int64_t>(phase)});
    if (!loaded.ok()) fail(graph, "load: " + loaded.error().message + "\n" + to_string(planned.plan));
  }
  const Status ran = emitter->call("run", {base, 0, 1, 0, static_cast<int64_t>(planned.plan.steps.size())});
  if (!ran.ok()) fail(graph, "run: " + ran.error().message + "\n" + to_string(planned.plan));
}

Target target_of(Choices& c) {
  switch (c.pick(0, 5)) {
    case 1:
      return avx2_target();
    case 2:
      return avx512_target();
    case 3:
      return neon_target();
    case 4:
      return wasm_target(c.one_in(2), c.one_in(2), c.one_in(4));
    default:
      return reference_target(c.one_in(2) ? 8 : 4);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices c(data, size);
  CompileOptions options;
  options.target = target_of(c);
  options.device.threads = options.threads = options.target.threads ? 2 : 1;
  options.precision = static_cast<Precision>(c.pick(0, 2));
  const Graph drawn = draw_model(c, {true, 12});
  if (std::getenv("KILN_FUZZ_SHOW")) {
    std::fputs((to_string(options.target) + "\n" + to_string(drawn)).c_str(), stderr);
    options.dump = [](const char* stage, const std::string& text) {
      std::fprintf(stderr, "%s\n%s", stage, text.c_str());
    };
  }
  const std::vector<uint8_t> head = write_head(drawn);
  auto read = read_kiln(head.data(), static_cast<int64_t>(head.size()));
  if (!read) return expect_coded(drawn, read.error()), 0;
  if (options.target.isa == Isa::wasm && c.one_in(2)) options.file_at = 64, options.landed = read->weights_bytes;
  const auto planned = plan_model(std::move(*read), options);
  if (!planned) return expect_coded(drawn, planned.error()), 0;
  const auto compiled = lay_out_model(*planned, {}, options);
  if (!compiled) return expect_coded(drawn, compiled.error()), 0;
  if (options.target.isa == Isa::reference) return run_inside(drawn, *planned, *compiled, options), 0;
  for (const ProgramPart part : {ProgramPart::load, ProgramPart::run}) {
    const auto module = emit_part(*compiled, options, part);
    if (!module) expect_coded(drawn, module.error());
  }
  return 0;
}
