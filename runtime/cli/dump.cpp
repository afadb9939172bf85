#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "runtime/cli/commands.h"
#include "runtime/cli/disassembly.h"
#include "runtime/cli/flags.h"
#include "runtime/native_file.h"

namespace kiln::cli {
namespace {

struct Flags {
  ModelFlags model;
  std::vector<std::string> stages{"graph"};
  std::string output_dir;
};
void describe(CLI::App& command, Flags& flags) {
  describe(command, flags.model);
  command.get_option("--isa")->description("avx2, avx512, neon on any machine; host: the best of this CPU; wasm");
  command
      .add_option("--stage", flags.stages,
                  "source (as read), graph (after all passes), plan, schedule, wat (for a page), asm (for --isa)")
      ->delimiter(',')
      ->check(CLI::IsMember({"source", "graph", "plan", "schedule", "wat", "asm"}))
      ->capture_default_str();
  command.add_option("--output-dir", flags.output_dir, "write <stage>.txt there instead of printing");
}

/// A target by name. It may be one that this machine cannot run.
Result<Target> any_target(const std::string& name) {
  for (const Target& t : {avx2_target(), avx512_target(), neon_target()})
    if (to_string(t).substr(0, to_string(t).find('+')) == name) return t;
  if (name == "wasm") return wasm_target(true, true);
  return target_by_name(name);
}

Status show(const Flags& flags, const std::string& stage, const std::string& text) {
  if (flags.output_dir.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return ok();
  }
  const std::filesystem::path path = std::filesystem::path(flags.output_dir) / (stage + ".txt");
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.flush();
  if (!file) return Error{ErrorCode::bad_option, path.string() + " cannot be written", ""};
  return ok();
}

/// Runs the line from graph to module for one target, and prints the stages that are `wanted`.
Status dump_for(const Flags& flags, const Graph& graph, const Target& target, std::set<std::string> wanted) {
  KILN_ASSIGN(CompileOptions options, compile_options(flags.model, target));
  Status shown = ok();
  options.dump = [&](const char* stage, const std::string& text) {
    if (shown && wanted.count(stage)) shown = show(flags, stage, text);
  };
  KILN_ASSIGN(const Planned planned, plan_model(graph, options));
  Chooser chooser(planned, options.target, options.device);
  KILN_ASSIGN(const std::vector<Wisdom> known, load_wisdom(flags.model));
  for (const Wisdom& wisdom : known) chooser.add(wisdom);
  KILN_ASSIGN(const Compiled compiled, lay_out_model(planned, chooser.choices(), options));
  KILN_TRY(shown);
  if (wanted.count("wat")) {
    KILN_ASSIGN(const std::string text, wat_text(compiled.program, target));
    KILN_TRY(show(flags, "wat", text));
  }
  if (wanted.count("asm")) {
    KILN_ASSIGN(const std::string text, asm_text(compiled.program, target));
    KILN_TRY(show(flags, "asm", text));
  }
  return ok();
}

Status dump(const Flags& flags) {
  KILN_ASSIGN(const ModelFile file, ModelFile::open(flags.model.path));
  KILN_ASSIGN(const Graph graph, file.graph());
  KILN_ASSIGN(const Target target, any_target(flags.model.isa));
  std::set<std::string> stages(flags.stages.begin(), flags.stages.end());
  if (stages.count("asm") && (target.isa == Isa::wasm || target.isa == Isa::reference))
    return Error{ErrorCode::bad_option, "--stage asm needs an --isa with machine code: avx2, avx512, neon", ""};
  if (target.isa != Isa::wasm && stages.erase("wat"))
    KILN_TRY(dump_for(flags, graph, wasm_target(true, true), {"wat"}));
  return dump_for(flags, graph, target, stages);
}

}  // namespace

void add_dump(CLI::App& app, Work& work) {
  add_command<Flags>(app, work, "dump", "What each stage of the compiler makes of a model", describe, dump);
}

}  // namespace kiln::cli
