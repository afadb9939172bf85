// A model file on disk, .kiln or .onnx: its graph, its weights by ranges, and whether they are what was exported.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/kiln_file.h"
#include "runtime/native_onnx.h"

namespace kiln {

class ModelFile {
 public:
  static Result<ModelFile> open(const std::string& path);
  ModelFile(ModelFile&& other) noexcept;
  ModelFile& operator=(ModelFile&&) = delete;
  ~ModelFile();

  const std::string& path() const { return path_; }
  const std::vector<uint8_t>& head() const { return head_; }  ///< of a .kiln file
  bool is_onnx() const { return onnx_ != nullptr; }
  /// The graph, verified; also that the file is as long as its weights need.
  Result<Graph> graph() const {
    if (onnx_) return onnx_->graph();
    return read_kiln(head_.data(), static_cast<int64_t>(head_.size()), bytes_);
  }
  /// Reads `size` bytes from `offset` of the weights. Several threads may read at once.
  Status read_weights(int64_t offset, void* to, int64_t size) const;

 private:
  explicit ModelFile(std::string path) : path_(std::move(path)) {}
  Status read_head();
  Status read_at(int64_t offset, void* to, int64_t size) const;

  std::string path_;
  int file_ = -1;
  int64_t bytes_ = 0;
  HeadLayout layout_;
  std::vector<uint8_t> head_;
  std::unique_ptr<OnnxFile> onnx_;  ///< null: it is a .kiln file
};

/// Compares blocks of a file's weights with the hashes in its head.
class Verification {
 public:
  /// `file` must outlive it.
  Verification(const ModelFile& file, const Graph& graph)
      : file_(file), bytes_(graph.weights_bytes), hashes_(graph.block_hashes) {}
  /// Checks one block after the other until none is left. Several threads may call it; they share the work. The error
  /// names the first damaged block that this thread found.
  Status work();

 private:
  const ModelFile& file_;
  const int64_t bytes_;
  const std::vector<uint64_t> hashes_;
  std::atomic<size_t> next_{0};
};

/// A file's bytes as text, for wisdom and the like.
Result<std::string> read_text(const std::string& path);

}  // namespace kiln
