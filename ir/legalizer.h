// What a row of the operator table uses: the source node's operands in the new graph, its attributes, and builders.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/builder.h"
#include "ir/ops.h"

namespace kiln {

/// Attribute getters return the fallback if the attribute is absent or None. An attribute of the wrong kind is
/// remembered and fails the node after its row returns. So rows need not check each attribute.
class Legalizer {
 public:
  Legalizer(const Graph& source_graph, Graph& out);

  /// Rewrites one node with the row of its operator.
  Status legalize(const Node& node);
  /// Where a value of the source graph ended up; kNoValue: nowhere (yet).
  ValueId find(ValueId source_value) const { return mapped_[static_cast<size_t>(source_value)]; }

  /// Operand i in the new graph, in the type in which it is computed; kNoValue when it is absent.
  ValueId in(const Node& node, size_t i) const;
  /// The same; an absent one is an error.
  Result<ValueId> need(const Node& node, size_t i) const;
  /// Operand i. If a number stands in its place, the attribute `name` as a 0-d constant.
  Result<ValueId> tensor_or_number(const Node& node, size_t i, const char* name);
  /// The dtype in which PyTorch computes these operands of a node.
  DType common_dtype(const std::vector<ValueId>& operands) const;
  /// The same. It also converts the operands where that changes integers: numbers and wider 0-d tensors wrap.
  Result<DType> promote(std::vector<ValueId>& operands);
  /// Operand i converted to float32.
  Result<ValueId> need_f32(const Node& node, size_t i);

  /// Says that output `index` of `node` is `value`; it must have the type that the file gives it, if it gives one.
  Status set(const Node& node, ValueId value, size_t index = 0);
  /// Says that the outputs of `node` are parts of x along an axis, of these sizes.
  Status set_parts(const Node& node, ValueId x, int64_t axis, const std::vector<int64_t>& sizes);
  /// After a node that failed: its outputs are taken for what the file says, so that later nodes can be looked at too.
  void assume_outputs(const Node& node);
  /// The type that the source graph states of a value; float32 where it states none.
  DType stated(ValueId source_value) const;
  bool wants(const Node& node, size_t index) const;  ///< is there an output `index` that something reads?

  bool has(const Node& node, std::string_view name) const;
  int64_t integer(const Node& node, std::string_view name, int64_t fallback);
  double number(const Node& node, std::string_view name, double fallback);
  /// As integer and as real; a real is truncated to an integer. 0 if absent.
  Number any_number(const Node& node, std::string_view name);
  /// What a tensor made of the number is: float32, int64 or bool; int64 when absent.
  DType number_type(const Node& node, std::string_view name) const;
  bool flag(const Node& node, std::string_view name, bool fallback);
  std::string text(const Node& node, std::string_view name, std::string fallback);
  /// A list of texts, which readers put one a line.
  std::vector<std::string> texts(const Node& node, std::string_view name);
  /// The type by its name ("float32"), and that in which numbers of it are computed.
  DType stored_dtype(const Node& node, std::string_view name, DType fallback);
  DType dtype(const Node& node, std::string_view name, DType fallback);
  /// A list; a lone integer is a list of one.
  std::vector<int64_t> integers(const Node& node, std::string_view name);
  /// A list of numbers.
  std::vector<double> numbers(const Node& node, std::string_view name);
  /// A list for two spatial dims: absent or empty → fallback twice, one entry → twice.
  std::array<int64_t, 2> pair(const Node& node, std::string_view name, int64_t fallback);

  /// What another row makes of operands in the new graph: how the rows of one front end are written with another's.
  Result<ValueId> call(const char* source, const std::vector<ValueId>& operands, std::vector<SourceAttr> attrs = {});
  /// The same of a row with so many results.
  Result<std::vector<ValueId>> call_all(const char* source, size_t results, const std::vector<ValueId>& operands,
                                        std::vector<SourceAttr> attrs = {});
  /// The graph of a node that its attribute `name` is.
  Result<const Body*> body(const Node& node, std::string_view name) const;
  /// What a graph of a node makes of these operands, values in the new graph. Its nodes are appended; again at each
  /// call.
  Result<std::vector<ValueId>> run(const Node& node, const Body& body, const std::vector<ValueId>& operands);
  /// The nodes that run() may still append to, of all loops together.
  size_t left_in_loops() const { return left_in_loops_; }

