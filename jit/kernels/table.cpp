#include <iterator>

#include "jit/kernels/families.h"

namespace kiln {

const Family& family_of(const KernelSpec& spec) {
  // in the order of KernelSpec's alternatives
  static const Family* const kTable[] = {&kContractionFamily, &kPackFamily,   &kDepthwiseFamily,
                                         &kMapFamily,         &kReduceFamily, &kNormFamily,
                                         &kWindowFamily,      &kGatherFamily, &kAttentionFamily};
  static_assert(std::size(kTable) == std::variant_size_v<KernelSpec>);
  return *kTable[spec.index()];
}

}  // namespace kiln
