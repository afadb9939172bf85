#include <algorithm>
#include <cstring>
#include <string_view>

#include "format/kiln_file.h"

namespace kiln {
namespace {

struct Beginning {
  size_t at;
  std::string_view bytes;
  const char* is;
};

using namespace std::string_view_literals;

const char kExport[] = ": export the PyTorch model with wasmkiln.export()";

const Beginning kBeginnings[] = {
    {0, "PK\3\4"sv, "a ZIP archive, as torch.save() and torch.export.save() write"},
    {0, "\x80\2"sv, "a Python pickle, as torch.save() wrote it once"},
    {0, "GGUF"sv, "a GGUF model"},
    {4, "TFL3"sv, "a TensorFlow Lite model"},
    {0, "\x89HDF"sv, "an HDF5 file, as Keras writes"},
};

}  // namespace

/// Protocol Buffers: field 1, a small number (the version of the format), then a text or a message.
bool looks_like_onnx(const uint8_t* bytes, int64_t size) {
  return size > 2 && bytes[0] == 8 && bytes[1] > 0 && bytes[1] < 32 && (bytes[2] & 7) == 2;
}

std::string foreign_file(const uint8_t* bytes, int64_t size) {
  const std::string_view start(reinterpret_cast<const char*>(bytes), static_cast<size_t>(std::min<int64_t>(size, 16)));
  const auto has = [&](size_t at, std::string_view text) {
    return start.size() >= at && start.substr(at, text.size()) == text;
  };
  if (start.empty()) return "an empty file: copy, download or export it again";
  for (const Beginning& b : kBeginnings)
    if (has(b.at, b.bytes)) return b.is + std::string(kExport);
  if (looks_like_onnx(bytes, size)) return std::string("an ONNX model") + kExport;
  if (has(5, "\0\0\0{"sv)) return std::string("a safetensors file, which holds weights alone") + kExport;
  if (has(0, "version https://")) return "a Git LFS pointer: run git lfs pull";
  if (has(0, "\x1f\x8b") || has(0, "\x28\xb5\x2f\xfd")) return "a compressed file: unpack it first";
  const size_t text = start.find_first_not_of(" \t\r\n");
  if (text != start.npos && start[text] == '<')
    return "an HTML or XML page: check the address (some servers answer every unknown path with their index page)";
  if (text != start.npos && start[text] == '{') return "a JSON text: check the path or address";
  return "";
}

}  // namespace kiln
