#pragma once

#include "ir/graph.h"

namespace kiln::testing {

/// A canonical graph of up to `nodes` nodes over small odd shapes, with weights and three outputs; the same for the
/// same seed.
Graph random_graph(uint32_t seed, int nodes);

}  // namespace kiln::testing
