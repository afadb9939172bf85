#include "runtime/cli/integrity.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace kiln::cli {
namespace {

using Sha256 = std::array<uint8_t, kDigestBytes>;

Sha256 digest_of(const uint8_t* bytes, int64_t size) {
  Sha256 out;
  SHA256(bytes, static_cast<size_t>(size), out.data());
  return out;
}

std::string base64(const Sha256& bytes) {
  std::array<uint8_t, (kDigestBytes + 2) / 3 * 4 + 1> text{};
  EVP_EncodeBlock(text.data(), bytes.data(), kDigestBytes);
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

Result<std::string> integrity(const ModelFile& file, const Graph& graph) {
  std::vector<uint8_t> block(kHashBlock);
  const uint8_t* expected = graph.block_digests.data();
  for (int64_t at = 0; at < graph.weights_bytes; at += kHashBlock, expected += kDigestBytes) {
    const int64_t size = std::min(kHashBlock, graph.weights_bytes - at);
    KILN_TRY(file.read_weights(at, block.data(), size));
    if (std::memcmp(digest_of(block.data(), size).data(), expected, kDigestBytes) != 0)
      return Error{ErrorCode::bad_file, file.path() + ": its weights are not those of which its head has the digests",
                   "byte " + std::to_string(at) + " of the weights"};
  }
  return "sha256-" + base64(digest_of(file.head().data(), static_cast<int64_t>(file.head().size())));
}

}  // namespace kiln::cli
