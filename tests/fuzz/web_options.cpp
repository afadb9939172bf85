// libFuzzer on the option lines that a page gives to the compiler.
#include "runtime/web_options.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto options = kiln::parse_web_options({reinterpret_cast<const char*>(data), size});
  if (options && (options->compile.threads < 1 || options->compile.device.threads < 1)) std::abort();
  return 0;
}
