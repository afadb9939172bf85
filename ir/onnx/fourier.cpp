// ONNX: Fourier transforms, as products with constants. Complex numbers are pairs on the last axis.
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

/// Longer transforms of a length that has factors are made of shorter ones.
constexpr int64_t kDirect = 256;
constexpr int64_t kLongest = int64_t{1} << 20;
constexpr double kTurn = 6.283185307179586476925286766559;

struct Turn {
  double cosine, sine;
};
/// e^(±2πi · k / n), exact in the quarter turns.
Turn turn(int64_t k, int64_t n, bool inverse) {
  const int64_t at = 4 * (k % n);
  const int64_t quarter = at / n;
  const double rest = kTurn * static_cast<double>(at % n) / (4 * static_cast<double>(n));
  double c = std::cos(rest), s = std::sin(rest);
  for (int64_t q = 0; q < quarter; ++q) std::swap(c, s), c = -c;
  return {c, inverse ? s : -s};
}

/// The matrix of a transform: rows are inputs, columns the real and imaginary parts of `wanted` outputs in turn. With
/// complex inputs each has two rows.
Result<ValueId> matrix(Legalizer& l, int64_t n, int64_t inputs, int64_t wanted, bool complex, bool inverse) {
  const int64_t rows = complex ? 2 * inputs : inputs, columns = 2 * wanted;
  if (rows * columns > kMaxConstantBytes / 8)
    return Error{ErrorCode::unsupported_operator,
                 "a Fourier transform of " + std::to_string(n) + " elements, a prime or nearly", ""};
  std::vector<double> values(static_cast<size_t>(rows * columns));
  for (int64_t j = 0; j < inputs; ++j)
    for (int64_t k = 0; k < wanted; ++k) {
      const Turn t = turn(j * k % n, n, inverse);
      const auto at = [&](int64_t row, int64_t column) -> double& {
        return values[static_cast<size_t>(row * columns + column)];
      };
      if (!complex) {
        at(j, 2 * k) = t.cosine, at(j, 2 * k + 1) = t.sine;
        continue;
      }
      at(2 * j, 2 * k) = t.cosine, at(2 * j, 2 * k + 1) = t.sine;
      at(2 * j + 1, 2 * k) = -t.sine, at(2 * j + 1, 2 * k + 1) = t.cosine;
    }
  return l.b.constant(DType::f32, {Dim(rows), Dim(columns)}, write_constant(values, DType::f32));
}

/// The factor of n that is nearest to its root from below; 1 of a prime.
int64_t factor_of(int64_t n) {
  int64_t best = 1;
  for (int64_t f = 2; f * f <= n; ++f)
    if (n % f == 0) best = f;
  return best;
}

/// x [rows, n, 2] times e^(±2πi · r · k / length) for element k of row r modulo `period`.
Result<ValueId> twiddled(Legalizer& l, ValueId x, int64_t period, int64_t length, bool inverse) {
  const Shape s = l.b.shape(x);  // [batch, period, n, 2]
  const int64_t n = s[2].value;
  std::vector<double> cosines, sines;
  for (int64_t r = 0; r < period; ++r)
    for (int64_t k = 0; k < n; ++k) {
      const Turn t = turn(r * k % length, length, inverse);
      cosines.push_back(t.cosine), sines.push_back(t.sine);
    }
  const Shape shape{Dim(period), Dim(n), Dim(1)};
  const ValueId c = l.b.constant(DType::f32, shape, write_constant(cosines, DType::f32));
  const ValueId i = l.b.constant(DType::f32, shape, write_constant(sines, DType::f32));
  KILN_ASSIGN(const ValueId re, l.b.slice_axis(x, 3, 0, 1));
  KILN_ASSIGN(const ValueId im, l.b.slice_axis(x, 3, 1, 1));
  Fx f, g;
  KILN_ASSIGN(const ValueId real, l.b.map(f.finish(f.in(0) * f.in(2) - f.in(1) * f.in(3)), {re, im, c, i}, DType::f32));
  KILN_ASSIGN(const ValueId imaginary,
              l.b.map(g.finish(g.in(0) * g.in(3) + g.in(1) * g.in(2)), {re, im, c, i}, DType::f32));
  return l.b.concat({real, imaginary}, 3);
}

