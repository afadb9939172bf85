// libFuzzer on the one reader that trusts no one, and on the passes that see what it lets through.
#include <vector>

#include "format/kiln_file.h"
#include "ir/optimize.h"
#include "tests/support/seal_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto layout = kiln::read_head_layout(data, static_cast<int64_t>(size));
  if (!layout) return 0;
  std::vector<uint8_t> head(data, data + size);
  if (layout->head_bytes <= static_cast<int64_t>(size)) kiln::seal_head(head.data(), layout->head_bytes);
  auto graph = kiln::read_kiln(head.data(), static_cast<int64_t>(size));
  if (graph) (void)kiln::optimize(std::move(*graph), {}).ok();
  return 0;
}
