// libFuzzer on the reader of .onnx files, which trusts no one, and on the rows and passes that get its graphs.
#include <cstdlib>
#include <map>
#include <string>

#include "format/onnx_file.h"
#include "ir/optimize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  if (auto skeleton = kiln::read_onnx_skeleton(file, 1 << 20); skeleton)
    for (size_t i = 0; i < skeleton->weights.size(); ++i) {
      const kiln::OnnxWeights& w = skeleton->weights[i];
      const int64_t bytes = skeleton->graph.segments[i].size;
      const bool here = w.made.empty() && w.external.empty();
      if (here ? w.offset < 0 || w.offset + bytes > 1 << 20
               : w.external.empty() && w.made.size() != static_cast<size_t>(bytes))
        std::abort();
    }
  auto model = kiln::read_onnx(file);
  if (!model) return 0;
  std::map<std::string, int64_t> dims;
  for (const kiln::Symbol& symbol : model->graph.symbols) dims[symbol.name] = 2 + static_cast<int64_t>(dims.size());
  const auto graph = kiln::optimize(std::move(model->graph), {dims});
  if (!graph && graph.error().code == kiln::ErrorCode::internal) std::abort();  // no answer to a file
  return 0;
}
