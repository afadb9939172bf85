// Rules of the canonicalize pass. Each looks at one node whose operands are in the new graph and returns whether it
// replaced it.
#pragma once

#include <optional>

#include "ir/passes/rewrite.h"

namespace kiln {

Result<bool> canonical_view(Rewrite& r,
                            const Node& node);             // reshape, permute, expand, slice, gather by a constant ramp
Result<bool> canonical_map(Rewrite& r, const Node& node);  // operands and algebra of expressions
Result<bool> canonical_contraction(Rewrite& r, const Node& node);  // transposed operands, padding into windows
Result<bool> fold_batch_norm(Rewrite& r, const Node& node);        // a per-channel affine map after a convolution
Result<bool> mix_before_enlarging(Rewrite& r, const Node& node);   // a 1×1 convolution of an enlarged image
Result<bool> match_attention(Rewrite& r, const Node& node);        // softmax(q kᵀ · scale + mask) v

/// An expression as a · x + b, where x is its operand `slot` and a and b do not depend on it. An empty a is 1, an empty
/// b is 0.
struct Affine {
  Expr a, b;
};
std::optional<Affine> affine_in(const Expr& expr, int slot);
/// The number an expression without operands computes.
std::optional<double> constant_of(const Expr& expr);

/// Operands of `expr` renumbered: operand i becomes moved[i].
Expr renumber(const Expr& expr, const std::vector<int>& moved);
/// The expression without instructions that its result does not need, and without x·1, x+0, −−x, double casts and the
/// like.
Expr simplify(const Expr& expr);

}  // namespace kiln
