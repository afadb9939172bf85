// What a page may insist on (loadModel's `integrity`): the SHA-256 of a file's head, which has that of every block of
// its weights.
#pragma once

#include <string>

#include "runtime/native_file.h"

namespace kiln::cli {

/// `sha256-…` in base64, once every block of the weights has the digest that the head gives.
Result<std::string> integrity(const ModelFile& file, const Graph& graph);

}  // namespace kiln::cli
