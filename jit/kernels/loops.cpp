#include "jit/kernels/loops.h"

namespace kiln {

void UnitOperands::add(int param, int64_t size, std::vector<int64_t> strides) {
  strides.resize(dims_.size());
  for (int64_t& s : strides) s *= size;
  params_.push_back(param);
  strides_.push_back(std::move(strides));
  pointers.push_back(e_.integer());
}

std::vector<Arg> UnitOperands::at(Int unit) const {
  const Int rest = e_.integer(), index = e_.integer(), by = e_.integer();
  for (size_t p = 0; p < pointers.size(); ++p) e_.set(pointers[p], e_.param(params_[p]));
  e_.set(rest, unit);
  size_t first = 0;
  while (first + 1 < dims_.size() && dims_[first] == 1) ++first;
  for (size_t d = dims_.size(); d-- > first;) {
    if (dims_[d] == 1) continue;
    if (d > first) {
      e_.op(IntOp::rem, index, rest, dims_[d]);
      e_.op(IntOp::div, rest, rest, dims_[d]);
    }
    for (size_t p = 0; p < pointers.size(); ++p) {
      if (!strides_[p][d]) continue;
      e_.op(IntOp::mul, by, d > first ? index : rest, strides_[p][d]);
      kiln::add(e_, pointers[p], pointers[p], by);
    }
  }
  return std::vector<Arg>(pointers.begin(), pointers.end());
}

}  // namespace kiln
