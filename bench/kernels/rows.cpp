// Row operations and maps.
#include "bench/kernels/cases.h"

namespace kiln::bench {
namespace {

NormSpec norm(NormKind kind, int64_t rows, int64_t cols, bool affine) {
  NormSpec s;
  s.kind = kind;
  s.rows = {rows};
  s.in_rows = s.out_rows = {cols};
  s.cols = cols;
  s.eps = 1e-5f;
  s.has_scale = s.has_shift = affine;
  return s;
}

MapSpec map(std::vector<int64_t> dims, std::vector<int64_t> out, const std::vector<std::vector<int64_t>>& inputs,
            Expr expr) {
  MapSpec s;
  s.dims = std::move(dims);
  s.out.strides = std::move(out);
  for (const auto& strides : inputs) s.inputs.push_back({DType::f32, strides});
  s.expr = std::move(expr);
  return s;
}

Expr gelu() {
  Expr e;
  const uint16_t x = e.input(0);
  const uint16_t erf = e.unary(PointOp::erf, e.binary(PointOp::mul, x, e.constant(0.70710678f)));
  e.binary(PointOp::mul, e.binary(PointOp::mul, x, e.constant(0.5f)), e.binary(PointOp::add, erf, e.constant(1)));
  return e;
}

Expr unary(PointOp op) {
  Expr e;
  e.unary(op, e.input(0));
  return e;
}

Expr sum() {
  Expr e;
  e.binary(PointOp::add, e.input(0), e.input(1));
  return e;
}

}  // namespace

std::vector<Case> row_cases() {
  const int64_t n = 128 * 3072;
  ReduceSpec pool;
  pool.kind = ReduceKind::mean;
  pool.kept = pool.in_kept = pool.out_kept = {2048};
  pool.in_kept = pool.out_kept = {1};
  pool.reduced = {7, 7};
  pool.in_reduced = {7 * 2048, 2048};
  ReduceSpec rows;
  rows.kept = {1024};
  rows.in_kept = {384};
  rows.out_kept = {1};
  rows.reduced = {384};
  rows.in_reduced = {1};
  ReduceSpec top = rows;
  top.kind = ReduceKind::argmax;
  top.out_dtype = DType::i64;
  WindowSpec window;
  window.ih = window.iw = 112;
  window.oh = window.ow = 56;
  window.c = 64;
  window.kh = window.kw = 3;
  window.stride_h = window.stride_w = 2;
  window.pad_top = window.pad_left = 1;
  window.in_row = 112 * 64;
  window.out_row = 56 * 64;
  window.in_col = window.out_col = 64;
  return {
      {"layer_norm 128x768", norm(NormKind::layer_norm, 128, 768, true), 128 * 768},
      {"softmax 1536x128", norm(NormKind::softmax, 1536, 128, false), 1536 * 128},
      {"softmax 1536x49", norm(NormKind::softmax, 1536, 49, false), 1536 * 49},
      {"gelu 128x3072", map({n}, {1}, {{1}}, gelu()), n},
      {"tanh 128x3072", map({n}, {1}, {{1}}, unary(PointOp::tanh)), n},
      {"exp 128x3072", map({n}, {1}, {{1}}, unary(PointOp::exp)), n},
      {"sigmoid 128x3072", map({n}, {1}, {{1}}, unary(PointOp::sigmoid)), n},
      {"copy 128x3072", map({n}, {1}, {{1}}, identity_expr()), n},
      {"add 128x768", map({128 * 768}, {1}, {{1}, {1}}, sum()), 128 * 768},
      {"bias 128x768", map({128, 768}, {768, 1}, {{768, 1}, {0, 1}}, sum()), 128 * 768},
      {"transpose 768x128", map({128, 768}, {768, 1}, {{1, 128}}, identity_expr()), 128 * 768},
      {"image 3x224x224 to channels last", map({224, 224, 3}, {226 * 3, 3, 1}, {{224, 1, 224 * 224}}, identity_expr()),
       224 * 224 * 3},
      {"mean 7x7x2048", pool, 49 * 2048},
      {"row sums 1024x384", rows, 1024 * 384},
      {"argmax 1024x384", top, 1024 * 384},
      {"max pool 3x3 s2 112x112x64 (per tap)", window, 56 * 56 * 64 * 9},
  };
}

}  // namespace kiln::bench
