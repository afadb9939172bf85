// Appends canonical nodes to a graph, infers and checks their shapes and types, and keeps their origin.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/infer.h"
#include "support/budget.h"

namespace kiln {

class Builder {
 public:
  explicit Builder(Graph& g) : graph(g) {}

  /// Where the nodes appended from now on come from (operator and line of the user's code, kept for errors and
  /// profiles).
  void set_origin(const Node& node) {
    source_ = node.source, where_ = node.where;
    node_limit_ = graph.nodes.size() + node_limit(node.inputs.size() + node.outputs.size());
  }

  /// What is appended from now on, stands for no node of the file.
  void lift_limit() { node_limit_ = SIZE_MAX; }

  /// Appends `node`, whose inputs, attributes and expressions are filled in. `wanted` is as in infer(). With an
  /// epilogue the result has wanted.dtype. Returns the output's value. A value without elements has no node, and nodes
  /// never read one: their results are built without it.
  Result<ValueId> append(Node node, const TensorType& wanted);
  /// The same for a node of several results: their values, in order.
  Result<std::vector<ValueId>> append_all(Node node, const TensorType& wanted = {});

  Result<ValueId> conv(ValueId x, ValueId w, ValueId bias, const ConvAttrs& attrs);
  Result<ValueId> matmul(ValueId a, ValueId b, bool transpose_b = false);
  Result<ValueId> map(Expr expr, std::vector<ValueId> inputs, DType dtype);
  Result<ValueId> reduce(ValueId x, const ReduceAttrs& attrs);
  Result<ValueId> softmax(ValueId x, int64_t axis, bool log = false);
  Result<ValueId> layer_norm(ValueId x, ValueId scale, ValueId shift, const NormAttrs& attrs);
  Result<ValueId> attention(ValueId q, ValueId k, ValueId v, ValueId mask, const AttentionAttrs& attrs);
  Result<ValueId> pool(ValueId x, const PoolAttrs& attrs);
  Result<ValueId> gather(ValueId table, ValueId index, int64_t axis, int64_t batch = 0);
  Result<ValueId> scatter(ValueId x, ValueId index, ValueId updates, const ScatterAttrs& attrs);
  /// With the indices of extremes.
  Result<std::vector<ValueId>> scan(ValueId x, const ScanAttrs& attrs);
  /// Values and indices.
  Result<std::vector<ValueId>> sort(ValueId x, const SortAttrs& attrs);
  Result<ValueId> taps(ValueId x, TapsAttrs attrs);
  Result<ValueId> concat(std::vector<ValueId> parts, int64_t axis);
  Result<ValueId> pad(ValueId x, const PadAttrs& attrs);
  /// Any node of several results.
  Result<std::vector<ValueId>> several(Op op, std::vector<ValueId> inputs, OpAttrs attrs);
  /// Marks of control flow (ir/graph.h); those of loops are several().
  Result<ValueId> branch(ValueId condition, bool otherwise);
  Result<ValueId> join(ValueId then, ValueId otherwise, ValueId a, ValueId b);
  // These return x itself when they would change nothing.
  Result<ValueId> reshape(ValueId x, const Shape& shape);
  Result<ValueId> permute(ValueId x, std::vector<int64_t> axes);
  Result<ValueId> expand(ValueId x, const Shape& shape);
  Result<ValueId> slice(ValueId x, SliceAttrs attrs, const Shape& shape);
  /// `count` elements of one axis from `start` on.
  Result<ValueId> slice_axis(ValueId x, int64_t axis, int64_t start, int64_t count, int64_t step = 1);
  Result<ValueId> cast(ValueId x, DType dtype);
  /// x as numbers that kernels compare (kernel_type), in the same order; and back.
  Result<ValueId> comparable(ValueId x);
  Result<ValueId> from_comparable(ValueId x, DType dtype);

  /// Bytes of all constants that were made here, also of taps.
  int64_t constant_bytes() const { return constant_bytes_; }
  /// An error where what the node that is the origin unfolds to, or all constants, are more than support/budget.h
  /// allows.
  Status within_budget() const;

