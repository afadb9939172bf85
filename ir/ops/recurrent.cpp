// LSTM, GRU and RNN of several layers and directions.
#include "ir/legalizer.h"
#include "ir/recurrence.h"

namespace kiln {
namespace {

/// The weights of one direction of a layer are the next operands of the node.
struct Weights {
  const std::vector<ValueId>& all;
  size_t next;
  ValueId take() { return next < all.size() ? all[next++] : kNoValue; }
};

Status recurrent(Legalizer& l, const Node& node, Recurrence r) {
  if (l.flag(node, "train", false) && l.number(node, "dropout", 0) > 0)
    return l.unsupported(node, "export the model in evaluation mode (model.eval())");
  const int64_t layers = l.integer(node, "num_layers", 1), directions = l.flag(node, "bidirectional", false) ? 2 : 1;
  const bool biases = l.flag(node, "has_biases", true), batch_first = l.flag(node, "batch_first", false);
  const size_t states = r.cell == Cell::lstm ? 2 : 1;
  std::vector<ValueId> operands;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId id, l.need_f32(node, i));
    operands.push_back(id);
  }
  const auto given = static_cast<int64_t>(operands.size()) - 1 - static_cast<int64_t>(states);
  if (layers < 1 || layers > given) return misfit(node.source + ": another number of weights than layers");
  const int64_t each = given / (layers * directions), plain = biases ? 4 : 2;
  const bool projects = r.cell == Cell::lstm && each == plain + 1;
  if (each * layers * directions != given || (each != plain && !projects))
    return misfit(node.source + ": another number of weights than layers");
  ValueId x = operands[0];
  if (l.b.rank(x) != 3) return misfit(node.source + ": the input has " + std::to_string(l.b.rank(x)) + " dims, not 3");
  if (batch_first) {
    KILN_ASSIGN(x, l.b.permute(x, {1, 0, 2}));
  }
  const auto part = [&](ValueId of, int64_t index) -> Result<ValueId> {
    if (l.b.rank(of) != 3) return misfit(node.source + ": a state has another rank than 3");
    KILN_ASSIGN(const ValueId row, l.b.slice_axis(of, 0, index, 1));
    return l.b.reshape(row, {l.b.shape(row)[1], l.b.shape(row)[2]});
  };
  Weights weights{operands, 1 + states};
  std::vector<ValueId> ends[2];
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<ValueId> sides;
    for (int64_t d = 0; d < directions; ++d) {
      KILN_ASSIGN(r.state, part(operands[1], layer * directions + d));
      if (states == 2) {
        KILN_ASSIGN(r.memory, part(operands[2], layer * directions + d));
      }
      r.w = weights.take(), r.r = weights.take();
      r.w_bias = biases ? weights.take() : kNoValue, r.r_bias = biases ? weights.take() : kNoValue;
      r.projection = projects ? weights.take() : kNoValue;
      r.backwards = d == 1;
      KILN_ASSIGN(const Recurred made, recur(l.b, x, r));
      sides.push_back(made.all);
      const ValueId last[] = {made.state, made.memory};
      for (size_t s = 0; s < states; ++s) {
        Shape shape = l.b.shape(last[s]);
        shape.insert(shape.begin(), Dim(1));
        KILN_ASSIGN(const ValueId row, l.b.reshape(last[s], shape));
        ends[s].push_back(row);
      }
    }
    KILN_ASSIGN(x, l.b.concat(std::move(sides), 2));
  }
  if (batch_first) {
    KILN_ASSIGN(x, l.b.permute(x, {1, 0, 2}));
  }
  KILN_TRY(l.set(node, x));
  for (size_t s = 0; s < states; ++s) {
    if (!l.wants(node, 1 + s)) continue;
    KILN_ASSIGN(const ValueId y, l.b.concat(std::move(ends[s]), 0));
    KILN_TRY(l.set(node, y, 1 + s));
  }
  return ok();
}

constexpr auto kSigmoid = [](Fx& f, Term x) { return f.un(PointOp::sigmoid, x); };
constexpr auto kTanh = [](Fx& f, Term x) { return f.un(PointOp::tanh, x); };
constexpr auto kRelu = [](Fx& f, Term x) { return f.bin(PointOp::max, x, f.c(0)); };

/// Gates as PyTorch orders them: input, forget, cell, output.
Status lstm(Legalizer& l, const Node& node) {
  Recurrence r;
  r.cell = Cell::lstm, r.gates = {0, 3, 1, 2};
  r.activations = {kSigmoid, kTanh, kTanh};
  return recurrent(l, node, std::move(r));
}
/// Reset, update, new.
Status gru(Legalizer& l, const Node& node) {
  Recurrence r;
  r.cell = Cell::gru, r.gates = {1, 0, 2}, r.reset_after = true;
  r.activations = {kSigmoid, kTanh};
  return recurrent(l, node, std::move(r));
}
Status rnn_tanh(Legalizer& l, const Node& node) {
  Recurrence r;
  r.activations = {kTanh};
  return recurrent(l, node, std::move(r));
}
Status rnn_relu(Legalizer& l, const Node& node) {
  Recurrence r;
  r.activations = {kRelu};
  return recurrent(l, node, std::move(r));
}

}  // namespace

std::vector<OpRow> recurrent_ops() {
  return {
      {"aten.gru.input", gru},
      {"aten.lstm.input", lstm},
      {"aten.rnn_relu.input", rnn_relu},
      {"aten.rnn_tanh.input", rnn_tanh},
  };
}

}  // namespace kiln
