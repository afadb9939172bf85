// `integrity`: one file and no other. It is the SHA-256 of the file's head, which has that of every block of its
// weights.
#pragma once

#include <string>
#include <vector>

#include "runtime/native_file.h"

namespace kiln {

/// `sha256-` and base64, of the head as it was read. Whether the weights are those of the head, CheckedWeights tell.
Result<std::string> integrity_of(const ModelFile& file);
/// Errors: bad_option where `wanted` is no `sha256-…`, or several with spaces between; bad_file where the file is none
/// of these.
Status insist(const std::string& wanted, const ModelFile& file);

/// Weights of which every block has the digest that the head gives. A block is compared in our own memory and read from
/// there: what somebody writes to the file meanwhile is refused or not seen.
class CheckedWeights {
 public:
  /// `file` must outlive it.
  CheckedWeights(const ModelFile& file, const Graph& graph);
  /// Ranges in the order of the file: then each block is read once.
  Status read(int64_t offset, void* to, int64_t size);
  /// Compares the blocks that nobody has read.
  Status rest();

 private:
  Status take(int64_t block);

  const ModelFile& file_;
  const int64_t bytes_;
  const std::vector<uint8_t> digests_;
  std::vector<uint8_t> block_;
  int64_t taken_ = -1;  ///< what block_ holds
  std::vector<bool> compared_;
};

}  // namespace kiln
