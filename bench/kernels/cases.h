// What is measured: shapes of real models.
#pragma once

#include <string>
#include <vector>

#include "jit/kernel_spec.h"

namespace kiln::bench {

struct Case {
  std::string name;
  KernelSpec spec;
  double elements = 0;  ///< of a row operation: it is judged by nanoseconds per element
};

std::vector<Case> gemm_cases();  ///< squares, BERT-base, ResNet-50's 1x1 convolutions
std::vector<Case> convolution_cases();
std::vector<Case> row_cases();

}  // namespace kiln::bench