/// All n outputs of x [batch, n, 2], or [batch, n, 1]: directly, or as n = a · b by the four steps of Bailey, "FFTs in
/// external or hierarchical memory" (1990).
Result<ValueId> transform(Legalizer& l, ValueId x, int64_t wanted, bool inverse) {
  const Shape s = l.b.shape(x);
  const int64_t n = s[1].value, parts = s[2].value, a = n > kDirect ? factor_of(n) : 1;
  if (a == 1) {
    KILN_ASSIGN(const ValueId m, matrix(l, n, n, wanted, parts == 2, inverse));
    KILN_ASSIGN(const ValueId flat, l.b.reshape(x, {s[0], Dim(n * parts)}));
    KILN_ASSIGN(const ValueId y, l.b.matmul(flat, m));
    return l.b.reshape(y, {s[0], Dim(wanted), Dim(2)});
  }
  const int64_t b = n / a;
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], Dim(a), Dim(b), s[2]}));  // element b·j + i
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3}));
  KILN_ASSIGN(x, l.b.reshape(x, {Dim(s[0].value * b), Dim(a), s[2]}));
  KILN_ASSIGN(x, transform(l, x, a, inverse));
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], Dim(b), Dim(a), Dim(2)}));
  KILN_ASSIGN(x, twiddled(l, x, b, n, inverse));
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3}));
  KILN_ASSIGN(x, l.b.reshape(x, {Dim(s[0].value * a), Dim(b), Dim(2)}));
  KILN_ASSIGN(x, transform(l, x, b, inverse));
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], Dim(a), Dim(b), Dim(2)}));  // output a·k + j
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1, 3}));
  KILN_ASSIGN(x, l.b.reshape(x, {s[0], Dim(n), Dim(2)}));
  return l.b.slice_axis(x, 1, 0, wanted);
}

/// The other half of a real signal's spectrum: element k is the conjugate of element n - k.
Result<ValueId> completed(Legalizer& l, ValueId x, int64_t n) {
  const int64_t half = n / 2 + 1, missing = n - half;
  if (missing < 1) return x;
  KILN_ASSIGN(ValueId rest, l.b.slice_axis(x, 1, missing, missing, -1));
  KILN_ASSIGN(const ValueId signs, [&]() -> Result<ValueId> {
    return l.b.constant(DType::f32, {Dim(2)}, write_constant({1, -1}, DType::f32));
  }());
  KILN_ASSIGN(rest, l.call("aten.mul.Tensor", {rest, signs}));
  return l.b.concat({x, rest}, 1);
}

/// x [batch, elements, 1 or 2] cut, or continued with zeros, to n elements.
Result<ValueId> of_length(Legalizer& l, ValueId x, int64_t n) {
  const int64_t have = l.b.shape(x)[1].value;
  if (have >= n) return l.b.slice_axis(x, 1, 0, n);
  PadAttrs pad;
  pad.before = {0, 0, 0}, pad.after = {0, n - have, 0};
  return l.b.pad(x, pad);
}

Result<int64_t> one_number(const Legalizer& l, const Node& node, size_t i, const char* what) {
  KILN_ASSIGN(const std::vector<int64_t> given, l.whole_elements(node, i, what));
  if (given.size() != 1) return misfit(node.source + ": " + what + " is one number");
  return given[0];
}

