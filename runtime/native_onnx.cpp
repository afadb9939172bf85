#include "runtime/native_onnx.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "support/checked.h"

namespace kiln {
namespace {

/// A file beneath the folder of the model; -1: there is none that can be read. No part of the way may be a link, which
/// could lead anywhere.
int open_beside(const std::string& model, const std::string& name) {
  const size_t slash = model.rfind('/');
  int folder =
      ::open(slash == model.npos ? "." : model.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (size_t at = 0; folder >= 0;) {
    const size_t end = std::min(name.find('/', at), name.size());
    const int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (end < name.size() ? O_DIRECTORY : 0);
    const int next = openat(folder, name.substr(at, end - at).c_str(), how);
    const int why = errno;
    close(folder);
    errno = why;
    if (end >= name.size()) return next;
    folder = next, at = end + 1;
  }
  return -1;
}

}  // namespace

Status read_exactly(int file, const std::string& path, int64_t offset, void* to, int64_t size) {
  for (auto* at = static_cast<char*>(to); size > 0;) {
    const ssize_t got = pread(file, at, static_cast<size_t>(size), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorCode::bad_file, path + " cannot be read: " + std::strerror(errno), ""};
    if (got == 0)
      return Error{ErrorCode::bad_file, path + " is truncated; copy or export it again",
                   "byte " + std::to_string(offset)};
    at += got, offset += got, size -= got;
  }
  return ok();
}

OnnxFile::~OnnxFile() {
  for (const auto& [name, file] : external_) close(file);
}

Result<std::unique_ptr<OnnxFile>> OnnxFile::open(int file, int64_t bytes, const std::string& path) {
  if (bytes > kMaxOnnxBytes) return Error{ErrorCode::bad_file, path + " is no .onnx file: it has more than 2 GB", ""};
  std::unique_ptr<OnnxFile> out(new OnnxFile(file, path));
  std::vector<char> all(static_cast<size_t>(bytes));
  KILN_TRY(read_exactly(file, path, 0, all.data(), bytes));
  KILN_ASSIGN(out->model_, read_onnx({all.data(), all.size()}));
  KILN_TRY(out->open_external());
  return out;
}

/// What tensors take of a file lies in it, and all together is no more than it has.
Status OnnxFile::open_external() {
  std::map<std::string, std::pair<int64_t, int64_t>> sizes;  // of the file, and what is left of it
  for (size_t i = 0; i < model_.weights.size(); ++i) {
    const OnnxWeights& w = model_.weights[i];
    if (w.external.empty()) continue;
    const auto [at, is_new] = external_.emplace(w.external, -1);
    struct stat about {};
    if (is_new) {
      at->second = open_beside(path_, w.external);
      if (at->second < 0 || fstat(at->second, &about) != 0 || !S_ISREG(about.st_mode))
        return Error{ErrorCode::bad_file,
                     "the file of weights beside the model cannot be read: it must be a file itself, no link",
                     w.external};
      sizes[w.external] = {about.st_size, about.st_size};
    }
    auto& [size, left] = sizes[w.external];
    left -= model_.graph.segments[i].size;
    if (plus(w.offset, model_.graph.segments[i].size) > size || left < 0)
      return Error{ErrorCode::bad_file,
                   "the file of weights beside the model is shorter than its tensors: copy it again", w.external};
  }
  return ok();
}

Status OnnxFile::read_weights(int64_t offset, uint8_t* to, int64_t size) const {
  std::memset(to, 0, static_cast<size_t>(size));
  const std::vector<Segment>& segments = model_.graph.segments;
  auto at = std::upper_bound(segments.begin(), segments.end(), offset,
                             [](int64_t o, const Segment& s) { return o < s.offset + s.size; });
  for (; at != segments.end() && at->offset < offset + size; ++at) {
    const OnnxWeights& from = model_.weights[static_cast<size_t>(at - segments.begin())];
    const int64_t begin = std::max(offset, at->offset), end = std::min(offset + size, at->offset + at->size);
    uint8_t* const here = to + (begin - offset);
    const int64_t skipped = begin - at->offset;
    if (!from.made.empty())
      std::memcpy(here, from.made.data() + skipped, static_cast<size_t>(end - begin));
    else if (from.external.empty())
      KILN_TRY(read_exactly(file_, path_, from.offset + skipped, here, end - begin));
    else
      KILN_TRY(read_exactly(external_.at(from.external), from.external, from.offset + skipped, here, end - begin));
  }
  return ok();
}

}  // namespace kiln
