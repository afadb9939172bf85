#include <capstone/capstone.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "runtime/cli/disassembly.h"
#include "runtime/compile.h"

namespace kiln::cli {
namespace {

class Disassembler {
 public:
  explicit Disassembler(const Target& target) {
    const bool arm = target.isa == Isa::neon;
    usable_ =
        cs_open(arm ? CS_ARCH_ARM64 : CS_ARCH_X86, arm ? CS_MODE_LITTLE_ENDIAN : CS_MODE_64, &handle_) == CS_ERR_OK;
    if (usable_) cs_option(handle_, CS_OPT_SKIPDATA, CS_OPT_ON);  // what it does not know appears as .byte
  }
  ~Disassembler() {
    if (usable_) cs_close(&handle_);
  }
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;
  bool usable() const { return usable_; }

  /// Prints a line per instruction. A jump or call to the start of a function names it.
  std::string listing(const Module& module, const Module::Symbol& f, const std::map<uint64_t, std::string>& names) {
    cs_insn* list = nullptr;
    const size_t count = cs_disasm(handle_, module.bytes.data() + f.offset, f.size, f.offset, 0, &list);
    std::string text;
    for (size_t i = 0; i < count; ++i) {
      char line[256];
      std::snprintf(line, sizeof line, "  %6llx  %-12s %s", static_cast<unsigned long long>(list[i].address),
                    list[i].mnemonic, list[i].op_str);
      text += line;
      const auto name = names.find(target_of(list[i].op_str));
      if (name != names.end()) text += "  ; " + name->second;
      text += '\n';
    }
    cs_free(list, count);
    return text;
  }

 private:
  /// "0x1240" or "#0x1240" as a number. For other text the result is an offset at which no function starts.
  static uint64_t target_of(const char* operands) {
    if (*operands == '#') ++operands;
    char* end = nullptr;
    const uint64_t value = std::strtoull(operands, &end, 16);
    return end != operands && *end == 0 && operands[0] == '0' ? value : ~uint64_t{0};
  }

  csh handle_ = 0;
  bool usable_ = false;
};

}  // namespace

Result<std::string> asm_text(const Program& program, const Target& target) {
  const std::unique_ptr<ModuleEmitter> emitter = make_emitter(target);
  if (!emitter) return Error{ErrorCode::bad_option, "this build has no code generator for " + to_string(target), ""};
  KILN_TRY(emit_program(*emitter, program));
  KILN_ASSIGN(const Module module, emitter->finish());
  Disassembler disassembler(target);
  if (!disassembler.usable())
    return Error{ErrorCode::bad_option, "this machine's capstone does not read " + to_string(target), ""};
  std::map<uint64_t, std::string> names;
  for (const Module::Symbol& s : module.symbols) names[s.offset] = s.name;
  std::string text;
  for (const Module::Symbol& s : module.symbols)
    text += s.name + ":  ; " + std::to_string(s.size) + " bytes\n" + disassembler.listing(module, s, names) + "\n";
  return text;
}

}  // namespace kiln::cli
