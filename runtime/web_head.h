// The two compilers that pages download differ in the files that they read: web_head.cpp, or web_head_full.cpp in its
// place, which also reads .onnx files.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph.h"
#include "support/result.h"

namespace kiln {

/// The graph of a head, as kiln_open() gets it.
Result<Graph> read_head(const uint8_t* head, int64_t size, int64_t file_bytes);

/// The result of a call, and what it returns. In web_api.cpp.
int32_t answer(std::vector<uint8_t> bytes);
int32_t fail(const Error& error);

}  // namespace kiln
