// A graph in a front end's words as the head of a .kiln file, for tests and fuzzers. (Models are written by py-sdk.)
#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph.h"

namespace kiln::testing {

/// Sealed; its weights are as many bytes as the graph says.
std::vector<uint8_t> write_head(const Graph& graph);

}  // namespace kiln::testing
