#include "format/kiln_file.h"
#include "format/onnx_file.h"
#include "runtime/web_api.h"
#include "runtime/web_head.h"

namespace kiln {
namespace {

std::string_view text_of(const uint8_t* bytes, int64_t size) {
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)};
}

void put(std::vector<uint8_t>& to, int64_t number) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&number);
  to.insert(to.end(), bytes, bytes + sizeof number);
}

/// Where the bytes of each segment are: numbers of 64 bits, then what was made. A negative number n is the place ~n
/// there.
Result<std::vector<uint8_t>> pieces_of(const OnnxModel& model) {
  const std::vector<Segment>& segments = model.graph.segments;
  std::vector<uint8_t> out, made;
  put(out, model.graph.weights_bytes);
  put(out, static_cast<int64_t>(segments.size()));
  for (size_t i = 0; i < segments.size(); ++i) {
    const OnnxWeights& w = model.weights[i];
    if (!w.external.empty())
      return Error{ErrorCode::unsupported_operator,
                   "the model's weights lie in another file beside it ('" + w.external +
                       "'), which is not fetched yet: save it as one file, with onnx.save(onnx.load(path), path)",
                   w.external};
    put(out, segments[i].offset);
    put(out, segments[i].size);
    put(out, w.made.empty() ? w.offset : ~static_cast<int64_t>(made.size()));
    made.insert(made.end(), w.made.begin(), w.made.end());
  }
  out.insert(out.end(), made.begin(), made.end());
  return out;
}

}  // namespace

Result<Graph> read_head(const uint8_t* head, int64_t size, int64_t file_bytes) {
  if (!looks_like_onnx(head, size)) return read_kiln(head, size, file_bytes);
  KILN_ASSIGN(OnnxModel model, read_onnx_skeleton(text_of(head, size), kMaxOnnxBytes));
  Graph& graph = model.graph;
  graph.block_hashes.resize(static_cast<size_t>(ceil_div(graph.weights_bytes, kHashBlock)));  // which nobody knows
  return std::move(graph);
}

}  // namespace kiln

using namespace kiln;

extern "C" int32_t kiln_pieces(const uint8_t* skeleton, uint32_t size, double file_bytes) {
  auto model = read_onnx_skeleton(text_of(skeleton, size), static_cast<int64_t>(file_bytes));
  if (!model) return fail(model.error());
  auto pieces = pieces_of(*model);
  if (!pieces) return fail(pieces.error());
  return answer(std::move(*pieces));
}
