// Expressions of sizes, in postfix. A file holds them for sizes that follow from others, and for guards.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace kiln {

/// The values are those of format/model.fbs. Numbers are integers or reals. An operation on one of each is on reals.
enum class SizeOp : int64_t {
  number,  ///< the argument
  symbol,  ///< the size of the symbol that the argument names
  plus,
  minus,
  multiply,
  divide,  ///< of integers, rounded down
  modulo,  ///< with the divisor's sign
  lesser,
  greater,
  equal,
  less,
  choose,  ///< a, b, c: b unless a is zero, then c
  power,   ///< of integers
  real,    ///< the argument's bits
  quotient,
  floor,  ///< this and the next three: from real to integer
  ceiling,
  truncate,
  round,  ///< halves to the even one
  root,
  bit_and,  ///< of integers, like the next two
  bit_or,
  bit_xor,
  kCount
};

/// Operations, each with an argument. Only number, symbol and real use it.
using SizeCode = std::vector<std::pair<int64_t, int64_t>>;

/// How many numbers an operation takes from the stack. It leaves one there.
constexpr size_t operands_of(SizeOp op) {
  if (op == SizeOp::number || op == SizeOp::symbol || op == SizeOp::real) return 0;
  if (op >= SizeOp::floor && op <= SizeOp::root) return 1;
  return op == SizeOp::choose ? 3 : 2;
}

/// The whole number that a code computes from the symbols' sizes. None if the result is not whole, if it divides by
/// zero, or if a number leaves the range in which it is exact. The code may be anything.
std::optional<int64_t> evaluate(const SizeCode& code, const std::vector<int64_t>& sizes);

}  // namespace kiln
