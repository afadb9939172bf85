#include "jit/kernel_spec.h"

#include "jit/family.h"
#include "jit/fields.h"
#include "jit/touch.h"

namespace kiln {

const char* family_name(const KernelSpec& spec) { return family_of(spec).name; }
std::string to_string(const KernelSpec& spec) { return to_string(fields_of(spec), address_of(spec)); }
double flops_of(const KernelSpec& spec) { return family_of(spec).work(spec).flops; }
double bytes_of(const KernelSpec& spec) { return family_of(spec).work(spec).bytes; }

size_t num_written(const KernelSpec& spec) {
  Operands operands;
  family_of(spec).operands(spec, operands);
  return operands.written();
}
int num_operands(const KernelSpec& spec) {
  Operands operands;
  family_of(spec).operands(spec, operands);
  return static_cast<int>(operands.count());
}

}  // namespace kiln
