// ONNX: attention without a softmax. What it has seen is a matrix for each head, which each step changes and then
// reads.
#include <cmath>

#include "ir/onnx/rows.h"

namespace kiln {
namespace {

class Steps {
 public:
  Steps(Legalizer& l, const Node& node) : l_(l), b_(l.b), node_(node) {}

  Status run() {
    KILN_TRY(read());
    KILN_ASSIGN(ValueId state, first_state());
    KILN_ASSIGN(const ValueId q, steps_of(0, heads_, queries_, size_));
    KILN_ASSIGN(const ValueId k, steps_of(1, heads_, 1, size_));
    KILN_ASSIGN(const ValueId v, steps_of(2, heads_, 1, width_));
    std::vector<ValueId> sequences{q, k, v};
    if (gates_) {
      const int64_t own = b_.shape(l_.in(node_, 4))[2].value == heads_ ? 1 : size_;
      KILN_ASSIGN(ValueId decay, steps_of(4, heads_, own, 1));
      Fx f;
      KILN_ASSIGN(decay, b_.map(f.finish(f.un(PointOp::exp, f.in(0))), {decay}, DType::f32));
      sequences.push_back(decay);
    }
    if (corrects_) {
      const int64_t own = b_.shape(l_.in(node_, 5))[2].value == 1 ? 1 : heads_;
      KILN_ASSIGN(const ValueId rate, steps_of(5, own, 1, 1));
      sequences.push_back(rate);
    }
    ValueId out = kNoValue;
    if (steps_ == 1) {
      for (ValueId& each : sequences) {
        Shape own = b_.shape(each);
        own.erase(own.begin());
        KILN_ASSIGN(each, b_.reshape(each, own));
      }
      KILN_ASSIGN(out, step(sequences, state));
    } else {
      LoopAttrs attrs;
      attrs.bound = steps_;
      attrs.carried = 1;
      attrs.results = {false};
      KILN_ASSIGN(const auto inside, b_.several(Op::loop, {state}, attrs));
      state = inside[1];
      for (ValueId& each : sequences) {
        KILN_ASSIGN(each, b_.gather(each, inside[0], 0));
      }
      KILN_ASSIGN(out, step(sequences, state));
      KILN_ASSIGN(const auto ends, b_.several(Op::end_loop, {inside[0], state, out}, attrs));
      state = ends[0], out = ends[1];
    }
    // [T, B, heads, queries, width] → [B, T, …]
    KILN_ASSIGN(out, b_.reshape(out, {steps_, batch_, heads_ * queries_ * width_}));
    KILN_ASSIGN(out, b_.permute(out, {1, 0, 2}));
    KILN_TRY(l_.set(node_, out));
    return l_.wants(node_, 1) ? l_.set(node_, state, 1) : ok();
  }

 private:
  Status read() {
    const std::string rule = l_.text(node_, "update_rule", "gated_delta");
    gates_ = rule == "gated" || rule == "gated_delta", corrects_ = rule == "delta" || rule == "gated_delta";
    if (!gates_ && !corrects_ && rule != "linear") return misfit(node_.source + ": there is no rule '" + rule + "'");
    pass_over(l_, node_, {"chunk_size"});  // how it may be computed
    const int64_t all = l_.integer(node_, "q_num_heads", 0);
    heads_ = l_.integer(node_, "kv_num_heads", 0);
    if (heads_ < 1 || all < 1 || all % heads_) return misfit(node_.source + ": the numbers of heads do not fit");
    queries_ = all / heads_;
    for (const size_t i : {0, 1, 2, 4, 5}) {
      const bool wanted = i < 3 || (i == 4 && gates_) || (i == 5 && corrects_);
      if (!wanted && l_.in(node_, i) != kNoValue) return misfit(node_.source + ": the rule takes no such operand");
      if (!wanted) continue;
      KILN_ASSIGN(const ValueId x, l_.need(node_, i));
      const Shape& s = b_.shape(x);
      if (s.size() != 3 || b_.value(x).dtype != DType::f32 || is_empty(s))
        return l_.unsupported(node_, "operand " + std::to_string(i) + " is float32 of three dims, with elements");
      if (i == 0) batch_ = s[0].value, steps_ = s[1].value, size_ = s[2].value / all;
      if (i == 2) width_ = s[2].value / heads_;
      const int64_t own = s[2].value;
      const bool fits = i == 0   ? own == size_ * all
                        : i == 1 ? own == size_ * heads_
                        : i == 2 ? own == width_ * heads_
                        : i == 4 ? own == heads_ || own == heads_ * size_
                                 : own == heads_ || own == 1;
      if (s[0].value != batch_ || s[1].value != steps_ || !fits)
        return misfit(node_.source + ": operand " + std::to_string(i) + " is " + to_string(s));
    }
    scale_ = l_.number(node_, "scale", 0);
    if (scale_ == 0) scale_ = 1 / std::sqrt(static_cast<double>(size_));
    return ok();
  }

  Result<ValueId> first_state() {
    const Shape wanted{batch_, heads_, size_, width_};
    const ValueId given = l_.in(node_, 3);
    if (given == kNoValue) return b_.expand(b_.scalar(0, DType::f32), wanted);
    if (b_.shape(given) != wanted || b_.value(given).dtype != DType::f32)
      return misfit(node_.source + ": the state is float32[" + to_string(wanted) + "]");
    return given;
  }

  /// Operand i, step by step: [T, B, heads, rows, columns].
  Result<ValueId> steps_of(size_t i, int64_t heads, int64_t rows, int64_t columns) {
    KILN_ASSIGN(const ValueId x, b_.permute(l_.in(node_, i), {1, 0, 2}));
    return b_.reshape(x, {steps_, batch_, heads, rows, columns});
  }

  /// What a step reads, [B, heads, queries, width]; the state becomes that after it.
  Result<ValueId> step(const std::vector<ValueId>& own, ValueId& state) {
    const ValueId q = own[0], k = own[1];
    ValueId v = own[2];
    if (gates_) {
      Fx f;
      KILN_ASSIGN(state, b_.map(f.finish(f.in(0) * f.in(1)), {state, own[3]}, DType::f32));
    }
    if (corrects_) {
      KILN_ASSIGN(const ValueId known, b_.matmul(k, state));
      Fx f;
      KILN_ASSIGN(v, b_.map(f.finish(f.in(2) * (f.in(0) - f.in(1))), {v, known, own.back()}, DType::f32));
    }
    KILN_ASSIGN(const ValueId column, b_.reshape(k, {batch_, heads_, size_, 1}));
    Fx f;
    KILN_ASSIGN(state, b_.map(f.finish(f.in(0) + f.in(1) * f.in(2)), {state, column, v}, DType::f32));
    KILN_ASSIGN(const ValueId out, b_.matmul(q, state));
    Fx g;
    return b_.map(g.finish(g.in(0) * scale_), {out}, DType::f32);
  }

  Legalizer& l_;
  Builder& b_;
  const Node& node_;
  bool gates_ = false, corrects_ = false;
  int64_t batch_ = 0, steps_ = 0, heads_ = 0, queries_ = 0, size_ = 0, width_ = 0;
  double scale_ = 1;
};

Status linear_attention(Legalizer& l, const Node& node) { return Steps(l, node).run(); }

}  // namespace

std::vector<OpRow> onnx_linear_attention_ops() { return {{"onnx.LinearAttention", linear_attention}}; }

}  // namespace kiln
