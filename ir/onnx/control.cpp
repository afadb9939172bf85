// ONNX: graphs inside nodes. What is known when the model is loaded is written out: the branch that is taken, a few
// rounds of a loop. The rest becomes the marks of control flow (ir/graph.h).
#include <algorithm>
#include <optional>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

constexpr int64_t kMostRounds = INT32_MAX;  ///< are counted

std::string type_text(const Value& v) { return std::string(name_of(v.dtype)) + "[" + to_string(v.shape) + "]"; }

/// The one boolean of an operand.
Result<ValueId> one(Legalizer& l, const Node& node, ValueId id, DType dtype) {
  if (l.b.value(id).dtype != dtype || element_count(l.b.shape(id)) != 1)
    return l.unsupported(node, std::string("one ") + name_of(dtype) + " is expected, not " + type_text(l.b.value(id)));
  return l.b.reshape(id, {});
}

/// The number of an operand that is a constant.
std::optional<int64_t> known(Legalizer& l, ValueId id) {
  if (id == kNoValue || !l.b.value(id).is_constant()) return std::nullopt;
  return first_number(l.b.value(id)).whole;
}

Status set_all(Legalizer& l, const Node& node, const std::vector<ValueId>& values) {
  if (values.size() < node.outputs.size()) return misfit(node.source + ": it has more results than its graph");
  for (size_t i = 0; i < node.outputs.size(); ++i) KILN_TRY(l.set(node, values[i], i));
  return ok();
}

/// A branch that is not taken is not looked at where the condition is known. It may hold anything.
Status if_(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Body* then, l.body(node, "then_branch"));
  KILN_ASSIGN(const Body* otherwise, l.body(node, "else_branch"));
  KILN_ASSIGN(ValueId condition, l.need(node, 0));
  KILN_ASSIGN(condition, one(l, node, condition, DType::boolean));
  if (const auto holds = known(l, condition)) {
    KILN_ASSIGN(const std::vector<ValueId> values, l.run(node, *holds ? *then : *otherwise, {}));
    return set_all(l, node, values);
  }
  Fx f;
  KILN_ASSIGN(const ValueId reverse,
              l.b.map(f.finish(f.un(PointOp::logical_not, f.in(0, Lane::mask))), {condition}, DType::boolean));
  KILN_ASSIGN(const ValueId first, l.b.branch(condition, false));
  KILN_ASSIGN(const std::vector<ValueId> a, l.run(node, *then, {}));
  KILN_ASSIGN(const ValueId second, l.b.branch(reverse, true));
  KILN_ASSIGN(const std::vector<ValueId> b, l.run(node, *otherwise, {}));
  if (a.size() != b.size()) return misfit(node.source + ": its branches have different numbers of results");
  std::vector<ValueId> values;
  for (size_t i = 0; i < a.size(); ++i) {
    const Value &x = l.b.value(a[i]), &y = l.b.value(b[i]);
    if (x.dtype != y.dtype || x.shape != y.shape)
      return l.unsupported(node, "result " + std::to_string(i) + " is " + type_text(x) + " or " + type_text(y) +
                                     ", as a condition says that only a run knows: make the condition a constant, or "
                                     "the results of one type");
    KILN_ASSIGN(const ValueId value, l.b.join(first, second, a[i], b[i]));
    values.push_back(value);
  }
  return set_all(l, node, values);
}

/// What Loop and Scan have in common: rounds that carry values, read parts of others, and add to results.
class Rounds {
 public:
  struct Part {  ///< of an operand or a result: along which axis, and whether from its end
    ValueId of = kNoValue;
    int64_t axis = 0;
    bool backwards = false;
  };

  Rounds(Legalizer& legalizer, const Node& node, const Body& body) : l_(legalizer), node_(node), body_(body) {}

  std::vector<ValueId> carried;
  std::vector<Part> parts, results;
  std::optional<int64_t> trips;  ///< known, or the most that are known
  ValueId most = kNoValue;       ///< the number of rounds, if only a run knows it
  ValueId condition = kNoValue;  ///< of the first round, if only a run knows it
  bool tests = false;            ///< Loop: the body takes the number of the round, and says whether to go on

