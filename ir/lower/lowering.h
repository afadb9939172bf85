// The state of one lowering. Functions for each family of canonical nodes use it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ir/lower/view.h"
#include "ir/plan.h"
#include "ir/regions.h"
#include "support/budget.h"
#include "support/function_ref.h"

namespace kiln {

/// An expression on views. Operand 0 is the accumulator; operand i ≥ 1 is operands[i-1], broadcast to the output's
/// dims.
struct Fusion {
  Expr expr;
  std::vector<View> operands;
  bool empty() const { return expr.empty(); }
  /// Applies `expr` to the current result. Its operands 1… are `extra`.
  void then(const Expr& next, const std::vector<View>& extra);
};

/// The epilogue of a kernel. `pick` chooses the strides of each operand's view.
Epilogue make_epilogue(const Fusion& fusion, FunctionRef<Sizes(const View&)> pick);

/// The same for operands [N,C,H,W], with the strides of a contraction (image, no groups, row, column, channel) or of a
/// depthwise convolution (image, row, column, channel).
Epilogue conv_epilogue(const Fusion& fusion);
Epilogue depthwise_epilogue(const Fusion& fusion);

/// A factor's matrix for each of `lead` dims of a result: strides over these (0: broadcast), how each is packed, and
/// the elements of all.
struct Matrices {
  Sizes strides;
  PackSpec pack;
  int64_t elements = 0;
};
Matrices as_they_lie(const View& b, size_t lead);
/// Packed, one batch after the other. Nothing if batches are more than two loops.
std::optional<Matrices> in_panels(const View& b, size_t lead);

/// A convolution on views: every output pixel is a sum of products of a window of x with w.
struct Windows {
  View x;         ///< [N, G, K, H, W] from the first pixel's first tap on; H and W do not matter
  View w;         ///< [G, n, K, KH, KW]
  View c;         ///< [N, G, n, OH, OW]
  Fusion fusion;  ///< operands as c
  std::array<int64_t, 2> stride{1, 1}, dilation{1, 1};  ///< in pixels of x
};
/// Strides or dilations of so many pixels or taps: one that nobody takes is 1, whatever a file says.
inline std::array<int64_t, 2> taken(std::array<int64_t, 2> steps, int64_t rows, int64_t columns) {
  if (rows == 1) steps[0] = 1;
  if (columns == 1) steps[1] = 1;
  return steps;
}
/// A view whose dim `dim` is `groups` dims of equal parts.
View grouped(const View& v, size_t dim, int64_t groups);

class Lowering {
 public:
  Lowering(const Graph& g, Precision p) : graph(g), precision(p) {}
  Result<Plan> run();

  // -- values
  const View& view(ValueId id);
  bool has(const Node& node, size_t i) const { return i < core_inputs(node) && node.inputs[i] != kNoValue; }
  size_t core_inputs(const Node& node) const {
    return node.epilogue.empty() ? node.inputs.size() : static_cast<size_t>(node.epilogue_begin);
  }
  const View& input(const Node& node, size_t i) { return view(node.inputs[i]); }
  Sizes out_dims(const Node& node, size_t result = 0) const {
    return sizes_of(graph.value(node.outputs[result]).shape);
  }
  DType out_dtype(const Node& node, size_t result = 0) const { return graph.value(node.outputs[result]).dtype; }
  Fusion fusion(const Node& node);
  /// Of a convolution, with its bias.
  Fusion conv_fusion(const Node& node);
  int phase_of(const Node& node);

  // -- memory
  /// A new buffer that holds `dims` compactly in `order`.
  View allocate(const Sizes& dims, DType dtype, const Order& order, int phase);
  /// Where a result of a node goes: its place in a concatenation, a buffer with a halo, or a new compact one in
  /// `order`. A kernel may need the `run` innermost dims of `order` to be contiguous. If the place is not, it gets a
  /// compact buffer, and consumers copy.
  View destination(const Node& node, const Order& order, int phase, int run = 0, size_t result = 0);
  /// Where the results of a node go that somebody reads.
  std::vector<View> destinations(const Node& node, const Order& order, int phase);
  /// A copy of `from` in `order`, with stored zeros around it if `halo` asks for them.
  View copied(const View& from, const Order& order, const Halo& halo = {});
  View with_halo(const Sizes& dims, const Halo& halo, int phase);
  /// Fills `whole` outside of the part that starts at `begin` and has sizes `inner`.
  void fill_border(const View& whole, const Sizes& begin, const Sizes& inner, const Expr& value, int phase);
  View constant(const Sizes& dims, DType dtype, std::vector<uint8_t> bytes);