  /// A constant from its bytes, row-major.
  ValueId constant(DType dtype, const Shape& shape, std::vector<uint8_t> data);
  /// A 0-d constant.
  ValueId scalar(double value, DType dtype);
  /// Constants of integers, cut to what `dtype` holds.
  ValueId integers(const std::vector<int64_t>& values, const Shape& shape, DType dtype = DType::i64);

  const Value& value(ValueId id) const { return graph.value(id); }
  const Shape& shape(ValueId id) const { return graph.value(id).shape; }
  int64_t rank(ValueId id) const { return static_cast<int64_t>(graph.value(id).shape.size()); }

  Graph& graph;
  /// What follows from constants becomes one at once, so that rows can look at sizes that a model computes.
  bool folds = false;

 private:
  Result<ValueId> reordered(ValueId x, DType dtype);
  Result<ValueId> of_nothing(const Node& node, const TensorType& type);
  Result<ValueId> simple(Op op, std::vector<ValueId> inputs, OpAttrs attrs, const TensorType& wanted = {});
  std::string source_, where_;
  size_t node_limit_ = SIZE_MAX;
  int64_t constant_bytes_ = 0;
  int64_t foldable_ = kMaxFolding;  ///< elements that folding may still look at
};

/// An element of a constant. Integers and booleans are in `whole`, because a double may not hold them exactly.
struct Number {
  double real = 0;
  int64_t whole = 0;
};
/// The whole part, clamped to 64 bits. NaN becomes 0.
int64_t whole_part(double real);
/// A constant's elements. Integers fill both fields; of uint64 `whole` has the bits.
std::vector<Number> read_numbers(const Value& value);
/// The bytes of `numbers` in `dtype`. Integers are cut to its width.
std::vector<uint8_t> write_numbers(const std::vector<Number>& numbers, DType dtype);
/// The first element of a constant.
Number first_number(const Value& value);
/// All elements of a constant are equal: which number. (Weights are never known.)
bool uniform_constant(const Value& value, Number& number);
/// The same as reals.
std::vector<double> read_constant(const Value& value);
std::vector<uint8_t> write_constant(const std::vector<double>& numbers, DType dtype);

/// Builds an expression with ordinary arithmetic: `Fx f; auto x = f.in(0); f.expr` … Lanes must agree.
class Fx;
struct Term {
  Fx* fx;
  uint16_t at;
};
class Fx {
 public:
  Term in(int operand, Lane lane = Lane::f32) { return {this, expr.input(operand, lane)}; }
  /// A constant, in integer lanes its whole part.
  Term c(double value, Lane lane = Lane::f32);
  Term whole(int64_t value, Lane lane) { return {this, expr.integer(value, lane)}; }
  Term un(PointOp op, Term a) { return {this, expr.unary(op, a.at)}; }
  Term bin(PointOp op, Term a, Term b) { return {this, expr.binary(op, a.at, b.at)}; }
  Term where(Term mask, Term a, Term b) { return {this, expr.select(mask.at, a.at, b.at)}; }
  Lane lane(Term t) const { return expr.insts[t.at].lane; }
  /// The term in another lane.
  Term to(Term t, Lane lane);
  /// The expression, with `t` as its result (the last instruction).
  Expr finish(Term t);
  Expr expr;
};
inline Term operator+(Term a, Term b) { return a.fx->bin(PointOp::add, a, b); }
inline Term operator-(Term a, Term b) { return a.fx->bin(PointOp::sub, a, b); }
inline Term operator*(Term a, Term b) { return a.fx->bin(PointOp::mul, a, b); }
inline Term operator/(Term a, Term b) { return a.fx->bin(PointOp::div, a, b); }
inline Term operator+(Term a, double b) { return a + a.fx->c(b, a.fx->lane(a)); }
inline Term operator-(Term a, double b) { return a - a.fx->c(b, a.fx->lane(a)); }
inline Term operator*(Term a, double b) { return a * a.fx->c(b, a.fx->lane(a)); }
inline Term operator/(Term a, double b) { return a / a.fx->c(b, a.fx->lane(a)); }

}  // namespace kiln
