// In compiler.wasm, in the place of kernel families that only compiler-full.wasm has. No plan asks for them there.
#include "jit/kernels/families.h"

namespace kiln {

const Family kSortFamily{"sort", nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
const Family kScatterFamily{"scatter", nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace kiln
