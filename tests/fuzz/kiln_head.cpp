// libFuzzer on the reader alone: far more inputs in the same time than where the passes follow (kiln_reader.cpp).
#include <vector>

#include "format/kiln_file.h"
#include "tests/support/seal_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> head(data, data + size);
  const auto layout = kiln::read_head_layout(data, static_cast<int64_t>(size));
  if (layout && layout->head_bytes <= static_cast<int64_t>(size)) kiln::seal_head(head.data(), layout->head_bytes);
  (void)kiln::read_kiln(head.data(), static_cast<int64_t>(size), static_cast<int64_t>(size)).ok();
  return 0;
}
