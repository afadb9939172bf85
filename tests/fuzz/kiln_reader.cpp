// libFuzzer on the one reader that trusts no one, and on the passes that see what it lets through.
#include "format/kiln_file.h"
#include "ir/optimize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto size64 = static_cast<int64_t>(size);
  if (!kiln::read_head_layout(data, size64)) return 0;
  auto graph = kiln::read_kiln(data, size64);
  if (graph) (void)kiln::optimize(std::move(*graph), {}).ok();
  return 0;
}