  // -- steps
  struct Pending {
    PlanStep step;
    int phase = kRunPhase;
    int pack_of = -1;  ///< a pack: index (in the pending list) of the consumer
  };
  /// Appends a step; the first num_written(spec) operands are written. Returns its index.
  int append(KernelSpec spec, const std::vector<View>& operands, const std::string& label, int phase = kRunPhase);
  void append_map(const Expr& expr, const View& out, const std::vector<View>& inputs, const std::string& label,
                  int phase);

  /// Of support/budget.h: then nothing more is to be appended, and the node at hand is refused.
  bool over_budget() const {
    return pending_.size() > step_limit(graph.nodes.size()) || constant_bytes_ > kMaxConstantBytes;
  }

  // -- families (one file each)
  Status lower_conv(const Node& node);
  Status lower_transposed_conv(const Node& node);
  Status lower_inverted_residual(const Node& project);
  Status lower_matmul(const Node& node);
  Status lower_attention(const Node& node);
  Status lower_map(const Node& node);
  Status lower_reduce(const Node& node);
  Status lower_norm(const Node& node);
  Status lower_pool(const Node& node);
  Status lower_gather(const Node& node);
  Status lower_scan(const Node& node);
  Status lower_scatter(const Node& node);
  Status lower_sort(const Node& node);
  Status lower_taps(const Node& node);
  Status lower_view(const Node& node);
  Status lower_concat(const Node& node);
  Status lower_pad(const Node& node);
  void lower_branch(const Node& node);
  void lower_join(const Node& node);
  void lower_loop(const Node& node);
  void lower_end_loop(const Node& node);

  /// Zeros that a convolution reads around its input.
  Halo conv_halo(const Node& node) const;
  Halo transposed_halo(const Node& node) const;
  bool is_depthwise(const Node& node);
  /// An image as convolutions read it: channels last, with `halo` around it.
  View channels_last_with(const View& x, const Halo& halo);
  void append_windows(Windows windows, const std::string& label);
  void append_depthwise(const Windows& windows, const std::string& label);
  /// C = A·B with a fused expression, on views [..., M, K], [..., K, N] → [..., M, N]; batch dims broadcast.
  Status product_of(const View& a, const View& b, const View& c, const Fusion& fusion, const std::string& label);
  bool append_product(const View& a, const View& b, const View& c, const Fusion& fusion, const std::string& label);
  struct LateKeys {
    View k, v;
  };
  bool append_attention(const View& q, const View& k, const View& v, const View& c, const Fusion& fusion,
                        const std::string& label, const LateKeys* late = nullptr);
  /// B of a contraction that is appended next: packed or, for a single row of A, as it lies.
  View factor(ContractionSpec& spec, const PackSpec& pack, const View& b, int64_t elements, const std::string& label);
  /// A depthwise convolution's weights [C, 1, KH, KW] as its kernel reads them.
  View depthwise_taps(const View& w);
  /// A packed B for a contraction that is appended next.
  View packed(const PackSpec& spec, const View& source, int64_t elements, const KernelSpec& consumer,
              const std::string& label);
  /// Makes `consumer` the consumer of all packs since pending step `first`.
  void own_packs(size_t first, int consumer);
  Error unsupported(const Node& node, const std::string& what) const;
  static std::string label_of(const Node& node);

  const Graph& graph;
  const Precision precision;
  Plan plan;