Status dft(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need_f32(node, 0));
  const Shape s = l.b.shape(x);
  const int64_t rank = l.b.rank(x);
  if (rank < 2 || s.back().value < 1 || s.back().value > 2)
    return misfit(node.source + ": the last axis holds one part of a number, or two");
  int64_t given = l.integer(node, "axis", opset(l, node) < 20 ? 1 : -2);
  if (l.in(node, 2) != kNoValue) {
    KILN_ASSIGN(given, one_number(l, node, 2, "the axis"));
  }
  KILN_ASSIGN(const int64_t axis, l.axis(given, rank));
  if (axis == rank - 1) return misfit(node.source + ": the last axis holds the parts of a number");
  const bool inverse = l.flag(node, "inverse", false), half = l.flag(node, "onesided", false);
  int64_t n = s[static_cast<size_t>(axis)].value;
  if (inverse && half) n = 2 * (n - 1);  // the spectrum of a real signal
  if (l.in(node, 1) != kNoValue) {
    KILN_ASSIGN(n, one_number(l, node, 1, "the length"));
  }
  if (n < 1 || n > kLongest) return l.unsupported(node, "a length of 1 to 2^20 is supported");
  std::vector<int64_t> order, back(static_cast<size_t>(rank));
  for (int64_t i = 0; i < rank - 1; ++i)
    if (i != axis) order.push_back(i);
  order.insert(order.end(), {axis, rank - 1});
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  KILN_ASSIGN(x, l.b.permute(x, order));
  Shape to = l.b.shape(x);
  const Dim batch(element_count(Shape(to.begin(), to.end() - 2)));
  KILN_ASSIGN(x, l.b.reshape(x, {batch, s[static_cast<size_t>(axis)], s.back()}));
  KILN_ASSIGN(x, of_length(l, x, inverse && half ? n / 2 + 1 : n));
  if (inverse && half) {
    KILN_ASSIGN(x, completed(l, x, n));
  }
  const int64_t wanted = half && !inverse ? n / 2 + 1 : n;
  KILN_ASSIGN(x, transform(l, x, wanted, inverse));
  if (inverse) {
    Fx f;
    KILN_ASSIGN(x, l.b.map(f.finish(f.in(0) * (1 / static_cast<double>(n))), {x}, DType::f32));
  }
  if (inverse && half) {
    KILN_ASSIGN(x, l.b.slice_axis(x, 2, 0, 1));
  }
  to[to.size() - 2] = Dim(wanted), to.back() = l.b.shape(x).back();
  KILN_ASSIGN(x, l.b.reshape(x, to));
  KILN_ASSIGN(x, l.b.permute(x, back));
  return l.set(node, x);
}

/// Spectra of pieces of a signal [batch, length, 1 or 2]: a convolution whose filters are the waves times the window.
Status stft(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need_f32(node, 0));
  KILN_ASSIGN(const int64_t step, one_number(l, node, 1, "the step"));
  const ValueId window = l.in(node, 2);
  Shape s = l.b.shape(x);
  if (s.size() == 2) s.push_back(Dim(1));
  if (s.size() != 3 || s[2].value < 1 || s[2].value > 2)
    return misfit(node.source + ": a signal of [batch, length, 1 or 2] is expected");
  int64_t n = window == kNoValue || l.b.rank(window) != 1 ? 0 : l.b.shape(window)[0].value;
  if (l.in(node, 3) != kNoValue) {
    KILN_ASSIGN(n, one_number(l, node, 3, "the length of a frame"));
  }
  if (n < 1 || n > s[1].value || step < 1 || step > kLongest || (window != kNoValue && l.b.shape(window) != Shape{n}))
    return misfit(node.source + ": frames and window do not fit the signal");
  const bool complex = s[2].value == 2, half = l.flag(node, "onesided", true) && !complex;
  const int64_t wanted = half ? n / 2 + 1 : n;
  KILN_ASSIGN(ValueId filters, matrix(l, n, n, wanted, complex, false));
  KILN_ASSIGN(filters, l.b.reshape(filters, {Dim(n), s[2], Dim(2 * wanted)}));
  KILN_ASSIGN(filters, l.b.permute(filters, {2, 1, 0}));  // [outputs, parts, n]
  if (window != kNoValue) {
    KILN_ASSIGN(filters, l.call("aten.mul.Tensor", {filters, window}));
  }
  KILN_ASSIGN(x, l.b.reshape(x, s));
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1}));
  KILN_ASSIGN(x, l.call("aten.convolution.default", {x, filters, kNoValue},
                        {{"stride", std::vector<int64_t>{step}},
                         {"padding", std::vector<int64_t>{0}},
                         {"dilation", std::vector<int64_t>{1}},
                         {"groups", int64_t{1}},
                         {"transposed", false}}));
  KILN_ASSIGN(x, l.b.permute(x, {0, 2, 1}));
  const Shape frames = l.b.shape(x);
  KILN_ASSIGN(x, l.b.reshape(x, {frames[0], frames[1], Dim(wanted), Dim(2)}));
  return l.set(node, x);
}

}  // namespace

std::vector<OpRow> onnx_fourier_ops() {
  return {
      {"onnx.DFT", dft},
      {"onnx.STFT", stft},
  };
}

}  // namespace kiln
