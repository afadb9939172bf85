#include "runtime/native_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace kiln {
namespace {

Error unreadable(const std::string& path) {
  return {ErrorCode::bad_file, path + " cannot be read: " + std::strerror(errno), ""};
}

}  // namespace

ModelFile::ModelFile(ModelFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      bytes_(other.bytes_),
      layout_(other.layout_),
      head_(std::move(other.head_)),
      onnx_(std::move(other.onnx_)) {}

ModelFile::~ModelFile() {
  if (file_ >= 0) close(file_);
}

Result<ModelFile> ModelFile::open(const std::string& path) {
  ModelFile file(path);
  file.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (file.file_ < 0 || fstat(file.file_, &about) != 0) return unreadable(path);
  if (!S_ISREG(about.st_mode)) return Error{ErrorCode::bad_file, path + " is not a file", ""};
  file.bytes_ = about.st_size;
  KILN_TRY(file.read_head());
  return file;
}

Status ModelFile::read_head() {
  head_.resize(static_cast<size_t>(std::min<int64_t>(16, bytes_)));
  KILN_TRY(read_at(0, head_.data(), static_cast<int64_t>(head_.size())));
  if (looks_like_onnx(head_.data(), static_cast<int64_t>(head_.size()))) {
    KILN_ASSIGN(onnx_, OnnxFile::open(file_, bytes_, path_));
    return ok();
  }
  KILN_ASSIGN(layout_, read_head_layout(head_.data(), static_cast<int64_t>(head_.size())));
  head_.resize(static_cast<size_t>(std::min(layout_.head_bytes, bytes_)));
  return read_at(0, head_.data(), static_cast<int64_t>(head_.size()));
}

Status ModelFile::read_at(int64_t offset, void* to, int64_t size) const {
  return read_exactly(file_, path_, offset, to, size);
}

Status ModelFile::read_weights(int64_t offset, void* to, int64_t size) const {
  if (onnx_) return onnx_->read_weights(offset, static_cast<uint8_t*>(to), size);
  return read_at(layout_.weights_begin + offset, to, size);
}

Status Verification::work() {
  std::vector<uint8_t> block(hashes_.empty() ? 0 : kHashBlock);
  for (size_t i = next_++; i < hashes_.size(); i = next_++) {
    const int64_t offset = static_cast<int64_t>(i) * kHashBlock, size = std::min(kHashBlock, bytes_ - offset);
    KILN_TRY(file_.read_weights(offset, block.data(), size));
    if (block_hash(block.data(), size) != hashes_[i])
      return Error{ErrorCode::bad_file,
                   file_.path() + " is damaged: its weights do not match their hash; copy it again",
                   "byte " + std::to_string(offset) + " of the weights"};
  }
  return ok();
}

Result<std::string> read_text(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return unreadable(path);
  std::string text;
  std::array<char, 1 << 16> chunk{};
  ssize_t got;
  while ((got = read(file, chunk.data(), chunk.size())) > 0) text.append(chunk.data(), static_cast<size_t>(got));
  const int why = errno;
  close(file);
  errno = why;
  if (got < 0) return unreadable(path);
  return text;
}

}  // namespace kiln