 private:
  Result<View> causal_mask(const Node& node, int64_t queries, int64_t keys);
  void find_late_joins();
  void find_inverted_residuals();
  void find_what_ends_in_outputs();
  void plan_placements();
  Status lower_node(const Node& node);
  void copy_small_part(ValueId output);
  View output_copy(ValueId output, const View& from);
  void finish_outputs();
  /// How far apart the elements of B are (format/model.fbs). 0: unknown.
  float spread_of(const Operand& source, const PackSpec& b) const;
  /// Whether B as 16-bit integers, or as sums of its quadrants, keeps the precision, whatever it is multiplied with.
  bool may_be_integers(const Operand& source, const PackSpec& b) const;
  bool may_be_summed(const Operand& source, const PackSpec& b) const;
  void round_weights();
  void round_rows(const PackSpec& rows, const Operand& source, int to, int phase, const std::string& label);
  void number_phases();
  Status limit_load() const;
  void assign_spaces();
  void number_loops(const std::vector<int>& run_index);
  void set_lifetimes();
  void stretch_over_loops();
  std::vector<int> last_tenants() const;
  void set_barriers();
  /// The phase of a step that reads `phase`. A step that needs only constants runs with the first transfer, or before
  /// all runs if there is none.
  int step_phase(int phase) const { return phase < 0 ? first_phase_ : phase; }
  int segment_phase(int segment) const { return segment_time_[static_cast<size_t>(segment)]; }
  int new_buffer(int64_t bytes, int phase);
  View source_view(ValueId id);

  /// What consumers want of the place of a value.
  struct Placement {
    Halo halo;
    ValueId concat = kNoValue;  ///< placed in this concatenation's result …
    int64_t axis = 0, start = 0;
    const Node* through = nullptr;  ///< … or such that this view of it is where that wants to be
    bool lifted = false;  ///< … or, a view of what is to be written between its zeros, in a place of its own
    bool free() const { return concat == kNoValue && !through && !lifted; }
  };
  void lift_halo(const Node& reshape, const Node* producer);
  void place_parts(const Node& concat, const std::vector<const Node*>& producers, std::vector<bool>& barred,
                   std::vector<int>& counts);
  void spread_halos();
  std::optional<View> place_of(ValueId id, const Order& order);
  void make_storage(ValueId id, const Order& order, const std::optional<View>& place);
  static Order order_for_reshape(const View& x, const Sizes& dims, bool* plain);
  Status copy_reshaped(const Node& node, const View& x);
  std::map<ValueId, const Node*> late_joins_;  // concatenations that are lowered when something asks for them
  struct InvertedResidual {
    const Node *expand, *depthwise;
  };
  std::vector<bool> ends_in_output_;                            // behind nothing but resizing
  std::map<const Node*, InvertedResidual> inverted_residuals_;  // by what projects
  std::set<const Node*> inside_;                                // of those: lowered with it
  bool too_large_ = false;                                      // what was allocated last, by far
  std::vector<Placement> placements_;
  std::vector<View> views_;              // by value; buffer < 0: not made yet
  std::map<ValueId, View> small_parts_;  // outputs that are copied already
  std::vector<View> storage_;            // of values some part or view of which was placed in them
  std::vector<Pending> pending_;
  std::vector<int> buffer_phase_;    // when each buffer's contents come up
  std::vector<int> buffer_segment_;  // whose segment it holds; -1: none
  std::vector<int> segment_time_;    // segment → index among transfers
  int first_phase_ = kRunPhase;      // of the first segment that anything reads
  std::map<int, int> segment_buffer_;
  struct Part {  ///< of a segment, beyond what its buffer holds: goes to where its step reads it
    int segment;
    int64_t begin, bytes;
    PlanStep step;
  };
  std::vector<Part> parts_;
  struct Copy {
    View view;
    int region;
  };
  bool still_there(const Copy& copy) const { return copy.view.phase != kRunPhase || regions_.around(copy.region); }
  std::map<std::string, Copy> packs_, copies_;  // copies_: causal masks, too
  Regions regions_;
  std::vector<Operand> when_;  // of the steps that are appended now
  struct Open {                // a branch or a loop
    ValueId token = kNoValue;
    int loop = -1;
    std::vector<View> carried;
    std::vector<Operand> when;  // around a loop
  };
  std::vector<Open> open_;
  std::vector<Loop> loops_;  // of pending steps
  int64_t constant_bytes_ = 0;
};

}  // namespace kiln