  /// The elements of an operand that is a constant; an error that says what they were wanted for where it is none.
  Result<std::vector<Number>> elements(const Node& node, size_t i, const char* wanted_for) const;
  Result<std::vector<int64_t>> whole_elements(const Node& node, size_t i, const char* wanted_for) const;

  /// A value of the new graph whose size along an axis a run decides: its shape has the most, `count` (an i32 of its
  /// own) what it is. `zeros`: what lies beyond is zeros. In ir/bounded.cpp, as what follows from it.
  struct Bound {
    ValueId value = kNoValue;
    int64_t axis = 0;
    ValueId count = kNoValue;
    bool zeros = false;
  };
  void bound(ValueId value, int64_t axis, ValueId count, bool zeros = false);
  const Bound* bound_of(ValueId value) const;
  /// Says so of the outputs of the graph.
  Status state_bounds();

  /// An axis of a tensor of `rank` dims from one that may count from the end.
  Result<int64_t> axis(int64_t value, int64_t rank) const;
  Result<std::vector<int64_t>> axes(const std::vector<int64_t>& values, int64_t rank) const;

  Error unsupported(const Node& node, const std::string& what) const;
  /// Why a source value that is needed has no value in the new graph.
  Error not_computed(ValueId source_value) const;

  Builder b;
  const Graph& source;

 private:
  ValueId widened(ValueId id);
  Status follow_bounds(const Node& node, size_t first);
  bool stated(const Node& node, size_t index) const;
  const Value* said(ValueId source_value) const;
  const SourceAttr* find_attr(const Node& node, std::string_view name) const;
  void wrong(const Node& node, std::string_view name, const char* expected);

  std::vector<ValueId> mapped_;
  std::vector<int> reads_;
  std::vector<ValueId> numbers_;   ///< of the current node: 0-d constants that PyTorch does not treat as tensors
  mutable std::vector<int> read_;  ///< attributes of the current node that its row has looked at, by index
  std::optional<Error> error_;
  std::vector<Bound> bounds_;  ///< by value
  size_t left_in_loops_ = kMaxLoopNodes;
};

/// The factor by which resizing multiplies spatial dim `i` of `dims` (scale_factors, or scales_h and scales_w). 0 if
/// the node gives a size instead.
double given_scale(Legalizer& l, const Node& node, size_t i, size_t dims);

/// Whether this is the full compiler: false in compiler.wasm, which pages download for plain networks. What that lacks
/// has its place taken in ir/absent.cpp and jit/kernels/absent.cpp.
extern const bool kFull;

/// The row of an operator, or null.
const OpRow* find_op(std::string_view name);

/// An attribute that a node's row has not read may mean anything: it is refused. (Rows of PyTorch's operators are of
/// one schema each.) In ir/onnx/table.cpp, as onnx_ops().
Status onnx_all_read(const Legalizer& l, const Node& node, const std::vector<int>& read);

// Families (ir/ops/<family>.cpp); ir/ops/table.cpp puts them together.
std::vector<OpRow> attention_ops();
std::vector<OpRow> cast_ops();
std::vector<OpRow> contraction_ops();
std::vector<OpRow> create_ops();
std::vector<OpRow> gather_ops();
std::vector<OpRow> join_ops();
std::vector<OpRow> layout_ops();
std::vector<OpRow> loss_ops();
std::vector<OpRow> norm_ops();
std::vector<OpRow> onnx_ops();
std::vector<OpRow> pointwise_binary_ops();
std::vector<OpRow> pointwise_unary_ops();
std::vector<OpRow> recurrent_ops();
std::vector<OpRow> reduce_ops();
std::vector<OpRow> resize_ops();
std::vector<OpRow> sample_ops();
std::vector<OpRow> scan_ops();
std::vector<OpRow> scatter_ops();
std::vector<OpRow> sort_ops();
std::vector<OpRow> volume_ops();
std::vector<OpRow> window_ops();

}  // namespace kiln
