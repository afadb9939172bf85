// An .onnx file on disk, and the files beside it that hold weights.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "format/onnx_file.h"

namespace kiln {

class OnnxFile {
 public:
  /// `file` is open, has `bytes` bytes, and stays open as long as this.
  static Result<std::unique_ptr<OnnxFile>> open(int file, int64_t bytes, const std::string& path);
  OnnxFile(const OnnxFile&) = delete;
  ~OnnxFile();

  const Graph& graph() const { return model_.graph; }
  /// What of the range weights fill; between them lie zeros. Several threads may read at once.
  Status read_weights(int64_t offset, uint8_t* to, int64_t size) const;

 private:
  OnnxFile(int file, std::string path) : file_(file), path_(std::move(path)) {}
  Status open_external();

  int file_;
  std::string path_;
  OnnxModel model_;
  std::map<std::string, int> external_;  ///< open files by name
};

/// Reads `size` bytes from `offset` of an open file; the error names `path`.
Status read_exactly(int file, const std::string& path, int64_t offset, void* to, int64_t size);

}  // namespace kiln
