// What a kernel computes: family, shapes, types, layouts, fused expressions. A frozen value, compared by its text.
// All strides and sizes are in elements. Each call gives the base addresses of the operands, and all strides are
// relative to them. So a slice, a transpose, a channel range of a concatenation and the inside of a zero-padded buffer
// are ordinary operands.
#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

#include "jit/expr.h"
#include "support/dtype.h"

namespace kiln {

/// An operand of an expression: one stride per dim of the kernel's output, from outermost to innermost, in the order
/// that the family documents; 0 where it is broadcast.
struct StridedOperand {
  DType dtype = DType::f32;
  std::vector<int64_t> strides;
};
using FusedOperand = StridedOperand;

/// An expression on a kernel's result: operand 0 is the result, operand i is operands[i-1]. If it is empty, the result
/// stays as it is.
struct Epilogue {
  Expr expr;
  std::vector<FusedOperand> operands;
  bool empty() const { return expr.empty(); }
};

/// Rounded rows: n rows of k floats as 16-bit integers, with one float32 scale per row. The n scales lie after all
/// rows. A row is rounded_row(k) words of 32 bits. A word holds two elements that are a vector (w lanes) apart. Let v
/// be the word of lane i of vector j. Then v << 16 is element 2·j·w + i, and v itself is element 2·j·w + w + i, both as
/// 65536 times their integer. The low bits of v are noise of up to half a unit; rounding takes it into account.
/// Elements beyond k are zeros. Reading an element takes a conversion, and a shift for one of the two.
constexpr int64_t rounded_row(int64_t k) { return round_up(k, 32) / 2; }
constexpr int64_t rounded_words(int64_t k, int64_t n) { return n * rounded_row(k) + n; }

/// C[b0,b1,y,x,n] = epilogue(sum over kh,kw,k of A[b0,b1, y,x, kh,kw, k] * B[b0,b1, kh,kw,k, n]), f32.
/// Matrix products, and dense or grouped convolutions (channels last, zeros stored around the input). A plain product
/// has oh = 1, ow = M. A is contiguous over k, C over n. A PackSpec kernel with the same schedule packs B. Without taps
/// B may be read where it lies, as b_row (for a single row) or b_k says: if few rows read it, packing would take as
/// long as they do. With both batches in use and oh > 1, a row of A, C and every epilogue operand must start at or
/// after the previous row's last pixel. Operands: C, A, B, epilogue operands (strides over b0, b1, y, x, n).
struct ContractionSpec {
  std::array<int64_t, 2> batch{1, 1};
  std::array<int64_t, 2> a_batch{0, 0}, b_batch{0, 0},
      c_batch{0, 0};  ///< strides; b_batch in elements of B as it is read
  int64_t oh = 1, ow = 1;
  int64_t kh = 1, kw = 1;
  int64_t k = 1, n = 1;
  int64_t a_row = 0, a_col = 0;          ///< from an output pixel's window to the next one's
  int64_t a_tap_row = 0, a_tap_col = 0;  ///< from a tap to the next one
  int64_t c_row = 0, c_col = 0;
  int64_t b_row = 0;      ///< words from one column's contiguous k elements to the next one's
  int64_t b_k = 0;        ///< elements from one k's contiguous n elements to the next one's; both 0: B is packed
  bool rounded = false;   ///< with b_row: B is rounded rows
  int64_t winograd = 0;   ///< the largest Winograd tile (2 or 4) that is allowed; 0: none
  bool strassen = false;  ///< Strassen's algorithm is allowed
  bool int16 = false;     ///< products of 16-bit integers are allowed (jit/kernels/int16.h)
  Epilogue epilogue;
};

/// The stride of a convolution in taps, if it is 1 or 2 in both directions; else 0.
inline int64_t stride_in_taps(const ContractionSpec& s) {
  for (const int64_t stride : {1, 2})
    if (s.a_row == stride * s.a_tap_row && s.a_col == stride * s.a_tap_col) return stride;
  return 0;
}

/// Elements of one packed B: whole panels, the last one padded to a multiple of the widest vector of any target.
constexpr int64_t kPackAlign = 16;
constexpr int64_t packed_size(int64_t taps_times_k, int64_t n) { return taps_times_k * round_up(n, kPackAlign); }

/// Packs B for a contraction, batch after batch, each packed_size(taps·k, n) long. A batch is a sequence of panels of
/// the schedule's NR columns, each [taps][k][NR] (taps = kh·kw). The last panel has n mod NR columns, rounded up to
/// whole vectors with columns of no meaning, in the same order. The strides say where element (tap,k,n) comes from.
/// Operands: packed B, source. With `scales` (one batch, one tap, src_k = 1) it writes the columns of B, or of a part
/// of B, as rounded rows, at any schedule.
struct PackSpec {
  std::array<int64_t, 2> batch{1, 1}, src_batch{0, 0};
  int64_t taps = 1, k = 1, n = 1;
  int64_t src_tap = 0, src_k = 0, src_n = 0;
  int64_t stride = 1;  ///< of the 3×3 convolution: selects the form of its Winograd schedules
  int64_t scales = 0;  ///< words from the first row to its scale
};

/// out[b,y,x,c] = epilogue(sum over kh,kw of in[b, y,x, kh,kw, c] * w[kh,kw,c]), f32, channels last, zeros stored
/// around the input. Operands: out, in, w ([kh][kw][c] contiguous), epilogue operands (strides over b, y, x, c).
struct DepthwiseSpec {
  int64_t batch = 1, oh = 1, ow = 1, c = 1, kh = 1, kw = 1;
  int64_t in_batch = 0, in_row = 0, in_col = 0, in_tap_row = 0, in_tap_col = 0;
  int64_t out_batch = 0, out_row = 0, out_col = 0;
  Epilogue epilogue;
};

/// out[i] = expr(in0[i], in1[i], …) over at most 6 dims, outermost first, merged where strides allow. A transpose, a
/// part of a concatenation, a fill or a cast is a map with a trivial expression. Operands: out, inputs.
struct MapSpec {
  std::vector<int64_t> dims;
  StridedOperand out;
  std::vector<StridedOperand> inputs;
  Expr expr;
};

enum class ReduceKind : uint8_t { sum, mean, prod, max, min, argmax, argmin, any, all };

/// out[o] = epilogue(reduce over r of in[o, r]) for the kept dims o and the reduced dims r, any strides.
/// The result is f32 for floats, i64 for totals of integers and booleans, and the input's type for their extremes. For
/// argmax and argmin it is i64: the index over r of the first of equals. Operands: out, in, epilogue operands of f32
/// results (strides over the kept dims).
struct ReduceSpec {
  ReduceKind kind = ReduceKind::sum;
  std::vector<int64_t> kept, reduced;
  std::vector<int64_t> in_kept, in_reduced, out_kept;  ///< strides
  DType dtype = DType::f32, out_dtype = DType::f32;
  Epilogue epilogue;
};

enum class NormKind : uint8_t { softmax, log_softmax, layer_norm, rms_norm };

/// Row operations: out[r, :] = epilogue(norm(in[r, :])). Each row has `cols` contiguous elements; rows are over up to
/// four dims. Operands: out, in, [scale of `cols`], [shift of `cols`], epilogue operands (strides over rows…, cols).
struct NormSpec {
  NormKind kind = NormKind::softmax;
  std::vector<int64_t> rows, in_rows, out_rows;  ///< sizes and strides
  int64_t cols = 1;
  float eps = 0;
  bool has_scale = false, has_shift = false;
  Epilogue epilogue;
  bool masked = false;  ///< softmax: a row that is -infinity everywhere becomes zeros instead of NaN
};

enum class WindowKind : uint8_t { max, average };

/// Pooling, channels last: out[b,y,x,c] = epilogue(max or mean over the part of the window inside the input). Operands:
/// out, in, epilogue operands (strides over b, y, x, c).
struct WindowSpec {
  WindowKind kind = WindowKind::max;
  int64_t batch = 1, ih = 1, iw = 1, oh = 1, ow = 1, c = 1, kh = 1, kw = 1;
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, pad_top = 0, pad_left = 0;
  bool divide_by_all = false;  ///< average: count the padding too (count_include_pad)
  int64_t divisor = 0;         ///< average: fixed divisor when not 0
  bool even = false;           ///< adaptive pooling: windows of up to kh × kw cover the input evenly, and may overlap
  int64_t in_batch = 0, in_row = 0, in_col = 0, out_batch = 0, out_row = 0, out_col = 0;
  Epilogue epilogue;
};

/// out[o, :] = table[o, index[o], :] for all o over `dims`, any strides, with slices of `slice` contiguous elements of
/// any dtype. A negative index counts from the end. An index out of range sets the status word to kStatusBadIndex and
/// reads row 0. With `rounded` (f32, a table for all o) the table is rounded rows. Operands: out, table, index (i32 or
/// i64), status.
struct GatherSpec {
  std::vector<int64_t> dims, out, table, index;  ///< sizes and strides; a thread takes neighbours on the last dim
  int64_t slice = 1, rows = 1, table_row = 0;
  DType dtype = DType::f32, index_dtype = DType::i64;
  bool rounded = false;
};

enum class ScanKind : uint8_t { sum, prod, max, min, log_sum_exp };
constexpr bool is_extreme(ScanKind kind) { return kind == ScanKind::max || kind == ScanKind::min; }

/// out[o, i] = the sum, product, … of in[o, j] for all j ≤ i, on any axis beside dims o, any strides; f32, i32 or i64.
/// Of an extreme also the j (i64), of equals the last; NaN stays. Operands: [out], [index], in.
struct ScanSpec {
  std::vector<int64_t> dims, in, out, index;  ///< sizes and strides of the dims beside the axis
  int64_t count = 1, in_step = 0, out_step = 0, index_step = 0;
  ScanKind kind = ScanKind::sum;
  bool has_out = true, has_index = false;
  DType dtype = DType::f32;
};

/// out[o, i] = epilogue(sum over t of weight[t, i] · in[o, index[t, i]]) on any axis beside dims o, any strides.
/// Without weights there is one tap. `count` outputs; index (i32) and weight (f32) are contiguous; indices are not
/// checked. Operands: out, in, index, [weight], epilogue operands (strides over dims o, axis).
struct TapsSpec {
  std::vector<int64_t> dims, in, out;  ///< sizes and strides of the dims beside the axis
  int64_t count = 1, taps = 1, in_step = 0, out_step = 0;
  bool weighted = false;
  DType dtype = DType::f32;  ///< with weights or an epilogue f32
  Epilogue epilogue;
};

enum class ScatterKind : uint8_t { replace, sum, prod, max, min };

/// For all o over `dims` and then all j over `serial`, in that order: out[o, index[o, j]] becomes updates[o, j], or is
/// added to it, … Any strides. A negative index counts from the end. An index out of range sets the status word to
/// kStatusBadIndex and writes nothing. Sums and others are of f32, i32 and i64. Operands: out, out, index (i32 or i64),
/// updates, status.
struct ScatterSpec {
  std::vector<int64_t> dims, out, index, updates;             ///< sizes and strides; units
  std::vector<int64_t> serial, serial_index, serial_updates;  ///< one after the other
  int64_t rows = 1, out_row = 0;
  ScatterKind kind = ScatterKind::replace;
  DType dtype = DType::f32, index_dtype = DType::i64;
};

/// For all o over `dims`, any strides, the elements of in[o, :] in order, from the `first` of them on `taken` many, and
/// where they stood (i64). Equal elements stay in their order. NaN counts as the greatest. Operands: [values],
/// [indices], in.
struct SortSpec {
  std::vector<int64_t> dims, values, indices, in;  ///< sizes and strides of the dims beside the axis
  int64_t count = 1, first = 0, taken = 1;
  int64_t in_step = 0, values_step = 0, indices_step = 0;
  bool descending = false, has_values = true, has_indices = true;
  DType dtype = DType::f32;
};

/// C[b0,b1,x,n] = sum over j of softmax over j (scores[b0,b1,x,j]) · V[b0,b1,j,n].
/// - `scores` is the contraction of queries and keys (oh = kh = kw = 1). Its result stays in scratch, so its C has no
///   place. Its epilogue is scale and masks. A row that is masked everywhere is zeros.
/// - `values` is the contraction of those rows with V (values.k = scores.n, same batch and rows, no epilogue). Its A
/// has
///   no place.
/// - k_row and v_row are 0 if keys and V are packed. With few rows, packing would cost more than the products. Then
/// they
///   are the elements from one key to the next and from one row of V to the next, both contiguous inside.
/// - The last `late` of the scores.n keys, and their rows of V, may lie elsewhere if nothing is packed. A decoder's
/// step
///   adds such keys to its cache.
/// Operands: C, queries, keys, V, with `late` the late keys and their V, epilogue operands of the scores.
struct AttentionSpec {
  ContractionSpec scores, values;
  int64_t k_row = 0, v_row = 0;
  int64_t late = 0, late_k_row = 0, late_v_row = 0;
  std::array<int64_t, 2> late_k_batch{0, 0}, late_v_batch{0, 0};
};

/// C = project(depthwise(expand(A))), the inverted residual of MobileNetV2 (Sandler et al., 2018): a 1×1 convolution
/// that adds channels, a depthwise one, and a 1×1 one. Their intermediate images are never stored whole. Scratch holds
/// only the rows that an output row needs.
/// - `expand` and `project` are contractions of images (a batch of images, rows, columns, no taps). Expand's C and
///   project's A have no place.
/// - `depthwise` reads expand's result with pad_top rows of zeros above and pad_left columns on the left. Its rows are
///   `row` elements long, which leaves room for zeros on the right. Its input strides refer to these rows. Its out has
///   no place.
/// - Operands of the first two epilogues differ by channel only.
/// Operands: C, A, expand's packed B, the depthwise taps, project's packed B, then epilogue operands of expand,
/// depthwise and project.
struct InvertedResidualSpec {
  ContractionSpec expand, project;
  DepthwiseSpec depthwise;
  int64_t pad_top = 0, pad_left = 0, row = 0;
};

using KernelSpec =
    std::variant<ContractionSpec, PackSpec, DepthwiseSpec, MapSpec, ReduceSpec, NormSpec, WindowSpec, GatherSpec,
                 AttentionSpec, InvertedResidualSpec, ScanSpec, TapsSpec, SortSpec, ScatterSpec>;

/// "contraction", "pack", …
const char* family_name(const KernelSpec& spec);
/// How many of a kernel's operands it writes. They come first.
size_t num_written(const KernelSpec& spec);
/// One line with everything that the generated code depends on. Equal specs have equal texts.
std::string to_string(const KernelSpec& spec);
/// Floating-point operations (2 per multiply-add) and bytes touched at least once, for profiles and priors.
double flops_of(const KernelSpec& spec);
double bytes_of(const KernelSpec& spec);

/// Status words that an emitted module may leave in its control block.
enum : int32_t { kStatusOk = 0, kStatusAborted = 1, kStatusBadIndex = 2 };

}  // namespace kiln
