#include "ir/recurrence.h"

namespace kiln {
namespace {

class Steps {
 public:
  Steps(Builder& builder, const Recurrence& recurrence) : b_(builder), r_(recurrence) {}

  Result<Recurred> run(ValueId x) {
    KILN_TRY(check(x));
    const Shape sizes = b_.shape(x);
    steps_ = sizes[0].value, batch_ = sizes[1].value;
    Recurred now;
    KILN_ASSIGN(now.state, first(r_.state, state_));
    if (r_.cell == Cell::lstm) {
      KILN_ASSIGN(now.memory, first(r_.memory, hidden_));
    }
    if (steps_ == 0 || batch_ == 0) {
      now.all = b_.graph.add_value("", DType::f32, {Dim(steps_), Dim(batch_), Dim(state_)});
      return now;
    }
    if (r_.lengths != kNoValue) {
      KILN_ASSIGN(lengths_, b_.reshape(r_.lengths, {Dim(batch_), Dim(1)}));
    }
    KILN_ASSIGN(const ValueId inputs, input_parts(x));
    if (steps_ == 1) {
      KILN_ASSIGN(const ValueId own, b_.reshape(inputs, {Dim(batch_), Dim(rows_)}));
      KILN_ASSIGN(const ValueId number, number_of(b_.integers({0}, {})));
      KILN_ASSIGN(now, step(own, now, number));
      KILN_ASSIGN(now.all, b_.reshape(now.all, {Dim(1), Dim(batch_), Dim(state_)}));
      return now;
    }
    return loop(inputs, now);
  }

 private:
  Status check(ValueId x) {
    const auto expect = [&](ValueId id, const Shape& shape, const char* what) {
      if (id == kNoValue || (b_.shape(id) == shape && b_.value(id).dtype == DType::f32)) return ok();
      return Status(misfit(std::string(what) + " is " + name_of(b_.value(id).dtype) + "[" + to_string(b_.shape(id)) +
                           "] in place of float32[" + to_string(shape) + "]"));
    };
    if (b_.rank(x) != 3 || b_.rank(r_.w) != 2 || b_.rank(r_.r) != 2) return misfit("a recurrence of another rank");
    rows_ = b_.shape(r_.r)[0].value, state_ = b_.shape(r_.r)[1].value;
    const auto gates = static_cast<int64_t>(r_.gates.size());
    if (rows_ < 1 || rows_ % gates != 0) return misfit("the weights do not fit the number of gates");
    hidden_ = rows_ / gates;
    KILN_TRY(expect(r_.w, {Dim(rows_), b_.shape(x)[2]}, "the weight of the inputs"));
    KILN_TRY(expect(x, b_.shape(x), "the input"));
    KILN_TRY(expect(r_.r, {Dim(rows_), Dim(state_)}, "the weight of the state"));
    KILN_TRY(expect(r_.w_bias, {Dim(rows_)}, "a bias"));
    KILN_TRY(expect(r_.r_bias, {Dim(rows_)}, "a bias"));
    KILN_TRY(expect(r_.peepholes, {Dim(3 * hidden_)}, "the peepholes"));
    KILN_TRY(expect(r_.projection, {Dim(state_), Dim(hidden_)}, "the projection"));
    if (r_.projection == kNoValue && state_ != hidden_) return misfit("the state is of another size than the gates");
    KILN_TRY(expect(r_.state, {b_.shape(x)[1], Dim(state_)}, "the state"));
    KILN_TRY(expect(r_.memory, {b_.shape(x)[1], Dim(hidden_)}, "the memory"));
    if (r_.lengths != kNoValue && b_.shape(r_.lengths) != Shape{b_.shape(x)[1]})
      return misfit("there is not one length for each sequence");
    return ok();
  }

  Result<ValueId> first(ValueId given, int64_t size) {
    if (given != kNoValue) return given;
    return b_.expand(b_.scalar(0, DType::f32), {Dim(batch_), Dim(size)});
  }

  Result<ValueId> add(ValueId x, ValueId y) {
    if (x == kNoValue || y == kNoValue) return x == kNoValue ? y : x;
    Fx f;
    return b_.map(f.finish(f.in(0) + f.in(1)), {x, y}, DType::f32);
  }

