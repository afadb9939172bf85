// What Binaryen's reader calls on modules with exceptions or locals of types without a default. Ours have neither, and
// the real ones need a good part of the optimiser.
#include "ir/eh-utils.h"
#include "ir/type-updating.h"

namespace wasm {

void EHUtils::handleBlockNestedPop(Try*, Function*, Module&) {}
void TypeUpdating::handleNonDefaultableLocals(Function*, Module&) {}

}  // namespace wasm
