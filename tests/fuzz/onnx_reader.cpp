// libFuzzer on the reader of .onnx files, which trusts no one, and on the rows and passes that get its graphs.
#include <cstdlib>
#include <map>
#include <string>

#include "format/onnx_file.h"
#include "ir/optimize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto model = kiln::read_onnx({reinterpret_cast<const char*>(data), size});
  if (!model) return 0;
  std::map<std::string, int64_t> dims;
  for (const kiln::Symbol& symbol : model->graph.symbols) dims[symbol.name] = 2 + static_cast<int64_t>(dims.size());
  const auto graph = kiln::optimize(std::move(model->graph), {dims});
  if (!graph && graph.error().code == kiln::ErrorCode::internal) std::abort();  // no answer to a file
  return 0;
}
