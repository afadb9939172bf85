#include <binaryen-c.h>

#include <cstdlib>

#include "runtime/cli/disassembly.h"
#include "runtime/compile.h"

namespace kiln::cli {

Result<std::string> wat_text(const Program& program, const Target& target) {
  BinaryenSetDebugInfo(true);  // keep the names of functions
  const std::unique_ptr<ModuleEmitter> emitter = make_emitter(target);
  KILN_TRY(emit_program(*emitter, program));
  KILN_ASSIGN(Module module, emitter->finish());
  BinaryenModuleRef read = BinaryenModuleReadWithFeatures(reinterpret_cast<char*>(module.bytes.data()),
                                                          module.bytes.size(), BinaryenFeatureAll());
  char* printed = BinaryenModuleAllocateAndWriteText(read);
  std::string text = printed;
  std::free(printed);
  BinaryenModuleDispose(read);
  return text;
}

}  // namespace kiln::cli
