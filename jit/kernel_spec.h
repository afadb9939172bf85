// What a kernel computes: family, shapes, types, layouts, fused expressions. A frozen value, compared by its text.
// All strides and sizes are in elements. An operand's base address is given at each call; every stride is relative to
// it, so a slice, a transpose, a channel range of a concatenation or the inside of a zero-padded buffer are ordinary
// operands.
#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

#include "jit/expr.h"
#include "support/dtype.h"

namespace kiln {

/// An operand of a fused expression, indexed like the output of the kernel it is fused into: element strides (0 =
/// broadcast) over the output's dims from outermost to innermost, in the order that the family documents.
struct FusedOperand {
  DType dtype = DType::f32;
  std::vector<int64_t> strides;
};

/// An expression on a kernel's result: operand 0 is the result, operand i is operands[i-1]. Empty: the result as it is.
struct Epilogue {
  Expr expr;
  std::vector<FusedOperand> operands;
  bool empty() const { return expr.empty(); }
};

/// Rounded rows, of n rows of k floats: every element becomes an integer of 16 bits, every row has one scale; these n
/// floats lie after all rows. A row is rounded_row(k) words of 32 bits, each of which holds two elements a vector
/// apart: the word v of lane i of vector j holds element 2·j·w + i as (v << 16) and element 2·j·w + w + i as v itself,
/// both 65536 times their integer: low bits are as good as noise of half a unit, which rounding took into account.
/// Elements beyond k are zeros. To read one takes a shift (or none) and a conversion.
constexpr int64_t rounded_row(int64_t k) { return round_up(k, 32) / 2; }
constexpr int64_t rounded_words(int64_t k, int64_t n) { return n * rounded_row(k) + n; }

/// C[b0,b1,y,x,n] = epilogue(sum over kh,kw,k of A[b0,b1, y,x, kh,kw, k] * B[b0,b1, kh,kw,k, n]), f32.
/// Matrix products and dense or grouped convolutions (channels last, zeros stored around the input) alike; a plain
/// product has oh = 1, ow = M. A is contiguous over k, C over n. B is packed by a PackSpec kernel that shares this
/// one's schedule, or, for a single row (no batches, no taps), lies as b_row says: packing would read and write all of
/// what is read once. With both batches in use and oh > 1, a row of A, C and every epilogue operand must start at or
/// after the previous row's last pixel. Operands: C, A, B, epilogue operands (strides over b0, b1, y, x, n).
struct ContractionSpec {
  std::array<int64_t, 2> batch{1, 1};
  std::array<int64_t, 2> a_batch{0, 0}, b_batch{0, 0}, c_batch{0, 0};  ///< strides; b_batch in elements of packed B
  int64_t oh = 1, ow = 1;
  int64_t kh = 1, kw = 1;
  int64_t k = 1, n = 1;
  int64_t a_row = 0, a_col = 0;          ///< from an output pixel's window to the next one's
  int64_t a_tap_row = 0, a_tap_col = 0;  ///< from a tap to the next one
  int64_t c_row = 0, c_col = 0;
  int64_t b_row = 0;      ///< words from one column's contiguous k elements to the next one's; 0: B is packed
  bool rounded = false;   ///< with b_row: B is rounded rows
  int64_t winograd = 0;   ///< the largest Winograd tile (2 or 4) that this convolution may use; 0: none
  bool strassen = false;  ///< whether Strassen's algorithm may compute it
  bool int16 = false;     ///< whether products of 16-bit integers may (jit/kernels/int16.h)
  Epilogue epilogue;
};

/// The stride of a convolution in taps, if it is 1 or 2 both ways; else 0.
inline int64_t stride_in_taps(const ContractionSpec& s) {
  for (const int64_t stride : {1, 2})
    if (s.a_row == stride * s.a_tap_row && s.a_col == stride * s.a_tap_col) return stride;
  return 0;
}

/// Elements of one packed B: whole panels, the last one padded to a multiple of the widest vector of any target.
constexpr int64_t kPackAlign = 16;
constexpr int64_t packed_size(int64_t taps_times_k, int64_t n) { return taps_times_k * round_up(n, kPackAlign); }

/// Packs B for a contraction: batch after batch, each packed_size(taps·k, n) long, panels of the schedule's NR columns,
/// each [taps][k][NR] (taps are kh·kw); a narrower last panel (n mod NR, rounded up to whole vectors with columns of no
/// meaning) keeps the same order. Element (tap,k,n) comes from the strides. Operands: packed B, source.
/// With `scales` (one batch, one tap, src_k = 1): its columns, or those of a part of B, as rounded rows, whatever the
/// schedule.
struct PackSpec {
  std::array<int64_t, 2> batch{1, 1}, src_batch{0, 0};
  int64_t taps = 1, k = 1, n = 1;
  int64_t src_tap = 0, src_k = 0, src_n = 0;
  int64_t stride = 1;  ///< of the 3×3 convolution: which form its Winograd schedules take
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

/// A strided operand of a map: one stride per dim, 0 where it is broadcast.
struct StridedOperand {
  DType dtype = DType::f32;
  std::vector<int64_t> strides;
};

/// out[i] = expr(in0[i], in1[i], …) over an N-dimensional box (dims outermost first, merged where strides allow, at
/// most 6). A transpose, a concatenation's part, a fill or a cast is a map with a trivial expression. Operands: out,
/// inputs.
struct MapSpec {
  std::vector<int64_t> dims;
  StridedOperand out;
  std::vector<StridedOperand> inputs;
  Expr expr;
};

enum class ReduceKind : uint8_t { sum, mean, prod, max, min, argmax, argmin, any, all };

/// out[o] = epilogue(reduce over r of in[o, r]) for the kept dims o and the reduced dims r, any strides.
/// Floats to f32; totals of integers and booleans to i64, extremes to their own type; argmax/argmin to i64: the index
/// over r, first of equals. Operands: out, in, epilogue operands of f32 results (strides over the kept dims).
struct ReduceSpec {
  ReduceKind kind = ReduceKind::sum;
  std::vector<int64_t> kept, reduced;
  std::vector<int64_t> in_kept, in_reduced, out_kept;  ///< strides
  DType dtype = DType::f32, out_dtype = DType::f32;
  Epilogue epilogue;
};

enum class NormKind : uint8_t { softmax, log_softmax, layer_norm, rms_norm };

/// Row operations: out[r, :] = epilogue(norm(in[r, :])) with `cols` contiguous elements in each row, rows over up to
/// four dims. Operands: out, in, [scale of `cols`], [shift of `cols`], epilogue operands (strides over rows…, cols).
struct NormSpec {
  NormKind kind = NormKind::softmax;
  std::vector<int64_t> rows, in_rows, out_rows;  ///< sizes and strides
  int64_t cols = 1;
  float eps = 0;
  bool has_scale = false, has_shift = false;
  Epilogue epilogue;
  bool masked = false;  ///< softmax: a row of nothing but -infinity becomes zeros instead of NaN
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
  bool even = false;  ///< windows of up to kh × kw that cover the input as evenly as can be (they may overlap)
  int64_t in_batch = 0, in_row = 0, in_col = 0, out_batch = 0, out_row = 0, out_col = 0;
  Epilogue epilogue;
};

/// out[o, i, :] = table[o, index[i], :], slices of `slice` contiguous elements of any dtype. A negative index counts
/// from the end; one that is out of range sets the status word to kStatusBadIndex and reads row 0. With `rounded` (f32,
/// outer = 1) the table is rounded rows. Operands: out, table, index (i32 or i64), status.
struct GatherSpec {
  int64_t outer = 1, count = 1, slice = 1, rows = 1;
  int64_t table_outer = 0, table_row = 0, out_outer = 0, out_row = 0;
  int64_t index_stride = 1;
  DType dtype = DType::f32, index_dtype = DType::i64;
  bool rounded = false;
};

/// out[o, i] = the sum of in[o, j] for all j ≤ i, on any axis beside dims o, any strides; f32, i32 or i64.
/// Operands: out, in.
struct ScanSpec {
  std::vector<int64_t> dims, in, out;  ///< sizes and strides of the dims beside the axis
  int64_t count = 1, in_step = 0, out_step = 0;
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

/// C[b0,b1,x,n] = sum over j of softmax over j (scores[b0,b1,x,j]) · V[b0,b1,j,n]. `scores` is the contraction of
/// queries and keys that stays in scratch (oh = kh = kw = 1; its C has no place; the epilogue is scale and masks; a
/// row that masks leave nothing of is zeros),
/// `values` that of its rows with V (values.k = scores.n, same batch and rows; its A has no place, no epilogue).
/// With few rows packing would cost more than the products: then k_row and v_row are the elements from one key to the
/// next and from one row of V to the next, both contiguous inside (0: both packed); the last `late` keys, of which
/// scores.n counts all, and their rows of V may then lie elsewhere, as what a step adds to a cache does. Operands: C,
/// queries, keys, V, with `late` the late keys and their V, epilogue operands of the scores.
struct AttentionSpec {
  ContractionSpec scores, values;
  int64_t k_row = 0, v_row = 0;
  int64_t late = 0, late_k_row = 0, late_v_row = 0;
  std::array<int64_t, 2> late_k_batch{0, 0}, late_v_batch{0, 0};
};

/// C = project(depthwise(expand(A))), the inverted residual of MobileNetV2 (Sandler et al., 2018): a 1×1 convolution
/// that makes an image many channels wide, a depthwise one, a 1×1 one. What lies between them never stands in memory
/// whole, only the rows that an output row needs, in scratch. `expand` and `project` are contractions of images (a
/// batch of images, rows, columns, no taps; expand's C and project's A have no place). `depthwise` reads expand's
/// result with pad_top rows of zeros above and pad_left columns on the left, in rows of `row` elements, which leave
/// room for zeros on the right as well: its strides of the input count in those, its out has no place. Epilogues of the
/// first two only know channels. Operands: C, A, expand's packed B, the depthwise taps, project's packed B, then
/// epilogue operands of expand, depthwise and project.
struct InvertedResidualSpec {
  ContractionSpec expand, project;
  DepthwiseSpec depthwise;
  int64_t pad_top = 0, pad_left = 0, row = 0;
};

using KernelSpec = std::variant<ContractionSpec, PackSpec, DepthwiseSpec, MapSpec, ReduceSpec, NormSpec, WindowSpec,
                                GatherSpec, AttentionSpec, InvertedResidualSpec, ScanSpec, TapsSpec>;

/// "contraction", "pack", …
const char* family_name(const KernelSpec& spec);
/// One line that names everything that matters to the generated code; equal specs have equal texts.
std::string to_string(const KernelSpec& spec);
/// Floating-point operations (2 per multiply-add) and bytes touched at least once, for profiles and priors.
double flops_of(const KernelSpec& spec);
double bytes_of(const KernelSpec& spec);

/// Status words that an emitted module may leave in its control block.
enum : int32_t { kStatusOk = 0, kStatusAborted = 1, kStatusBadIndex = 2 };

}  // namespace kiln
