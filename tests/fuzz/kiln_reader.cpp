// libFuzzer on the reader, which trusts no one, and on the passes that get its graphs.
#include <algorithm>
#include <map>
#include <string>
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
  if (!graph) return 0;
  std::map<std::string, int64_t> dims;  // so that expressions of sizes have something to compute with
  for (const kiln::Symbol& symbol : graph->symbols)
    if (symbol.code.empty()) dims[symbol.name] = std::max<int64_t>(symbol.min, 2 + static_cast<int64_t>(dims.size()));
  (void)kiln::optimize(std::move(*graph), {dims}).ok();
  return 0;
}