  /// What all steps' inputs give to all gates. A bias of the state belongs to it where the reset gate does not apply.
  Result<ValueId> input_parts(ValueId x) {
    KILN_ASSIGN(const ValueId flat, b_.reshape(x, {Dim(steps_ * batch_), b_.shape(x)[2]}));
    KILN_ASSIGN(ValueId parts, b_.matmul(flat, r_.w, true));
    ValueId bias = r_.w_bias;
    if (!r_.reset_after) {
      KILN_ASSIGN(bias, add(bias, r_.r_bias));
    }
    KILN_ASSIGN(parts, add(parts, bias));
    return b_.reshape(parts, {Dim(steps_), Dim(batch_), Dim(rows_)});
  }

  Result<ValueId> gate(ValueId parts, size_t which) {
    return b_.slice_axis(parts, b_.rank(parts) - 1, r_.gates[which] * hidden_, hidden_);
  }
  Result<ValueId> rows_of(ValueId weights, size_t which, size_t count) {
    return b_.slice_axis(weights, 0, r_.gates[which] * hidden_, static_cast<int64_t>(count) * hidden_);
  }

  Term clipped(Fx& f, Term x) const {
    if (r_.clip <= 0) return x;
    return f.bin(PointOp::max, f.bin(PointOp::min, x, f.c(r_.clip)), f.c(-r_.clip));
  }
  Term active(Fx& f, size_t which, Term x) const { return r_.activations[which](f, clipped(f, x)); }

  /// One step from its part of the inputs; the number of the step is for lengths.
  Result<Recurred> step(ValueId inputs, const Recurred& before, ValueId number) {
    Recurred now;
    switch (r_.cell) {
      case Cell::rnn: {
        KILN_ASSIGN(const ValueId product, b_.matmul(before.state, r_.r, true));
        Fx f;
        KILN_ASSIGN(now.state, b_.map(f.finish(active(f, 0, f.in(0) + f.in(1))), {product, inputs}, DType::f32));
        break;
      }
      case Cell::gru: {
        KILN_ASSIGN(now.state, gru(inputs, before.state));
        break;
      }
      case Cell::lstm: {
        KILN_ASSIGN(now, lstm(inputs, before));
        break;
      }
    }
    now.all = now.state;
    if (lengths_ == kNoValue) return now;
    const auto chosen = [&](ValueId fresh, ValueId old) {
      Fx f;
      const Term zero = f.c(0), kept = old == kNoValue ? zero : f.in(3);
      const Term is_there = f.bin(PointOp::lt, f.in(0, Lane::i64), f.in(1, Lane::i64));
      std::vector<ValueId> operands{number, lengths_, fresh};
      if (old != kNoValue) operands.push_back(old);
      return b_.map(f.finish(f.where(is_there, f.in(2), kept)), std::move(operands), DType::f32);
    };
    KILN_ASSIGN(now.all, chosen(now.state, kNoValue));
    KILN_ASSIGN(now.state, chosen(now.state, before.state));
    if (now.memory != kNoValue) {
      KILN_ASSIGN(now.memory, chosen(now.memory, before.memory));
    }
    return now;
  }

  Result<ValueId> gru(ValueId inputs, ValueId state) {
    KILN_ASSIGN(const ValueId in_update, gate(inputs, 0));
    KILN_ASSIGN(const ValueId in_reset, gate(inputs, 1));
    KILN_ASSIGN(const ValueId in_new, gate(inputs, 2));
    Fx last;  // of the update gate's sum, the old state, the new one's input, and what the reset gate lets through
    if (r_.reset_after) {
      KILN_ASSIGN(ValueId product, b_.matmul(state, r_.r, true));
      KILN_ASSIGN(product, add(product, r_.r_bias));
      KILN_ASSIGN(const ValueId update, gate(product, 0));
      KILN_ASSIGN(const ValueId reset, gate(product, 1));
      KILN_ASSIGN(const ValueId fresh, gate(product, 2));
      const Term r = active(last, 0, last.in(2) + last.in(3));
      const Term n = active(last, 1, last.in(4) + r * last.in(5)), z = active(last, 0, last.in(0) + last.in(1));
      return b_.map(last.finish(n + z * (last.in(6) - n)), {in_update, update, in_reset, reset, in_new, fresh, state},
                    DType::f32);
    }
    const auto sum = [&](size_t which) -> Result<ValueId> {
      KILN_ASSIGN(const ValueId weights, rows_of(r_.r, which, 1));
      return b_.matmul(state, weights, true);
    };
    KILN_ASSIGN(const ValueId update, sum(0));
    KILN_ASSIGN(const ValueId reset, sum(1));
    Fx f;
    KILN_ASSIGN(const ValueId let_through,
                b_.map(f.finish(active(f, 0, f.in(0) + f.in(1)) * f.in(2)), {in_reset, reset, state}, DType::f32));
    KILN_ASSIGN(const ValueId weights, rows_of(r_.r, 2, 1));
    KILN_ASSIGN(const ValueId fresh, b_.matmul(let_through, weights, true));
    const Term n = active(last, 1, last.in(2) + last.in(3)), z = active(last, 0, last.in(0) + last.in(1));
    return b_.map(last.finish(n + z * (last.in(4) - n)), {in_update, update, in_new, fresh, state}, DType::f32);
  }

