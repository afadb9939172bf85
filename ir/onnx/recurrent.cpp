// ONNX: LSTM, GRU, RNN.
#include "ir/onnx/rows.h"
#include "ir/recurrence.h"

namespace kiln {
namespace {

/// An activation as ONNX names it, with its parameters.
struct Activation {
  std::string name;
  double alpha, beta;

  Term operator()(Fx& f, Term x) const {
    const Term zero = f.c(0);
    if (name == "Sigmoid") return f.un(PointOp::sigmoid, x);
    if (name == "Tanh") return f.un(PointOp::tanh, x);
    if (name == "Relu") return f.bin(PointOp::max, x, zero);
    if (name == "Affine") return x * alpha + beta;
    if (name == "LeakyRelu") return f.where(f.bin(PointOp::lt, x, zero), x * alpha, x);
    if (name == "ThresholdedRelu") return f.where(f.bin(PointOp::gt, x, f.c(alpha)), x, zero);
    if (name == "ScaledTanh") return f.un(PointOp::tanh, x * beta) * alpha;
    if (name == "HardSigmoid") return f.bin(PointOp::max, f.bin(PointOp::min, x * alpha + beta, f.c(1)), zero);
    if (name == "Elu") return f.where(f.bin(PointOp::lt, x, zero), f.un(PointOp::expm1, x) * alpha, x);
    if (name == "Softsign") return x / (f.un(PointOp::abs, x) + 1);
    const Term far = f.un(PointOp::log1p, f.un(PointOp::exp, f.un(PointOp::neg, f.un(PointOp::abs, x))));
    return f.bin(PointOp::max, x, zero) + far;  // Softplus
  }
};

/// Names in the order of ONNX's defaults, and how many parameters each takes.
struct Known {
  const char* name;
  int parameters;
  double alpha, beta;
};
constexpr Known kActivations[] = {{"Sigmoid", 0, 0, 0},      {"Tanh", 0, 0, 0},
                                  {"Relu", 0, 0, 0},         {"Affine", 2, 1, 0},
                                  {"LeakyRelu", 1, 0.01, 0}, {"ThresholdedRelu", 1, 1, 0},
                                  {"ScaledTanh", 2, 1, 1},   {"HardSigmoid", 2, 0.2, 0.5},
                                  {"Elu", 1, 1, 0},          {"Softsign", 0, 0, 0},
                                  {"Softplus", 0, 0, 0}};

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return text;
}

/// Of all directions; parameters belong to the functions in their order.
Result<std::vector<Activation>> activations_of(Legalizer& l, const Node& node, std::vector<std::string> names,
                                               size_t directions) {
  const std::vector<std::string> given = l.texts(node, "activations");
  const std::vector<double> alphas = l.numbers(node, "activation_alpha"), betas = l.numbers(node, "activation_beta");
  if (given.empty()) {
    const std::vector<std::string> once = names;
    for (size_t d = 1; d < directions; ++d) names.insert(names.end(), once.begin(), once.end());
  } else {
    if (given.size() != names.size() * directions) return misfit(node.source + ": another number of activations");
    names = given;
  }
  std::vector<Activation> all;
  size_t alpha = 0, beta = 0;
  for (const std::string& name : names) {
    const Known* found = nullptr;
    for (const Known& known : kActivations)
      if (lower_case(known.name) == lower_case(name)) found = &known;
    if (!found) return l.unsupported(node, "there is no activation '" + name + "'");
    Activation a{found->name, found->alpha, found->beta};
    if (found->parameters > 0 && alpha < alphas.size()) a.alpha = alphas[alpha++];
    if (found->parameters > 1 && beta < betas.size()) a.beta = betas[beta++];
    all.push_back(std::move(a));
  }
  return all;
}

/// Part `d` of an operand along its first axis, without it; kNoValue of an absent one.
Result<ValueId> of_direction(Legalizer& l, ValueId id, int64_t d) {
  if (id == kNoValue) return id;
  if (l.b.rank(id) < 1) return misfit("an operand of a recurrence has no dims");
  KILN_ASSIGN(const ValueId part, l.b.slice_axis(id, 0, d, 1));
  Shape shape = l.b.shape(part);
  shape.erase(shape.begin());
  return l.b.reshape(part, shape);
}

Result<ValueId> turned(Legalizer& l, ValueId id, std::vector<int64_t> axes) {
  if (id == kNoValue) return id;
  if (l.b.rank(id) != static_cast<int64_t>(axes.size())) return misfit("an operand of a recurrence has another rank");
  return l.b.permute(id, std::move(axes));
}

/// Directions side by side along a new axis.
Result<ValueId> together(Legalizer& l, const std::vector<ValueId>& parts, int64_t axis) {
  std::vector<ValueId> rows;
  for (ValueId id : parts) {
    Shape shape = l.b.shape(id);
    shape.insert(shape.begin() + axis, Dim(1));
    KILN_ASSIGN(const ValueId row, l.b.reshape(id, shape));
    rows.push_back(row);
  }
  return l.b.concat(std::move(rows), axis);
}

Status recurrent(Legalizer& l, const Node& node, Recurrence r, const std::vector<std::string>& defaults) {
  const std::string direction = lower_case(l.text(node, "direction", "forward"));
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    return misfit(node.source + ": the direction is '" + direction + "'");
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  pass_over(l, node, {"hidden_size", "output_sequence"});
  const bool batch_first = l.flag(node, "layout", false);
  r.clip = l.number(node, "clip", 0);
  r.reset_after = r.cell == Cell::gru && l.flag(node, "linear_before_reset", false);
  r.coupled = r.cell == Cell::lstm && l.flag(node, "input_forget", false);
  KILN_ASSIGN(const std::vector<Activation> functions,
              activations_of(l, node, defaults, static_cast<size_t>(directions)));
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(const ValueId w, l.need(node, 1));
  KILN_ASSIGN(const ValueId weights, l.need(node, 2));
  const ValueId bias = l.in(node, 3), holes = l.in(node, 7);
  ValueId state = l.in(node, 5), memory = l.in(node, 6);
  if (batch_first) {
    KILN_ASSIGN(x, turned(l, x, {1, 0, 2}));
    KILN_ASSIGN(state, turned(l, state, {1, 0, 2}));
    KILN_ASSIGN(memory, turned(l, memory, {1, 0, 2}));
  }
  if (l.in(node, 4) != kNoValue) {
    KILN_ASSIGN(r.lengths, l.b.cast(l.in(node, 4), DType::i64));
  }
  for (ValueId id : {w, weights, bias, state, memory, holes})
    if (id != kNoValue && (l.b.rank(id) < 1 || l.b.shape(id)[0] != Dim(directions)))
      return misfit(node.source + ": an operand is not of " + std::to_string(directions) + " directions");
  std::vector<ValueId> all, states, memories;
  for (int64_t d = 0; d < directions; ++d) {
    KILN_ASSIGN(r.w, of_direction(l, w, d));
    KILN_ASSIGN(r.r, of_direction(l, weights, d));
    KILN_ASSIGN(r.state, of_direction(l, state, d));
    KILN_ASSIGN(r.memory, of_direction(l, memory, d));
    KILN_ASSIGN(r.peepholes, of_direction(l, holes, d));
    KILN_ASSIGN(const ValueId both, of_direction(l, bias, d));
    if (both != kNoValue) {
      const int64_t rows = l.b.rank(both) == 1 ? l.b.shape(both)[0].value / 2 : 0;
      KILN_ASSIGN(r.w_bias, l.b.slice_axis(both, 0, 0, rows));
      KILN_ASSIGN(r.r_bias, l.b.slice_axis(both, 0, rows, rows));
    }
    r.backwards = direction == "reverse" || d == 1;
    r.activations.clear();
    for (size_t i = 0; i < defaults.size(); ++i)
      r.activations.emplace_back(functions[static_cast<size_t>(d) * defaults.size() + i]);
    KILN_ASSIGN(const Recurred made, recur(l.b, x, r));
    all.push_back(made.all), states.push_back(made.state), memories.push_back(made.memory);
  }
  const std::vector<ValueId>* results[] = {&all, &states, &memories};
  for (size_t i = 0; i < 3 && i < node.outputs.size(); ++i) {
    if (!l.wants(node, i)) continue;
    KILN_ASSIGN(ValueId y, together(l, *results[i], i == 0 ? 1 : 0));
    if (batch_first) {
      KILN_ASSIGN(y, turned(l, y, i == 0 ? std::vector<int64_t>{2, 0, 1, 3} : std::vector<int64_t>{1, 0, 2}));
    }
    KILN_TRY(l.set(node, y, i));
  }
  return ok();
}

Status lstm(Legalizer& l, const Node& node) {
  Recurrence r;
  r.cell = Cell::lstm, r.gates = {0, 1, 2, 3};
  return recurrent(l, node, r, {"Sigmoid", "Tanh", "Tanh"});
}
Status gru(Legalizer& l, const Node& node) {
  Recurrence r;
  r.cell = Cell::gru, r.gates = {0, 1, 2};
  return recurrent(l, node, r, {"Sigmoid", "Tanh"});
}
Status rnn(Legalizer& l, const Node& node) { return recurrent(l, node, Recurrence{}, {"Tanh"}); }

}  // namespace

std::vector<OpRow> onnx_recurrent_ops() {
  return {
      {"onnx.GRU", gru},
      {"onnx.LSTM", lstm},
      {"onnx.RNN", rnn},
  };
}

}  // namespace kiln
