#include <iterator>

#include "jit/kernels/families.h"

namespace kiln {

const Family& family_of(const KernelSpec& spec) {
  // in the order of KernelSpec's alternatives
  static const Family* const kTable[] = {
      &kContractionFamily, &kPackFamily,   &kDepthwiseFamily, &kMapFamily,       &kReduceFamily,
      &kNormFamily,        &kWindowFamily, &kGatherFamily,    &kAttentionFamily, &kInvertedResidualFamily,
      &kScanFamily,        &kTapsFamily,   &kSortFamily,      &kScatterFamily};
  static_assert(std::size(kTable) == std::variant_size_v<KernelSpec>);
  return *kTable[spec.index()];
}

double volume(const std::vector<int64_t>& dims) {
  double points = 1;
  for (const int64_t size : dims) points *= static_cast<double>(size);
  return points;
}

KernelCode code_of(const KernelSpec& spec, const Schedule& schedule) {
  const auto code = family_of(spec).code;
  return code ? code(spec, schedule) : KernelCode{spec, schedule};
}

std::vector<int64_t> sizes_of(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const auto sizes = family_of(spec).sizes;
  return sizes ? sizes(spec, schedule, target) : std::vector<int64_t>{};
}

}  // namespace kiln
