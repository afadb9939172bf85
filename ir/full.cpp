#include "ir/legalizer.h"

namespace kiln {

const bool kFull = true;

}  // namespace kiln
