#include "runtime/web_head.h"

#include "format/kiln_file.h"

namespace kiln {

Result<Graph> read_head(const uint8_t* head, int64_t size, int64_t file_bytes) {
  return read_kiln(head, size, file_bytes);
}

}  // namespace kiln
