#include "runtime/native_integrity.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>

namespace kiln {
namespace {

using Sha256 = std::array<uint8_t, kDigestBytes>;
const std::string kPrefix = "sha256-";

Result<Sha256> digest_of(const uint8_t* bytes, int64_t size) {
  Sha256 out;
  if (EVP_Digest(bytes, static_cast<size_t>(size), out.data(), nullptr, EVP_sha256(), nullptr) != 1)
    return Error{ErrorCode::internal, "SHA-256 cannot be computed", ""};
  return out;
}

std::string base64(const Sha256& bytes) {
  std::array<uint8_t, (kDigestBytes + 2) / 3 * 4 + 1> text{};
  EVP_EncodeBlock(text.data(), bytes.data(), kDigestBytes);
  return reinterpret_cast<const char*>(text.data());
}

bool is_integrity(const std::string& text) {
  const size_t digits = kPrefix.size() + 43;  // base64 of 32 bytes, and one '=' behind it
  return text.size() == digits + 1 && text.compare(0, kPrefix.size(), kPrefix) == 0 && text[digits] == '=' &&
         std::all_of(text.begin() + static_cast<std::ptrdiff_t>(kPrefix.size()), text.end() - 1, [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
         });
}

}  // namespace

Result<std::string> integrity_of(const ModelFile& file) {
  if (file.is_onnx())
    return Error{ErrorCode::bad_option, "an .onnx file has no digests of its weights to insist on: export a .kiln file",
                 "integrity"};
  KILN_ASSIGN(const Sha256 digest, digest_of(file.head().data(), static_cast<int64_t>(file.head().size())));
  return kPrefix + base64(digest);
}

Status insist(const std::string& wanted, const ModelFile& file) {
  KILN_ASSIGN(const std::string found, integrity_of(file));
  std::istringstream words(wanted);
  bool any = false, taken = false;
  for (std::string word; words >> word; any = true) {
    if (!is_integrity(word))
      return Error{ErrorCode::bad_option, "integrity must be 'sha256-' and 44 characters, as `kiln inspect` prints it",
                   "integrity"};
    taken = taken || word == found;
  }
  if (!any) return Error{ErrorCode::bad_option, "integrity is empty: leave it out to take any file", "integrity"};
  if (taken) return ok();
  return Error{ErrorCode::bad_file,
               file.path() + " is another file than the one that was asked for: its integrity is " + found,
               "integrity"};
}

CheckedWeights::CheckedWeights(const ModelFile& file, const Graph& graph)
    : file_(file),
      bytes_(graph.weights_bytes),
      digests_(graph.block_digests),
      block_(static_cast<size_t>(std::min(kHashBlock, bytes_))),
      compared_(digests_.size() / kDigestBytes) {}

Status CheckedWeights::take(int64_t block) {
  if (block == taken_) return ok();
  taken_ = -1;
  const int64_t offset = block * kHashBlock, size = std::min(kHashBlock, bytes_ - offset);
  KILN_TRY(file_.read_weights(offset, block_.data(), size));
  KILN_ASSIGN(const Sha256 found, digest_of(block_.data(), size));
  if (std::memcmp(found.data(), digests_.data() + block * kDigestBytes, kDigestBytes) != 0)
    return Error{ErrorCode::bad_file,
                 file_.path() + ": its weights are not those of which its head has the digests; copy it again",
                 "byte " + std::to_string(offset) + " of the weights"};
  taken_ = block, compared_[static_cast<size_t>(block)] = true;
  return ok();
}

Status CheckedWeights::read(int64_t offset, void* to, int64_t size) {
  for (auto* at = static_cast<char*>(to); size > 0;) {
    const int64_t block = offset / kHashBlock, within = offset % kHashBlock;
    KILN_TRY(take(block));
    const int64_t part = std::min(size, kHashBlock - within);
    std::memcpy(at, block_.data() + within, static_cast<size_t>(part));
    at += part, offset += part, size -= part;
  }
  return ok();
}

Status CheckedWeights::rest() {
  for (size_t block = 0; block < compared_.size(); ++block)
    if (!compared_[block]) KILN_TRY(take(static_cast<int64_t>(block)));
  return ok();
}

}  // namespace kiln
