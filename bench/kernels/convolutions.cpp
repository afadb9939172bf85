#include "bench/kernels/cases.h"
#include "support/dtype.h"

namespace kiln::bench {
namespace {

ContractionSpec product(int64_t m, int64_t n, int64_t k) {
  ContractionSpec s;
  s.ow = m, s.n = n, s.k = k;
  s.a_col = s.a_tap_col = k, s.c_col = n;
  return s;
}

/// `size` × `size` pixels out, channels last, zeros stored around the input.
ContractionSpec dense(int64_t size, int64_t channels, int64_t filters, int64_t taps, int64_t stride) {
  const int64_t row = ((size - 1) * stride + taps) * channels;
  ContractionSpec s;
  s.oh = s.ow = size, s.kh = s.kw = taps, s.k = channels, s.n = filters;
  s.a_row = stride * row, s.a_col = stride * channels;
  s.a_tap_row = row, s.a_tap_col = channels;
  s.c_row = size * filters, s.c_col = filters;
  if (taps == 3 && stride == 1) s.winograd = 4;
  return s;
}

DepthwiseSpec depthwise(int64_t size, int64_t channels, int64_t taps, int64_t stride) {
  const int64_t row = ((size - 1) * stride + taps) * channels;
  DepthwiseSpec s;
  s.oh = s.ow = size, s.c = channels, s.kh = s.kw = taps;
  s.in_row = stride * row, s.in_col = stride * channels;
  s.in_tap_row = row, s.in_tap_col = channels;
  s.out_row = size * channels, s.out_col = channels;
  return s;
}

}  // namespace

std::vector<Case> gemm_cases() {
  std::vector<Case> out;
  const auto add = [&](int64_t m, int64_t n, int64_t k) {
    out.push_back({std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k), product(m, n, k)});
  };
  for (int64_t size : {64, 128, 256, 512, 768, 1024}) add(size, size, size);
  add(128, 768, 768), add(128, 3072, 768), add(128, 768, 3072);  // BERT-base at 128 tokens
  for (int64_t pixels : {3136, 784, 196, 49}) {                  // ResNet-50: into, out of and past each stage's blocks
    const int64_t narrow = pixels == 3136 ? 64 : pixels == 784 ? 128 : pixels == 196 ? 256 : 512;
    add(pixels, narrow, 4 * narrow), add(pixels, 4 * narrow, narrow);
  }
  add(3136, 64, 64), add(784, 512, 256);
  return out;
}

std::vector<Case> convolution_cases() {
  return {
      {"3x3 56x56 64 to 64", dense(56, 64, 64, 3, 1)},        {"3x3 28x28 128 to 128", dense(28, 128, 128, 3, 1)},
      {"3x3 14x14 256 to 256", dense(14, 256, 256, 3, 1)},    {"3x3 7x7 512 to 512", dense(7, 512, 512, 3, 1)},
      {"3x3 s2 28x28 128 to 128", dense(28, 128, 128, 3, 2)}, {"7x7 s2 112x112 3 to 64", dense(112, 3, 64, 7, 2)},
      {"3x3 s2 112x112 3 to 32", dense(112, 3, 32, 3, 2)},    {"depthwise 3x3 112x112 32", depthwise(112, 32, 3, 1)},
      {"depthwise 3x3 56x56 144", depthwise(56, 144, 3, 1)},  {"depthwise 3x3 s2 28x28 144", depthwise(28, 144, 3, 2)},
      {"depthwise 3x3 14x14 384", depthwise(14, 384, 3, 1)},  {"depthwise 3x3 7x7 960", depthwise(7, 960, 3, 1)},
      {"1 row x 1000 x 2048", product(1, 1000, 2048)},        {"1 row x 3072 x 768", product(1, 3072, 768)},
  };
}

}  // namespace kiln::bench
