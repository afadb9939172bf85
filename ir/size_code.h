// Sizes as expressions of other sizes, in postfix: what a file says of the sizes that follow from others, and of those
// that it can take.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace kiln {

/// The numbers are those of format/model.fbs. Numbers are integers or reals; an operation on one of each makes reals.
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

/// Operations with an argument each, which only number, symbol and real read.
using SizeCode = std::vector<std::pair<int64_t, int64_t>>;

/// How many numbers an operation takes from the stack, on which it leaves one.
constexpr size_t operands_of(SizeOp op) {
  if (op == SizeOp::number || op == SizeOp::symbol || op == SizeOp::real) return 0;
  if (op >= SizeOp::floor && op <= SizeOp::root) return 1;
  return op == SizeOp::choose ? 3 : 2;
}

/// The whole number that a code makes of the symbols' sizes. None where it makes no whole number, divides by nothing,
/// or passes the range in which its numbers are exact. The code may be anything.
std::optional<int64_t> evaluate(const SizeCode& code, const std::vector<int64_t>& sizes);

}  // namespace kiln
