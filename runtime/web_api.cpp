#include "runtime/web_api.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "format/kiln_file.h"
#include "runtime/arrivals.h"
#include "runtime/chooser.h"
#include "runtime/web_head.h"
#include "runtime/web_options.h"
#include "support/hex.h"
#include "support/json_text.h"

namespace kiln {
namespace {

/// The state of the current model, from kiln_open() on.
struct State {
  CompileOptions options;
  Planned planned;
  std::unique_ptr<Chooser> chooser;
  std::vector<Search::Candidate> batch;
  BenchProgram bench;
  Compiled compiled;
  std::map<std::string, std::string> dumps;
  std::vector<uint8_t> result;
};
State* state = nullptr;
std::vector<uint8_t> early_result;  // of calls before kiln_open

std::vector<uint8_t>& result() { return state ? state->result : early_result; }

int32_t answer(const std::string& text, int32_t code = 0) {
  result().assign(text.begin(), text.end());
  return code;
}
int32_t emitted(ProgramPart part) {
  auto module = emit_part(state->compiled, state->options, part);
  if (!module) return fail(module.error());
  state->result = std::move(module->bytes);
  return 0;
}

void write_port(JsonText& out, const Port& p) {
  out.open('{').key("name").string(p.name).key("dtype").string(name_of(p.dtype)).key("shape").numbers(p.shape);
}
/// Sizes of results stand behind so many outputs.
void write_ports(JsonText& out, const std::vector<Port>& ports, size_t outputs = 0) {
  for (const Port& p : ports) {
    int64_t bytes = size_of(p.dtype);
    for (int64_t d : p.shape) bytes *= d;
    write_port(out, p);
    if (p.axis >= 0)
      out.key("boundedAxis").number(p.axis).key("sizedBy").number(static_cast<int64_t>(outputs + p.count));
    out.key("address").number(state->compiled.memory.address(p.at)).key("bytes").number(bytes).close('}');
  }
}

/// What is known of a model that is planned.
std::string outline() {
  const Plan& plan = state->planned.plan;
  JsonText out;
  out.open('{');
  for (const auto& [key, ports] : {std::pair("inputs", &plan.inputs), std::pair("outputs", &plan.outputs)}) {
    out.key(key).open('[');
    for (const Port& p : *ports) {
      write_port(out, p);
      out.close('}');
    }
    out.close(']');
  }
  out.key("weightsBytes").number(expected_weights_bytes(state->planned, state->options));
  out.key("fileWeightsBytes").number(state->planned.graph.weights_bytes).key("arenaBytes").number(plan.arena_bytes);
  return out.key("kernels").number(static_cast<int64_t>(state->planned.specs.size())).close('}').str();
}

std::string base64(const std::vector<uint8_t>& bytes) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < n ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= n ? kDigits[word >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

void write_memory(JsonText& out) {
  const MemoryMap& m = state->compiled.memory;
  out.key("memory").open('{').key("control").number(m.control).key("weights").number(m.weights);
  out.key("packed").number(m.weights_bytes).key("file").number(m.file);
  out.key("arena").number(m.arena).key("scratch").number(m.scratch).key("scratchStride").number(m.scratch_stride);
  out.key("total").number(m.total_bytes).close('}');
}

void write_steps(JsonText& out) {
  const std::vector<PlanStep>& steps = state->planned.plan.steps;
  out.key("steps").open('[');
  for (size_t i = 0; i < steps.size(); ++i) {
    out.open('{').key("label").string(steps[i].label).key("kernel").number(int64_t{state->planned.step_spec[i]});
    out.key("flops")
        .number(static_cast<int64_t>(flops_of(steps[i].spec)))
        .key("bytes")
        .number(static_cast<int64_t>(bytes_of(steps[i].spec)));
    out.key("barrier").boolean(steps[i].barrier_before).close('}');
  }
  out.close(']').key("kernels").open('[');
  for (size_t i = 0; i < state->compiled.choices.size(); ++i) {
    const Choice& c = state->compiled.choices[i];
    out.open('{').key("spec").string(to_string(state->planned.specs[i]));
    out.key("schedule").string(to_string(c.schedule)).key("origin").string(name_of(c.origin));
    out.key("ns").number(c.nanoseconds).close('}');
  }
  out.close(']');
}

void write_arrivals(JsonText& out) {
  const Arrivals arrivals = find_arrivals(state->planned.plan, state->compiled.memory.buffers);
  out.key("arenaNeeds").number(int64_t{arrivals.arena}).key("stepNeeds").open('[');
  for (const int transfers : arrivals.steps) out.number(int64_t{transfers});
  out.close(']');
}

std::string manifest() {
  const Plan& plan = state->planned.plan;
  const MemoryMap& m = state->compiled.memory;
  JsonText out;
  out.open('{');
  write_memory(out);
  out.key("inputs").open('[');
  write_ports(out, plan.inputs);
  out.close(']').key("outputs").open('[');
  write_ports(out, plan.outputs, plan.outputs.size());
  write_ports(out, plan.counts);
  out.close(']').key("transfers").open('[');
  for (const Transfer& t : plan.transfers) {
    out.open('{').key("segment").number(int64_t{t.segment}).key("offset").number(t.file_offset);
    out.key("size").number(t.size).key("address").number(m.address(t.dst)).key("phase").number(int64_t{t.phase});
    out.close('}');
  }
  out.close(']').key("constants").open('[');
  for (const Plan::Inline& c : plan.constants)
    out.open('{').key("address").number(m.address(c.dst)).key("base64").string(base64(c.bytes)).close('}');
  out.close(']');
  write_steps(out);
  write_arrivals(out);
  out.key("initPhases").number(static_cast<int64_t>(plan.init.size()));
  out.key("weightsBytes").number(state->planned.graph.weights_bytes).key("blockHashes").open('[');
  for (const uint64_t hash : state->planned.graph.block_hashes) out.string(hex(hash));
  return out.close(']').close('}').str();
}

}  // namespace

int32_t answer(std::vector<uint8_t> bytes) {
  result() = std::move(bytes);
  return 0;
}
int32_t fail(const Error& e) {
  JsonText out;
  out.open('{').key("code").string(error_code_name(e.code)).key("message").string(e.message);
  return answer(out.key("where").string(e.where).close('}').str(), -1);
}

}  // namespace kiln

using namespace kiln;

extern "C" {

void* kiln_alloc(uint32_t bytes) { return std::malloc(bytes); }
void kiln_free(void* p) { std::free(p); }

int32_t kiln_head_layout(const uint8_t* bytes, uint32_t size) {
  const auto layout = read_head_layout(bytes, size);
  if (!layout) return fail(layout.error());
  JsonText out;
  out.open('{').key("headBytes").number(layout->head_bytes).key("weightsBegin").number(layout->weights_begin);
  return answer(out.close('}').str());
}

int32_t kiln_open(const uint8_t* head, uint32_t size, double file_bytes, const char* options, uint32_t options_size) {
  delete state;
  state = new State;
  auto parsed = parse_web_options({options, options_size});
  if (!parsed) return fail(parsed.error());
  state->options = std::move(parsed->compile);
  if (parsed->dump)
    state->options.dump = [](const char* stage, const std::string& dumped) { state->dumps[stage] = dumped; };
  auto graph = read_head(head, size, static_cast<int64_t>(file_bytes));
  if (!graph) return fail(graph.error());
  auto planned = plan_model(std::move(*graph), state->options);
  if (!planned) return fail(planned.error());
  state->planned = std::move(*planned);
  state->chooser = std::make_unique<Chooser>(state->planned, state->options.target, state->options.device);
  return answer(outline());
}

int32_t kiln_digests() {
  state->result = state->planned.graph.block_digests;
  return 0;
}

int32_t kiln_wisdom(const char* text, uint32_t size) {
  const auto wisdom = Wisdom::parse_lines({text, size});
  if (!wisdom) return fail(wisdom.error());
  state->chooser->add(*wisdom);
  return 0;
}

int32_t kiln_tune_next(uint32_t max_candidates) {
  state->batch = state->chooser->next_batch(static_cast<int>(max_candidates));
  if (state->batch.empty()) return 0;
  state->bench = state->chooser->bench();
  const auto emitter = make_emitter(state->options.target);
  const Status emitted = emit_bench(*emitter, state->bench);
  if (!emitted) return fail(emitted.error());
  auto module = emitter->finish();
  if (!module) return fail(module.error());
  state->result = std::move(module->bytes);
  return static_cast<int32_t>(state->batch.size());
}

int32_t kiln_tune_describe() {
  JsonText out;
  out.open('{').key("bytes").number(state->bench.bytes).key("duel").boolean(state->chooser->duel());
  out.key("candidates").open('[');
  for (size_t i = 0; i < state->batch.size(); ++i) {
    const Search::Candidate& c = state->batch[i];
    const KernelSpec& spec = state->chooser->searched()[static_cast<size_t>(c.spec)];
    out.open('{').key("spec").string(to_string(spec)).key("schedule").string(to_string(c.schedule));
    out.key("flops").number(flops_of(spec) * state->bench.portions[i].share).close('}');
  }
  return answer(out.close(']').close('}').str());
}

int32_t kiln_tune_report(uint32_t index, double nanoseconds) {
  if (index < state->batch.size()) state->chooser->report(index, nanoseconds / state->bench.portions[index].share);
  return 0;
}

int32_t kiln_lay_out(double file_at, double landed) {
  const auto bytes = static_cast<double>(state->planned.graph.weights_bytes);
  state->options.file_at = static_cast<int64_t>(file_at);
  state->options.landed = static_cast<int64_t>(std::min(landed, bytes));
  auto compiled = lay_out_model(state->planned, state->chooser->choices(), state->options);
  if (!compiled) return fail(compiled.error());
  state->compiled = std::move(*compiled);
  return emitted(ProgramPart::load);
}

int32_t kiln_emit() { return emitted(ProgramPart::run); }

int32_t kiln_manifest() { return answer(manifest()); }
int32_t kiln_wisdom_export() { return answer(state->chooser->learned().to_json()); }
int32_t kiln_dump(const char* stage, uint32_t size) { return answer(state->dumps[std::string(stage, size)]); }
const uint8_t* kiln_result_data() { return result().data(); }
uint32_t kiln_result_size() { return static_cast<uint32_t>(result().size()); }
}