  Result<Recurred> lstm(ValueId inputs, const Recurred& before) {
    KILN_ASSIGN(ValueId product, b_.matmul(before.state, r_.r, true));
    KILN_ASSIGN(product, add(product, inputs));
    ValueId parts[4], holes[3] = {kNoValue, kNoValue, kNoValue};
    for (size_t i = 0; i < 4; ++i) {
      KILN_ASSIGN(parts[i], gate(product, i));
    }
    for (size_t i = 0; i < 3 && r_.peepholes != kNoValue; ++i) {
      KILN_ASSIGN(holes[i], b_.slice_axis(r_.peepholes, 0, static_cast<int64_t>(i) * hidden_, hidden_));
    }
    const bool looks = r_.peepholes != kNoValue;
    Fx f;  // input, forget, cell, memory, peepholes of input and forget
    const Term i = active(f, 0, looks ? f.in(0) + f.in(4) * f.in(3) : f.in(0));
    const Term forget = r_.coupled ? f.c(1) - i : active(f, 0, looks ? f.in(1) + f.in(5) * f.in(3) : f.in(1));
    const Term fresh = active(f, 1, f.in(2));
    std::vector<ValueId> operands{parts[0], parts[2], parts[3], before.memory};
    if (looks) operands.insert(operands.end(), {holes[0], holes[2]});
    Recurred now;
    KILN_ASSIGN(now.memory, b_.map(f.finish(forget * f.in(3) + i * fresh), std::move(operands), DType::f32));
    Fx g;  // output, memory, peephole
    const Term o = active(g, 0, looks ? g.in(0) + g.in(2) * g.in(1) : g.in(0));
    operands = {parts[1], now.memory};
    if (looks) operands.push_back(holes[1]);
    KILN_ASSIGN(now.state, b_.map(g.finish(o * r_.activations[2](g, g.in(1))), std::move(operands), DType::f32));
    if (r_.projection != kNoValue) {
      KILN_ASSIGN(now.state, b_.matmul(now.state, r_.projection, true));
    }
    return now;
  }

  /// Which step a round is.
  Result<ValueId> number_of(ValueId round) {
    if (!r_.backwards) return round;
    Fx f;
    return b_.map(f.finish(f.whole(steps_ - 1, Lane::i64) - f.in(0, Lane::i64)), {round}, DType::i64);
  }

  Result<Recurred> loop(ValueId inputs, const Recurred& begins) {
    LoopAttrs attrs;
    attrs.bound = steps_;
    attrs.results = {r_.backwards};
    std::vector<ValueId> carried{begins.state};
    if (begins.memory != kNoValue) carried.push_back(begins.memory);
    attrs.carried = carried.size();
    KILN_ASSIGN(const std::vector<ValueId> inside, b_.several(Op::loop, carried, attrs));
    KILN_ASSIGN(const ValueId number, number_of(inside[0]));
    Recurred now{kNoValue, inside[1], begins.memory == kNoValue ? kNoValue : inside[2]};
    KILN_ASSIGN(const ValueId own, b_.gather(inputs, number, 0));
    KILN_ASSIGN(now, step(own, now, number));
    std::vector<ValueId> ends{inside[0], now.state};
    if (begins.memory != kNoValue) ends.push_back(now.memory);
    ends.push_back(now.all);
    KILN_ASSIGN(const std::vector<ValueId> results, b_.several(Op::end_loop, ends, attrs));
    return Recurred{results.back(), results[0], begins.memory == kNoValue ? kNoValue : results[1]};
  }

  Builder& b_;
  const Recurrence& r_;
  int64_t steps_ = 0, batch_ = 0, rows_ = 0, hidden_ = 0, state_ = 0;
  ValueId lengths_ = kNoValue;
};

}  // namespace

Result<Recurred> recur(Builder& b, ValueId x, const Recurrence& recurrence) { return Steps(b, recurrence).run(x); }

}  // namespace kiln
