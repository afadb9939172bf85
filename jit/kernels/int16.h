// Products of 16-bit integers: an instruction makes twice as many as of floats, from half the bytes. Each row of A and
// column of B becomes integers with one scale (block floating point). 32 products are added as i32, and those sums as
// floats.
#pragma once

#include "jit/family.h"

namespace kiln {

/// How many products are added as integers, in words of two. Sums cannot overflow. By Cauchy and Schwarz they are at
/// most the product of two norms, and scales keep the norm of 32 integers below 2^15.5.
constexpr int64_t kInt16Sum = 32, kInt16Words = kInt16Sum / 2;
/// Integers of a row of k elements, including zeros up to the end of its last sum.
constexpr int64_t int16_sums(int64_t k) { return ceil_div(k, kInt16Sum); }
constexpr int64_t int16_words(int64_t k) { return int16_sums(k) * kInt16Words; }
/// Elements of a packed B, as packed_elements() counts: panels, then a scale for every column. Each of several batches
/// takes the room of one of floats. That is more, because k is at least the length of a sum.
constexpr int64_t int16_packed(int64_t k, int64_t n) { return packed_size(int16_words(k), n) + n; }

/// Emits rows(dst, src, scales, count, pitch, sums), which all kernels share. `count` rows of 32·sums floats, `pitch`
/// bytes apart, become adjacent rows of words, and their scales. A word holds two elements that are a vector apart, as
/// in the other operand. A row with an infinity, a NaN or an element whose square is infinite gets the scale NaN.
Func emit_int16_rows(Emitter& emitter);
/// Emits rows(dst, src, count, k, src_k, src_n, pitch), which all kernels share too. `count` columns of k floats become
/// rows, with zeros behind them up to `pitch`. Strides and pitch are in bytes.
Func emit_columns_as_rows(Emitter& emitter);

/// The product as its tiles see it: its elements are words, and each sum is a row of taps. The epilogue's first two
/// operands are the scales of A's rows and of B's columns.
ContractionSpec int16_product(const ContractionSpec& flattened);

/// Bytes of `rows` rows of k integers, then their scales.
constexpr int64_t int16_rows_bytes(int64_t k, int64_t rows) { return rows * (int16_words(k) + 1) * 4; }
/// Whether sums divide A's rows, and whole vectors divide a sum.
bool int16_fits(const ContractionSpec& spec, const Target& target);
bool int16_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target);

}  // namespace kiln
