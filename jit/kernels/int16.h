// Products of integers of 16 bits: twice as many in an instruction as of floats, and half the bytes. Rows of A and
// columns of B become integers with one scale each (block floating point); 32 products are added as i32, those sums as
// floats.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Products that are added as integers, in words of two. Sums cannot overflow: by Cauchy and Schwarz they are at most
/// the product of two norms, and scales keep the norm of 32 integers below 2^15.5.
constexpr int64_t kInt16Sum = 32, kInt16Words = kInt16Sum / 2;
/// Of a row of k elements, with zeros up to the end of its last sum.
constexpr int64_t int16_sums(int64_t k) { return ceil_div(k, kInt16Sum); }
constexpr int64_t int16_words(int64_t k) { return int16_sums(k) * kInt16Words; }
/// Of a packed B, as packed_elements() counts: panels, then a scale for every column. Where there are several, each has
/// the room of one of floats, which is more: k is at least that of a sum.
constexpr int64_t int16_packed(int64_t k, int64_t n) { return packed_size(int16_words(k), n) + n; }

/// Emits rows(dst, src, scales, count, pitch, sums), shared by all kernels: `count` rows of 32·sums floats, `pitch`
/// bytes apart, become as many rows of words, one after the other, and their scales. A word holds two elements a vector
/// apart, as do the words of what it is multiplied with. A row with an infinity, a NaN or an element whose square is
/// infinite gets NaN for a scale.
Func emit_int16_rows(Emitter& emitter);
/// Emits rows(dst, src, count, k, src_k, src_n, pitch), shared too: `count` columns of k floats become rows, with zeros
/// behind them up to `pitch`. Strides and pitch in bytes.
Func emit_columns_as_rows(Emitter& emitter);

/// The product as its tiles see it: words for elements, a row of taps for each sum; first among the epilogue's operands
/// are the scales of A's rows, those of B's columns.
ContractionSpec int16_product(const ContractionSpec& flattened);

/// Bytes of `rows` rows of k integers, then their scales.
constexpr int64_t int16_rows_bytes(int64_t k, int64_t rows) { return rows * (int16_words(k) + 1) * 4; }
/// Whether A's rows, and vectors, divide into sums.
bool int16_fits(const ContractionSpec& spec, const Target& target);
bool int16_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target);

}  // namespace kiln
