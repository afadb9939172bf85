// The rows of the family table; each is defined in the file of its name.
#pragma once

#include "jit/family.h"

namespace kiln {

extern const Family kContractionFamily, kPackFamily, kDepthwiseFamily, kMapFamily, kReduceFamily, kNormFamily,
    kWindowFamily, kGatherFamily, kAttentionFamily, kInvertedResidualFamily, kScanFamily, kTapsFamily, kSortFamily,
    kScatterFamily;

}  // namespace kiln
