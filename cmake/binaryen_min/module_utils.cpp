// In place of ir/module-utils.cpp, which walks every instruction for the types that it may name: code of ours names
// none but the signatures of functions. In order of first use.
#include "ir/module-utils.h"

namespace wasm::ModuleUtils {

IndexedHeapTypes getOptimizedIndexedHeapTypes(Module& wasm) {
  IndexedHeapTypes out;
  for (const auto& function : wasm.functions)
    if (out.indices.emplace(function->type, static_cast<Index>(out.types.size())).second)
      out.types.push_back(function->type);
  return out;
}

}  // namespace wasm::ModuleUtils
