// Products of integers of 16 bits: twice as many in an instruction as of floats, and half the bytes. Rows of A and
// columns of B become integers with one scale each (block floating point); 64 products are added as i32, those sums as
// floats.
#pragma once

#include "jit/family.h"

namespace kiln {

/// Products that are added as integers, in words of two. Sums cannot overflow: by Cauchy and Schwarz they are at most
/// the product of two norms, and scales keep the norm of 64 integers below 2^15.5.
constexpr int64_t kInt16Sum = 64, kInt16Words = kInt16Sum / 2;
/// Of a row of k elements.
constexpr int64_t int16_words(int64_t k) { return k / 2; }
/// Of a packed B, as packed_elements() counts: panels, then a scale for every column.
constexpr int64_t int16_packed(int64_t k, int64_t n) { return packed_size(int16_words(k), n) + n; }

/// Emits rows(dst, src, scales, count, pitch, sums), shared by all kernels: `count` rows of 64·sums floats, `pitch`
/// bytes apart, become as many rows of words, one after the other, and their scales. A word holds two elements a vector
/// apart, as do the words of what it is multiplied with. A row with an infinity, a NaN or an element whose square is
/// infinite gets NaN for a scale.
Func emit_int16_rows(Emitter& emitter);

/// The product as its tiles see it: words for elements, a row of taps for each sum; first among the epilogue's operands
/// are the scales of A's rows, those of B's columns.
ContractionSpec int16_product(const ContractionSpec& flattened);

int64_t int16_scratch(const ContractionSpec& flattened, int64_t block_rows);
bool int16_feasible(const ContractionSpec& spec, const Schedule& schedule, const Target& target);

}  // namespace kiln