  Status run() {
    size_ = size_of(body_);
    const bool fixed = most == kNoValue && condition == kNoValue;
    if (trips == 0) return nothing();
    const auto stands_for = [&](size_t most_nodes) {
      return fixed && (!trips || static_cast<size_t>(std::min<int64_t>(*trips, kMostRounds)) <= most_nodes / size_);
    };
    const size_t few = std::min(kFewLoopNodes, l_.left_in_loops());
    if (stands_for(few)) {
      KILN_ASSIGN(const bool done, written_out(few));
      if (done) return ok();
    }
    const Mark mark = here();
    Status status = as_loop();
    if (status.ok() || !trips || !stands_for(l_.left_in_loops() / 2)) return status;
    back_to(mark);  // sizes may change from round to round, or be the round's number
    const Result<bool> done = written_out(l_.left_in_loops() / 2);
    return done.ok() && *done ? ok() : status;
  }

 private:
  struct Mark {
    size_t nodes, values;
  };
  Mark here() const { return {l_.b.graph.nodes.size(), l_.b.graph.values.size()}; }
  void back_to(const Mark& mark) {
    auto& nodes = l_.b.graph.nodes;
    auto& values = l_.b.graph.values;
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(mark.nodes), nodes.end());
    values.erase(values.begin() + static_cast<std::ptrdiff_t>(mark.values), values.end());
  }

  static size_t size_of(const Body& body) {
    size_t n = 1;
    for (const Node& node : body.nodes) {
      ++n;
      for (const Body& inner : node.bodies) n += size_of(inner);
    }
    return n;
  }

  struct Round {
    ValueId go = kNoValue;  ///< whether to go on
    std::vector<ValueId> carried, added;
  };
  Result<Round> round(ValueId number, const std::vector<ValueId>& now, const std::vector<ValueId>& items) {
    std::vector<ValueId> operands;
    if (tests) operands = {number, l_.b.scalar(1, DType::boolean)};
    operands.insert(operands.end(), now.begin(), now.end());
    operands.insert(operands.end(), items.begin(), items.end());
    KILN_ASSIGN(std::vector<ValueId> all, l_.run(node_, body_, operands));
    if (all.size() != now.size() + results.size() + (tests ? 1 : 0))
      return misfit(node_.source + ": its graph has another number of results");
    Round made;
    auto at = all.begin();
    if (tests) {
      KILN_ASSIGN(made.go, one(l_, node_, *at++, DType::boolean));
    }
    made.carried.assign(at, at + static_cast<std::ptrdiff_t>(now.size()));
    made.added.assign(at + static_cast<std::ptrdiff_t>(now.size()), all.end());
    return made;
  }

  /// Parts that rounds add, side by side along a new axis of result i.
  Result<ValueId> in_place(size_t i, ValueId rows) {
    const int64_t rank = l_.b.rank(rows);
    KILN_ASSIGN(const int64_t axis, l_.axis(results[i].axis, rank));
    std::vector<int64_t> axes = all_axes(rank, 1);
    axes.insert(axes.begin() + axis, 0);
    return l_.b.permute(rows, axes);
  }

  /// No round: the types of results are those that one would have.
  Status nothing() {
    std::vector<ValueId> values = carried;
    if (!results.empty()) {
      std::vector<ValueId> items;
      for (const Part& p : parts) {
        Shape shape = l_.b.shape(p.of);
        shape.erase(shape.begin() + p.axis);
        items.push_back(l_.b.graph.add_value("", l_.b.value(p.of).dtype, std::move(shape)));
      }
      KILN_ASSIGN(const Round made, round(l_.b.integers({0}, {}), carried, items));
      for (size_t i = 0; i < results.size(); ++i) {
        Shape shape = l_.b.shape(made.added[i]);
        KILN_ASSIGN(const int64_t axis, l_.axis(results[i].axis, static_cast<int64_t>(shape.size()) + 1));
        shape.insert(shape.begin() + axis, Dim(0));
        values.push_back(l_.b.graph.add_value("", l_.b.value(made.added[i]).dtype, std::move(shape)));
      }
    }
    return set_all(l_, node_, values);
  }

  /// Round after round. False: only a run knows how many there are, or they are more than `most_nodes`.
  Result<bool> written_out(size_t most_nodes) {
    const Mark mark = here();
    std::vector<ValueId> now = carried;
    std::vector<std::vector<ValueId>> rows(results.size());
    bool goes_on = true;
    for (int64_t n = 0; goes_on && (!trips || n < *trips); ++n) {
      if (static_cast<size_t>(n + 1) > most_nodes / size_) return back_to(mark), false;
      std::vector<ValueId> items;
      for (const Part& p : parts) {
        KILN_ASSIGN(const ValueId item, l_.b.slice_axis(p.of, p.axis, p.backwards ? *trips - 1 - n : n, 1));
        Shape shape = l_.b.shape(item);
        shape.erase(shape.begin() + p.axis);
        KILN_ASSIGN(const ValueId flat, l_.b.reshape(item, shape));
        items.push_back(flat);
      }
      KILN_ASSIGN(Round made, round(l_.b.integers({n}, {}), now, items));
      now = std::move(made.carried);
      for (size_t i = 0; i < results.size(); ++i) {
        Shape shape = l_.b.shape(made.added[i]);
        shape.insert(shape.begin(), Dim(1));
        KILN_ASSIGN(const ValueId row, l_.b.reshape(made.added[i], shape));
        rows[i].insert(results[i].backwards ? rows[i].begin() : rows[i].end(), row);
      }
      if (!tests) continue;
      const auto go = known(l_, made.go);
      if (!go) {
        if (trips == n + 1) break;
        return back_to(mark), false;
      }
      goes_on = *go != 0;
    }
    for (size_t i = 0; i < results.size(); ++i) {
      KILN_ASSIGN(const ValueId all, l_.b.concat(std::move(rows[i]), 0));
      KILN_ASSIGN(const ValueId placed, in_place(i, all));
      now.push_back(placed);
    }
    KILN_TRY(set_all(l_, node_, now));
    return true;
  }

  /// left < right, of integers.
  Result<ValueId> less(ValueId left, int64_t plus, ValueId right) {
    Fx f;
    return l_.b.map(f.finish(f.bin(PointOp::lt, f.in(0, Lane::i64) + f.whole(plus, Lane::i64), f.in(1, Lane::i64))),
                    {left, right}, DType::boolean);
  }
  Result<ValueId> both(ValueId a, ValueId b) {
    if (a == kNoValue || b == kNoValue) return a == kNoValue ? b : a;
    Fx f;
    return l_.b.map(f.finish(f.bin(PointOp::logical_and, f.in(0, Lane::mask), f.in(1, Lane::mask))), {a, b},
                    DType::boolean);
  }

  /// One round between marks.
  Status as_loop() {
    std::vector<size_t> kept;  // what has no elements is not carried
    std::vector<ValueId> first;
    for (size_t i = 0; i < carried.size(); ++i)
      if (!is_empty(l_.b.shape(carried[i]))) kept.push_back(i), first.push_back(carried[i]);
    ValueId begins = condition;
    if (most != kNoValue) {
      KILN_ASSIGN(const ValueId some, less(l_.b.integers({0}, {}), 0, most));
      KILN_ASSIGN(begins, both(begins, some));
    }
    LoopAttrs attrs;
    attrs.carried = first.size();
    const size_t at = l_.b.graph.nodes.size();
    KILN_ASSIGN(const std::vector<ValueId> inside, l_.b.several(Op::loop, first, attrs));
    const ValueId number = inside[0];
    std::vector<ValueId> now = carried, items;
    for (size_t i = 0; i < kept.size(); ++i) now[kept[i]] = inside[i + 1];
    for (const Part& p : parts) {
      ValueId index = number;
      if (p.backwards) {
        Fx f;
        const Term last = f.whole(*trips - 1, Lane::i64);
        KILN_ASSIGN(index, l_.b.map(f.finish(last - f.in(0, Lane::i64)), {number}, DType::i64));
      }
      KILN_ASSIGN(const ValueId item, l_.b.gather(p.of, index, p.axis));
      items.push_back(item);
    }
    KILN_ASSIGN(Round made, round(number, now, items));
    for (size_t i = 0; i < carried.size(); ++i) {
      const Value &before = l_.b.value(carried[i]), &after = l_.b.value(made.carried[i]);
      if (before.dtype != after.dtype || before.shape != after.shape)
        return l_.unsupported(
            node_, "value " + std::to_string(i) + " that it carries begins as " + type_text(before) + ", and is " +
                       type_text(after) +
                       " after a round: such a loop needs a number of rounds that is known and small");
    }
    ValueId go = tests && known(l_, made.go) != 1 ? made.go : kNoValue;
    if (most != kNoValue) {
      KILN_ASSIGN(const ValueId more, less(number, 1, most));
      KILN_ASSIGN(go, both(go, more));
    }
    attrs.conditional = begins != kNoValue || go != kNoValue;
    if (!trips && go == kNoValue) return l_.unsupported(node_, "the loop never ends");
    if (!attrs.conditional && *trips > kMostRounds)
      return l_.unsupported(node_, "more than 2^31 rounds are not supported");
    attrs.bound = trips && *trips <= kMostRounds ? *trips : 0;
    if (attrs.conditional && !results.empty())
      return l_.unsupported(node_,
                            "how many parts its results have is known only when it runs: give the loop a number of "
                            "rounds that is known and no condition, or let it carry a tensor of the largest size");
    if (attrs.conditional) {
      KILN_TRY(add_condition(l_.b.graph.nodes[at], begins));
      made.carried.insert(made.carried.begin(), go != kNoValue ? go : l_.b.scalar(1, DType::boolean));
    }
    return close(attrs, at, number, kept, made);
  }

  /// The loop also carries whether it goes on.
  Status add_condition(Node& loop, ValueId begins) {
    if (begins == kNoValue) begins = l_.b.scalar(1, DType::boolean);
    loop.inputs.insert(loop.inputs.begin(), begins);
    loop.outputs.insert(loop.outputs.begin() + 1, l_.b.graph.add_value("", DType::boolean, {}));
    return ok();
  }

  Status close(LoopAttrs attrs, size_t loop, ValueId number, const std::vector<size_t>& kept, const Round& made) {
    const size_t skip = attrs.conditional ? 1 : 0;
    std::vector<ValueId> operands{number}, values(carried);
    if (skip) operands.push_back(made.carried[0]);
    for (const size_t i : kept) operands.push_back(made.carried[i + skip]);
    attrs.carried = kept.size() + skip;
    std::vector<size_t> added;  // results with elements
    for (size_t i = 0; i < results.size(); ++i) {
      if (is_empty(l_.b.shape(made.added[i]))) continue;
      added.push_back(i);
      attrs.results.push_back(results[i].backwards);
      operands.push_back(made.added[i]);
    }
    l_.b.graph.nodes[loop].attrs = attrs;
    KILN_ASSIGN(const std::vector<ValueId> all, l_.b.several(Op::end_loop, operands, attrs));
    for (size_t i = 0; i < kept.size(); ++i) values[kept[i]] = all[skip + i];
    for (size_t i = 0, next = attrs.carried; i < results.size(); ++i) {
      ValueId rows = kNoValue;
      if (std::count(added.begin(), added.end(), i)) {
        rows = all[next++];
      } else {
        Shape shape = l_.b.shape(made.added[i]);
        shape.insert(shape.begin(), Dim(attrs.bound));
        rows = l_.b.graph.add_value("", l_.b.value(made.added[i]).dtype, std::move(shape));
      }
      KILN_ASSIGN(const ValueId placed, in_place(i, rows));
      values.push_back(placed);
    }
    return set_all(l_, node_, values);
  }

  Legalizer& l_;
  const Node& node_;
  const Body& body_;
  size_t size_ = 1;
};

