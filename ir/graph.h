// The model as values and nodes, in one type with two vocabularies. A reader fills it with the front end's operators
// (Op::source, with their names and generic attributes). The legalize pass rewrites those into the closed set below.
// Every later pass sees only that set.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/size_code.h"
#include "jit/expr.h"
#include "jit/kernel_spec.h"
#include "support/dtype.h"
#include "support/result.h"

namespace kiln {

/// A constant, or a symbol (index into Graph::symbols).
struct Dim {
  Dim(int64_t size = 0) : value(size) {}
  static Dim make_symbol(int index, int64_t example) {
    Dim d(example);
    d.symbol = index;
    return d;
  }
  bool is_constant() const { return symbol < 0; }
  bool operator==(const Dim& o) const { return symbol == o.symbol && (symbol >= 0 || value == o.value); }
  bool operator!=(const Dim& o) const { return !(*this == o); }
  int64_t value;  ///< of a symbol: the example's size
  int symbol = -1;
};
using Shape = std::vector<Dim>;

struct Symbol {
  std::string name;
  int64_t min = 1, max = 0;
  SizeCode code = {};  ///< empty: the load gives the size; else it follows from earlier symbols
};

/// A condition on its symbols' sizes that the model relies on.
struct Guard {
  SizeCode code;     ///< zero if the condition does not hold
  std::string text;  ///< the condition, for people
  std::string where = {};
};

using ValueId = int32_t;
constexpr ValueId kNoValue = -1;

struct Value {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  int segment = -1;           ///< a weight: index into Graph::segments
  std::vector<uint8_t> data;  ///< a small constant: its bytes
  bool typed = true;          ///< false: computed by a source node whose front end states no type
  bool is_weight() const { return segment >= 0; }
  bool is_constant() const { return !data.empty(); }
};

/// Where a weight lies in the file, from the start of the weights.
struct Segment {
  int64_t offset = 0, size = 0;
  int64_t rows = 0;                         ///< of the matrix whose spreads are known
  float row_spread = 0, column_spread = 0;  ///< as format/model.fbs defines them
};

enum class Op : uint8_t {
  source,      ///< a front end's operator: Node::source, Node::source_attrs
  conv,        ///< x [N,C,H,W], w [O,C/g,KH,KW], bias? — ConvAttrs (1-d convolutions arrive as H = 1)
  matmul,      ///< a [...,M,K], b [...,K,N] (or [...,N,K] with transpose_b), batch dims broadcast — MatmulAttrs
  map,         ///< any inputs, broadcast — Node::expr, operand i = inputs[i]
  reduce,      ///< x — ReduceAttrs
  softmax,     ///< x — NormAttrs (axis; log)
  layer_norm,  ///< x, scale?, shift? over the last dims — NormAttrs
  attention,   ///< q [...,L,E], k [...,S,E], v [...,S,Ev], mask? (added, or boolean) — AttentionAttrs
  pool,        ///< x [N,C,H,W] — PoolAttrs
  gather,      ///< table, index — GatherAttrs
  scatter,     ///< x, index, updates: x with elements at places that the index names — ScatterAttrs
  scan,        ///< x: running sums, products, …; of extremes also where they stood — ScanAttrs
  sort,        ///< x → values, indices: some of its elements in order — SortAttrs
  taps,        ///< x: weighted sums of elements of an axis that a table names — TapsAttrs
  reshape,     ///< x, to the output's shape
  permute,     ///< x — axes
  expand,      ///< x, to the output's shape
  slice,       ///< x — SliceAttrs
  concat,      ///< xs — axis
  pad,         ///< x — PadAttrs
  // Control flow is marks between nodes; docs/decisions/0048-control-flow.md says what stands between them.
  branch,    ///< condition (one boolean): a token. From here on nodes need to run only if it holds — BranchAttrs
  join,      ///< tokens of both branches, a value of each: the value of the branch that ran
  loop,      ///< what the loop carries, as it begins: the number of the round, and what it carries now — LoopAttrs
  end_loop,  ///< that number, what the next round gets, what each round adds to results: the last of what is carried,
             ///< and the results — LoopAttrs
};
const char* name_of(Op op);

struct ConvAttrs {
  std::array<int64_t, 2> stride{1, 1}, pad_begin{0, 0}, pad_end{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  /// Pixel i of the input adds w[t] · x[i] to pixel stride · i + dilation · t − pad_begin of the output. Padding makes
  /// the result smaller; a negative pad_end makes it larger.
  bool transposed = false;
};
struct MatmulAttrs {
  bool transpose_b = false;
};
struct ReduceAttrs {
  ReduceKind kind = ReduceKind::sum;
  std::vector<int64_t> axes;
  bool keepdim = false;
};
struct NormAttrs {
  NormKind kind = NormKind::softmax;
  int64_t axis = -1;
  double eps = 0;
};  ///< layer_norm: first normalised axis
struct AttentionAttrs {
  double scale = 1;
  bool causal = false;
};
struct PoolAttrs {
  WindowKind kind = WindowKind::max;
  std::array<int64_t, 2> kernel{1, 1}, stride{1, 1}, pad_begin{0, 0}, pad_end{0, 0}, dilation{1, 1};
  bool count_include_pad = true;
  int64_t divisor = 0;
  std::array<int64_t, 2> even{0, 0};  ///< adaptive: so many windows cover the input evenly; the largest is `kernel`
};
struct AxisAttrs {
  int64_t axis = 0;
};  // concat
/// What there is of all elements up to each along the axis. Of max and min a second result: the index (i64), of equals
/// the last.
struct ScanAttrs {
  int64_t axis = 0;
  ScanKind kind = ScanKind::sum;
};
/// out[b…, x…, i…, y…] = table[b…, x…, index[b…, i…], y…]: the index is on `axis` of the table.
struct GatherAttrs {
  int64_t axis = 0;
  int64_t batch = 0;  ///< dims that table and index share, the first ones
};
/// out = x, but out[b…, x…, index[b…, i…], y…] becomes updates[b…, x…, i…, y…], or is added to it, …; of equal indices
/// one after the other.
struct ScatterAttrs {
  int64_t axis = 0;
  int64_t batch = 0;  ///< dims that x and index share, the first ones
  ScatterKind kind = ScatterKind::replace;
};
struct TapsAttrs {
  int64_t axis = 0, taps = 1;
  std::vector<int32_t> index = {};  ///< [taps][outputs]
  std::vector<float> weights = {};  ///< [taps][outputs]; empty: one tap without a weight
};
/// Of the elements along an axis in order, NaN the greatest and equal ones as they stand, `count` from the `first` on;
/// and where they stood (i64).
struct SortAttrs {
  int64_t axis = 0, first = 0, count = 1;
  bool descending = false;
};
struct PermuteAttrs {
  std::vector<int64_t> axes;
};  // out dim i = in dim axes[i]
struct SliceAttrs {
  std::vector<int64_t> start, step;
};  // per axis; sizes are the output's shape
struct PadAttrs {
  std::vector<int64_t> before, after;
  float value = 0;
  int64_t whole = 0;  ///< the value of integers and booleans
};                    // per axis
struct BranchAttrs {
  bool otherwise = false;  ///< the second of the two: the condition is that of the first, turned round
};
struct LoopAttrs {
  int64_t bound = 0;               ///< so many rounds at most; 0: the condition alone ends it
  bool conditional = false;        ///< what it carries first is a boolean: each round is run only while it holds
  size_t carried = 0;              ///< values, with that one
  std::vector<bool> results = {};  ///< whether each is filled from its end; bound × what a round adds
};
using OpAttrs = std::variant<std::monostate, ConvAttrs, MatmulAttrs, ReduceAttrs, NormAttrs, AttentionAttrs, PoolAttrs,
                             AxisAttrs, PermuteAttrs, SliceAttrs, PadAttrs, TapsAttrs, GatherAttrs, SortAttrs,
                             ScanAttrs, ScatterAttrs, BranchAttrs, LoopAttrs>;

/// An attribute as a front end gave it.
struct SourceAttr {
  std::string name;
  std::variant<std::monostate, int64_t, double, bool, std::string, std::vector<int64_t>, std::vector<double>> value;
  std::vector<int> symbols =
      {};  ///< of integers: the symbol in the place of each, -1 for the number itself; empty: all are numbers
};

struct Body;

struct Node {
  Op op = Op::source;
  std::vector<ValueId> inputs;   ///< kNoValue where an optional one is absent
  std::vector<ValueId> outputs;  ///< of a canonical node, kNoValue where nobody reads a result
  OpAttrs attrs;
  Expr expr;  ///< Op::map
  /// Pointwise expression on the node's result, fused by ir/passes/fuse: operand 0 is the result, operand i ≥ 1 is
  /// inputs[epilogue_begin + i - 1], broadcast against the output. Empty: none.
  Expr epilogue;
  int epilogue_begin = 0;
  std::string source;  ///< the front end's operator, kept for errors and profiles ("aten.relu.default")
  std::string where;   ///< line of the user's code
  std::vector<SourceAttr> source_attrs;
  std::vector<Body> bodies;  ///< of a source node (If, Loop, Scan)
};

/// A graph inside of a node. Its values are among those of the graph, so it reads what is around it by its id.
struct Body {
  std::string name;  ///< of the attribute
  std::vector<ValueId> inputs, outputs;
  std::vector<Node> nodes;
};

/// Calls visit(id) for each value that a node or a graph inside of it reads.
template <class Visit>
void each_read(const Node& node, const Visit& visit) {
  for (ValueId id : node.inputs)
    if (id != kNoValue) visit(id);
  for (const Body& body : node.bodies) {
    for (const Node& inner : body.nodes) each_read(inner, visit);
    for (ValueId id : body.outputs) visit(id);
  }
}

/// An output whose size along an axis a run decides. Its shape says how large it may be.
struct Bounded {
  size_t output = 0;
  int64_t axis = 0;
  size_t count = 0;  ///< the output that has the size: one i32, of the last Graph::counts
};

/// Nodes are in an order in which every value is computed before it is read.
struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<Symbol> symbols;
  std::vector<Guard> guards;
  std::vector<Segment> segments;
  std::vector<uint64_t> block_hashes;  ///< of the weights, block by block, as the file says
  std::vector<uint8_t> block_digests;  ///< the same by SHA-256
  int64_t weights_bytes = 0;
  std::vector<ValueId> inputs, outputs;
  std::vector<Bounded> bounded;
  size_t counts = 0;  ///< so many of the outputs, the last ones, are no results but sizes of results

  ValueId add_value(std::string name, DType dtype, Shape shape);
  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
};

int64_t element_count(const Shape& shape);  ///< of constant dims
/// Whether a dim is 0. Such a value is legal. Builder makes sure that no node computes or reads it.
bool is_empty(const Shape& shape);
std::string to_string(const Shape& shape);  ///< "1x3x224x224"
/// One line a node, for --dump=graph.
std::string to_string(const Graph& graph);

}  // namespace kiln
