// Models in a front end's words, drawn from bytes. Most of what is drawn is valid: nodes that the compiler refuses are
// left out, and it is the compiler that says what a node computes.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "tests/support/choices.h"

namespace kiln::testing {

/// Types of what nodes compute; of uint64 the interpreter's doubles hold too little.
constexpr DType kComputed[] = {DType::f32,     DType::i64, DType::i32, DType::u8, DType::i8,
                               DType::boolean, DType::i16, DType::u16, DType::u32};

struct DrawOptions {
  /// Also sizes and arguments that no model has: powers of two and their neighbours up to the ends of 64 bits. Such a
  /// model is to be compiled, not to be run. Without, all is small, but for a weight now and then of more than a MiB.
  bool extremes = false;
  int nodes = 12;           ///< at most
  int64_t elements = 1700;  ///< of a value, at most; not where there are extremes
};

Graph draw_model(Choices& choices, const DrawOptions& options);

/// The model under construction, as the functions that draw nodes see it (drawn_nodes.cpp, drawn_moves.cpp).
class Draft {
 public:
  Draft(Choices& choices, const DrawOptions& options) : c(choices), options_(options) {}

  Graph finish();

  using Ints = std::vector<int64_t>;
  const Shape& shape(ValueId id) const { return g.value(id).shape; }
  int64_t rank(ValueId id) const { return static_cast<int64_t>(shape(id).size()); }
  int64_t dim(ValueId id, int64_t i) const { return shape(id)[static_cast<size_t>(i)].value; }
  DType dtype(ValueId id) const { return g.value(id).dtype; }

  ValueId input();
  /// One of the latest values, weights and constants among them.
  ValueId any();
  /// The same, of a type; kNoValue where there is none.
  ValueId any_of(DType dtype, int64_t least_rank = 0);
  /// A weight, sometimes one that others read too. `large`: of any size.
  ValueId weight(const Ints& dims, bool large = false);
  ValueId constant(const std::vector<double>& numbers, const Ints& dims, DType dtype);

  /// `mild`, or where extremes are wanted sometimes a number out of the dictionary.
  int64_t extreme(int64_t mild);
  int64_t number(int64_t low, int64_t high) { return extreme(c.pick(low, high)); }
  Ints numbers(size_t count, int64_t low, int64_t high);
  double real(double mild);
  /// Axis of a value, sometimes counted from the end.
  int64_t axis(ValueId x);
  Ints axes(ValueId x);

  /// Adds a node whose results have the given types, except where the compiler says otherwise. False: it was refused.
  struct Type {
    DType dtype = DType::f32;
    Ints dims = {};
    bool is_known = false;  ///< the node has no other way to say what it computes
  };
  bool add(const std::string& name, std::vector<ValueId> inputs, std::vector<SourceAttr> attrs,
           std::vector<Type> types);
  bool add(const std::string& name, std::vector<ValueId> inputs, std::vector<SourceAttr> attrs = {},
           DType dtype = DType::f32) {
    return add(name, std::move(inputs), std::move(attrs), {Type{dtype}});
  }

  Graph g;
  Choices& c;

 private:
  bool settle_types(const Node& node, std::vector<Type>& types) const;
  bool is_small(const Type& type) const;
  DrawOptions options_;
  std::vector<ValueId> values_, weights_;
};

/// Draws one node; it may be left out. Of what computes, or of what only moves or makes elements.
void draw_computing_node(Draft& draft);
void draw_moving_node(Draft& draft);

}  // namespace kiln::testing