Status loop(Legalizer& l, const Node& node) {
  KILN_ASSIGN(const Body* body, l.body(node, "body"));
  Rounds rounds(l, node, *body);
  rounds.tests = true;
  const ValueId most = l.in(node, 0), condition = l.in(node, 1);
  if (most != kNoValue) {
    KILN_ASSIGN(const ValueId number, one(l, node, most, DType::i64));
    if (const auto known_trips = known(l, number))
      rounds.trips = std::max<int64_t>(*known_trips, 0);
    else
      rounds.most = number;
  }
  if (condition != kNoValue) {
    KILN_ASSIGN(const ValueId begins, one(l, node, condition, DType::boolean));
    const auto holds = known(l, begins);
    if (!holds) rounds.condition = begins;
    if (holds == 0) rounds.trips = 0, rounds.most = kNoValue;
  }
  for (size_t i = 2; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId first, l.need(node, i));
    rounds.carried.push_back(first);
  }
  if (body->outputs.size() < rounds.carried.size() + 1)
    return misfit(node.source + ": its graph has fewer results than it carries values");
  rounds.results.resize(body->outputs.size() - rounds.carried.size() - 1);
  return rounds.run();
}

/// Entry i of a list of one number for each operand or result; 0 if there is no list.
Result<int64_t> entry(const Node& node, const std::vector<int64_t>& list, size_t i, size_t size) {
  if (list.empty()) return int64_t{0};
  if (list.size() != size) return misfit(node.source + ": a list has another length than there are operands");
  return list[i];
}

