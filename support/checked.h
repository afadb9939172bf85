// Sums and products of sizes, which come from a file: what leaves 64 bits stays at the end of them. No memory holds as
// much, so whoever places or counts such a thing refuses it.
#pragma once

#include <cstdint>

namespace kiln {

int64_t plus(int64_t a, int64_t b);
int64_t times(int64_t a, int64_t b);

}  // namespace kiln
