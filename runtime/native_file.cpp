#include "runtime/native_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace kiln {
namespace {

using Digest = std::array<uint8_t, 32>;
/// Bytes hashed at a time: the second-level cache keeps what was read until it is hashed.
constexpr int64_t kChunk = 256 << 10;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(const void* bytes, size_t size) { EVP_DigestUpdate(context_.get(), bytes, size); }
  Digest digest() {
    Digest out{};
    EVP_DigestFinal_ex(context_.get(), out.data(), nullptr);
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

Error unreadable(const std::string& path) {
  return {ErrorCode::bad_file, path + " cannot be read: " + std::strerror(errno), ""};
}

}  // namespace

ModelFile::ModelFile(ModelFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      bytes_(other.bytes_),
      layout_(other.layout_),
      head_(std::move(other.head_)) {}

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
  if (std::memcmp(head_.data(), "version https://", head_.size()) == 0 && head_.size() == 16)
    return Error{ErrorCode::bad_file, path_ + " is a Git LFS pointer, not a model: run git lfs pull", "byte 0"};
  KILN_ASSIGN(layout_, read_head_layout(head_.data(), static_cast<int64_t>(head_.size())));
  head_.resize(static_cast<size_t>(std::min(layout_.head_bytes, bytes_)));
  return read_at(0, head_.data(), static_cast<int64_t>(head_.size()));
}

Status ModelFile::read_at(int64_t offset, void* to, int64_t size) const {
  for (auto* at = static_cast<char*>(to); size > 0;) {
    const ssize_t got = pread(file_, at, static_cast<size_t>(size), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(path_);
    if (got == 0)
      return Error{ErrorCode::bad_file, path_ + " is truncated; copy or export it again",
                   "byte " + std::to_string(offset)};
    at += got, offset += got, size -= got;
  }
  return ok();
}

Status ModelFile::read_weights(int64_t offset, void* to, int64_t size) const {
  return read_at(layout_.weights_begin + offset, to, size);
}

Status Verification::work() {
  for (size_t i = next_++; i < segments_.size(); i = next_++) KILN_TRY(verify(i));
  return ok();
}

Status Verification::verify(size_t index) const {
  const Segment& s = segments_[index];
  if (s.sha256 == Digest{}) return ok();
  std::vector<uint8_t> chunk(static_cast<size_t>(std::min<int64_t>(s.size, kChunk)));
  Sha256 sha;
  for (int64_t at = 0; at < s.size; at += kChunk) {
    const int64_t size = std::min(kChunk, s.size - at);
    KILN_TRY(file_.read_weights(s.offset + at, chunk.data(), size));
    sha.add(chunk.data(), static_cast<size_t>(size));
  }
  if (sha.digest() == s.sha256) return ok();
  return Error{ErrorCode::bad_file, file_.path() + " is damaged: a weight does not match its checksum; copy it again",
               "segment " + std::to_string(index)};
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

std::string sha256_hex(const std::string& text) {
  Sha256 sha;
  sha.add(text.data(), text.size());
  std::string out;
  for (uint8_t b : sha.digest()) out += "0123456789abcdef"[b >> 4], out += "0123456789abcdef"[b & 15];
  return out;
}

}  // namespace kiln