Status scan(Legalizer& l, const Node& node) {
  if (opset(l, node) < 9) return l.unsupported(node, "opsets before 9 are not supported: convert the file");
  KILN_ASSIGN(const Body* body, l.body(node, "body"));
  const int64_t scanned = l.integer(node, "num_scan_inputs", 0);
  if (scanned < 1 || static_cast<size_t>(scanned) > node.inputs.size())
    return misfit(node.source + ": num_scan_inputs is out of range");
  const size_t count = static_cast<size_t>(scanned), states = node.inputs.size() - count;
  if (body->outputs.size() < states) return misfit(node.source + ": its graph has fewer results than states");
  Rounds rounds(l, node, *body);
  for (size_t i = 0; i < states; ++i) {
    KILN_ASSIGN(const ValueId first, l.need(node, i));
    rounds.carried.push_back(first);
  }
  const std::vector<int64_t> in_axes = l.integers(node, "scan_input_axes"),
                             in_backwards = l.integers(node, "scan_input_directions"),
                             out_axes = l.integers(node, "scan_output_axes"),
                             out_backwards = l.integers(node, "scan_output_directions");
  for (size_t i = 0; i < count; ++i) {
    Rounds::Part part;
    KILN_ASSIGN(part.of, l.need(node, states + i));
    if (l.b.rank(part.of) == 0) return misfit(node.source + ": a scalar has no axis to go along");
    KILN_ASSIGN(part.axis, entry(node, in_axes, i, count));
    KILN_ASSIGN(part.axis, l.axis(part.axis, l.b.rank(part.of)));
    KILN_ASSIGN(const int64_t backwards, entry(node, in_backwards, i, count));
    part.backwards = backwards != 0;
    const int64_t size = l.b.shape(part.of)[static_cast<size_t>(part.axis)].value;
    if (rounds.trips.value_or(size) != size) return misfit(node.source + ": its operands have different lengths");
    rounds.trips = size;
    rounds.parts.push_back(part);
  }
  for (size_t i = 0; i < body->outputs.size() - states; ++i) {
    Rounds::Part result;
    KILN_ASSIGN(result.axis, entry(node, out_axes, i, body->outputs.size() - states));
    KILN_ASSIGN(const int64_t backwards, entry(node, out_backwards, i, body->outputs.size() - states));
    result.backwards = backwards != 0;
    rounds.results.push_back(result);
  }
  return rounds.run();
}

}  // namespace

std::vector<OpRow> onnx_control_ops() {
  return {
      {"onnx.If", if_},
      {"onnx.Loop", loop},
      {"onnx.Scan", scan},
  };
}

}  // namespace kiln
