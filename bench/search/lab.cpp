// What bench/search/page.js asks of the compiler beyond runtime/web_api.h: every schedule of every kernel of a model,
// and modules that measure any of them. Built for this bench alone; no page of ours downloads it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>

#include "format/kiln_file.h"
#include "runtime/compile.h"
#include "runtime/web_options.h"
#include "support/json_text.h"

namespace kiln {
namespace {

struct Lab {
  CompileOptions options;
  Planned planned;
  std::vector<uint8_t> result;
};
Lab& lab() {
  static Lab lab;
  return lab;
}

int32_t answer(const std::string& text, int32_t code = 0) {
  lab().result.assign(text.begin(), text.end());
  return code;
}
int32_t fail(const Error& e) { return answer(e.message + " " + e.where, -1); }

/// [{"spec", "count": steps that run it, "flops", "prior", "schedules": all of them, the prior's too}]
std::string kernels() {
  std::vector<int64_t> counts(lab().planned.specs.size());
  for (const int spec : lab().planned.step_spec) ++counts[static_cast<size_t>(spec)];
  const Target& target = lab().options.target;
  JsonText out;
  out.open('[');
  for (size_t i = 0; i < counts.size(); ++i) {
    const KernelSpec& spec = lab().planned.specs[i];
    const std::vector<Schedule> all = candidates(spec, target);
    if (all.size() < 2) continue;
    const std::string pick = to_string(prior(spec, target, lab().options.device));
    out.open('{').key("index").number(static_cast<int64_t>(i)).key("spec").string(to_string(spec));
    out.key("count").number(counts[i]).key("flops").number(flops_of(spec)).key("prior").string(pick);
    out.key("schedules").open('[').string(pick);
    for (const Schedule& s : all)
      if (to_string(s) != pick) out.string(to_string(s));
    out.close(']').close('}');
  }
  return out.close(']').str();
}

/// "bytes of memory that the module runs over, the share of the kernel that one repeat of each candidate runs…"
std::string describe(const BenchProgram& bench) {
  JsonText out;
  out.open('{').key("bytes").number(bench.bytes).key("share").open('[');
  for (const BenchPortion& p : bench.portions) out.number(p.share);
  return out.close(']').close('}').str();
}

Result<BenchProgram> program_of(size_t spec, std::string_view schedules, bool whole) {
  std::vector<Search::Candidate> batch;
  while (!schedules.empty()) {
    const size_t end = std::min(schedules.find('\n'), schedules.size());
    const std::optional<Schedule> schedule = parse_schedule(schedules.substr(0, end));
    if (!schedule) return Error{ErrorCode::bad_option, "this is no schedule", std::string(schedules.substr(0, end))};
    batch.push_back({static_cast<int>(spec), *schedule});
    schedules.remove_prefix(std::min(end + 1, schedules.size()));
  }
  return make_bench_program(lab().planned.specs, batch, lab().options.target, whole);
}

}  // namespace
}  // namespace kiln

using namespace kiln;

extern "C" {
void* kiln_alloc(uint32_t bytes) { return std::malloc(bytes); }
void kiln_free(void* p) { std::free(p); }

/// The answer is kernels().
int32_t kiln_lab_open(const uint8_t* head, uint32_t size, double file_bytes, const char* options,
                      uint32_t options_size) {
  auto parsed = parse_web_options({options, options_size});
  if (!parsed) return fail(parsed.error());
  lab().options = parsed->compile;
  auto graph = read_kiln(head, size, static_cast<int64_t>(file_bytes));
  if (!graph) return fail(graph.error());
  auto planned = plan_model(std::move(*graph), lab().options);
  if (!planned) return fail(planned.error());
  lab().planned = std::move(*planned);
  return answer(kernels());
}

/// `schedules` of one spec, a line each, for `whole` kernels or what stands for them. The answer is describe(), or with
/// `module` the module itself.
int32_t kiln_lab_bench(uint32_t spec, const char* schedules, uint32_t size, int32_t whole, int32_t module) {
  auto bench = program_of(spec, {schedules, size}, whole != 0);
  if (!bench) return fail(bench.error());
  if (!module) return answer(describe(*bench));
  const auto emitter = make_emitter(lab().options.target);
  const Status emitted = emit_bench(*emitter, *bench);
  if (!emitted) return fail(emitted.error());
  auto finished = emitter->finish();
  if (!finished) return fail(finished.error());
  lab().result = std::move(finished->bytes);
  return 0;
}

const uint8_t* kiln_result_data() { return lab().result.data(); }
uint32_t kiln_result_size() { return static_cast<uint32_t>(lab().result.size()); }
}
