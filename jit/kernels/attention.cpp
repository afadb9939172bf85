// Attention. A block of rows at a time goes through scores, softmax and the weighted sum in a thread's scratch.
#include <algorithm>

#include "jit/fields.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/dots.h"
#include "jit/kernels/families.h"
#include "jit/kernels/int16.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/norm.h"
#include "jit/touch.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float

const AttentionSpec& spec_of(const KernelSpec& spec) { return *std::get_if<AttentionSpec>(&spec); }

bool packed(const AttentionSpec& s) { return s.k_row == 0; }
int64_t early(const AttentionSpec& s) { return s.scores.n - s.late; }

int64_t block_rows(const AttentionSpec& s, const Schedule& schedule) {
  if (!packed(s)) return 1;
  const int64_t all = round_up(s.scores.ow, schedule.mr);
  return schedule.mc ? std::min<int64_t>(schedule.mc, all) : all;
}
bool in_integers(const Schedule& schedule) { return schedule.algorithm == Algorithm::int16; }
/// The room of a row of scores in elements. As integers it ends with zeros up to the end of its last sum.
int64_t columns(const AttentionSpec& s, const Schedule& schedule) {
  return round_up(s.scores.n, in_integers(schedule) ? kInt16Sum : 16);
}
/// Elements from one row of scores to the next. It is a cache line more than needed, so that rows do not compete for
/// cache sets.
int64_t pitch(const AttentionSpec& s, const Schedule& schedule) { return columns(s, schedule) + 16; }

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  const AttentionSpec& s = spec_of(spec);
  return s.scores.batch[0] * s.scores.batch[1] * ceil_div(s.scores.ow, block_rows(s, schedule));
}

int64_t scratch_bytes(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  const AttentionSpec& s = spec_of(spec);
  const int64_t rows = block_rows(s, schedule), scores = rows * pitch(s, schedule) * kF;
  return scores + (in_integers(schedule) ? int16_rows_bytes(std::max(s.scores.k, s.values.k), rows) : 0);
}

bool feasible(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const AttentionSpec& s = spec_of(spec);
  if (!packed(s)) return schedule == Schedule{};
  if (in_integers(schedule)) return s.scores.int16 && tile_fits(schedule, target) && int16_fits(s.scores, target);
  return family_of(s.scores).feasible(s.scores, schedule, target) && schedule.algorithm == Algorithm::direct;
}

class AttentionEmitter {
 public:
  AttentionEmitter(Emitter& emitter, const AttentionSpec& spec, const Schedule& schedule, std::string name)
      : e_(emitter), s_(spec), schedule_(schedule), name_(std::move(name)) {}

  Func emit() {
    NormSpec norm;
    norm.cols = s_.scores.n, norm.masked = true;
    softmax_ = emit_norm_row(e_, norm, name_ + "_softmax");
    if (packed(s_)) {
      scores_ = s_.scores, values_ = s_.values;
      scores_.batch = values_.batch = {1, 1};
      scores_.c_col = values_.a_col = pitch(s_, schedule_);
      if (in_integers(schedule_)) {
        rows_ = emit_int16_rows(e_);
        scores_ = int16_product(scores_), values_ = int16_product(values_);
      }
      score_ = emit_panels(e_, scores_, schedule_, name_ + "_scores");
      weigh_ = emit_panels(e_, values_, schedule_, name_ + "_values");
    } else {
      const auto scores = [&](int64_t keys, int64_t row, const char* of) {
        ContractionSpec part = s_.scores;
        part.n = keys;
        return emit_dots(e_, part, row, name_ + of + "scores");
      };
      score_ = scores(early(s_), s_.k_row, "_");
      weigh_ = emit_weigh(early(s_), s_.v_row, {}, "_values");
      if (s_.late) {
        late_score_ = scores(s_.late, s_.late_k_row, "_late_");
        Epilogue more;  // of the result so far
        more.expr.binary(PointOp::add, more.expr.input(0), more.expr.input(1));
        more.operands = {{DType::f32, {0, 0, 0, 0, 1}}};
        late_weigh_ = emit_weigh(s_.late, s_.late_v_row, more, "_late_values");
      }
    }
    return emit_entry();
  }

 private:
  /// panels(weights, V, out, …): one row against V as it lies.
  Func emit_weigh(int64_t keys, int64_t row, const Epilogue& epilogue, const char* of) {
    ContractionSpec part;
    part.k = part.a_tap_col = keys, part.n = s_.values.n, part.b_k = row, part.epilogue = epilogue;
    return emit_panels(e_, part, row_schedule(part.n, e_.target()), name_ + of, 0);
  }

  Func emit_entry() {
    const std::vector<FusedOperand>& fused = s_.scores.epilogue.operands;
    const int64_t rows = block_rows(s_, schedule_), m = s_.scores.ow;
    const int first_fused = s_.late ? 9 : 7;
    const Func f = e_.begin_function(name_, first_fused + static_cast<int>(fused.size()));
    const Int scratch = e_.param(2), b0 = e_.integer(), b1 = e_.integer(), block = e_.integer(), t = e_.integer();
    const Int row = e_.integer();
    for_units(e_, [&](Int unit) {
      split(e_, unit, ceil_div(m, rows), block, t);
      split(e_, t, s_.scores.batch[1], b1, b0);
      e_.op(IntOp::mul, row, block, rows);
      const auto place = [&](int operand, int64_t bytes, const std::array<int64_t, 3>& strides) {
        const Int at = e_.integer();
        e_.set(at, e_.param(operand));
        const Int index[] = {b0, b1, row};
        for (size_t i = 0; i < 3; ++i) {
          if (!strides[i]) continue;
          e_.op(IntOp::mul, t, index[i], strides[i] * bytes);
          add(e_, at, at, t);
        }
        return at;
      };
      const Int c = place(3, kF, {s_.values.c_batch[0], s_.values.c_batch[1], s_.values.c_col});
      const Int v = place(6, kF, {s_.values.b_batch[0], s_.values.b_batch[1], 0});
      std::vector<Arg> args{place(4, kF, {s_.scores.a_batch[0], s_.scores.a_batch[1], s_.scores.a_col}),
                            place(5, kF, {s_.scores.b_batch[0], s_.scores.b_batch[1], 0}), scratch};
      for (size_t i = 0; i < fused.size(); ++i)
        args.emplace_back(place(first_fused + static_cast<int>(i), size_of(fused[i].dtype),
                                {fused[i].strides[0], fused[i].strides[1], fused[i].strides[3]}));
      if (packed(s_)) return emit_block(row, args, v, c);
      args.insert(args.begin() + 3, scratch);  // sums and scores in one place
      e_.call(score_, args);
      const Schedule row_at_once = row_schedule(s_.values.n, e_.target());
      const int64_t panels = ceil_div(s_.values.n, tile_columns(row_at_once, e_.target()));
      const auto weigh = [&] {
        e_.call(softmax_, {scratch, scratch});
        e_.call(weigh_, {scratch, v, c, 0, panels, 1, 0});
      };
      if (!s_.late) return weigh();
      const auto beyond = [&](Arg from, int64_t bytes) {
        const Int at = e_.integer();
        add(e_, at, from, early(s_) * bytes);
        return at;
      };
      const Int late_scores = beyond(scratch, kF);
      args[1] = place(7, kF, {s_.late_k_batch[0], s_.late_k_batch[1], 0});
      args[2] = args[3] = late_scores;
      for (size_t i = 0; i < fused.size(); ++i)
        args[4 + i] = beyond(args[4 + i], fused[i].strides.back() * size_of(fused[i].dtype));
      e_.call(late_score_, args);
      weigh();
      const Int late_v = place(8, kF, {s_.late_v_batch[0], s_.late_v_batch[1], 0});
      e_.call(late_weigh_, {late_scores, late_v, c, c, 0, panels, 1, 0});
    });
    e_.end_function();
    return f;
  }

  void emit_block(Int row, std::vector<Arg> args, Int v, Int c) {
    const int64_t nr = tile_columns(schedule_, e_.target());
    const Int scratch = e_.param(2), left = e_.integer(), count = e_.integer(), rest = e_.integer(), at = e_.integer();
    e_.op(IntOp::sub, left, s_.scores.ow, row);
    e_.op(IntOp::min, left, left, block_rows(s_, schedule_));
    split_rows(e_, scores_, schedule_, left, count, rest);
    std::vector<Arg> weigh{scratch, v, c};
    const Int rows = e_.integer();
    if (in_integers(schedule_)) {
      e_.set(rows, left);
      make_rows(s_.scores, s_.scores.a_col, rows, args);
    }
    args.insert(args.end(), {0, ceil_div(scores_.n, nr), count, rest});
    e_.call(score_, args);
    e_.set(at, scratch);
    e_.do_while(
        [&] {
          e_.call(softmax_, {at, at});
          if (in_integers(schedule_)) end_row(at);
          add(e_, at, at, pitch(s_, schedule_) * kF);
          add(e_, left, left, -1);
        },
        left, Compare::gt, 0);
    if (in_integers(schedule_)) make_rows(s_.values, pitch(s_, schedule_), rows, weigh);
    weigh.insert(weigh.end(), {0, ceil_div(values_.n, nr), count, rest});
    e_.call(weigh_, weigh);
  }

  /// Converts rows of A to integers, behind the scores. Those of the queries are no longer needed when those of the
  /// weights come. The arguments a, b, c, … get the scales too.
  void make_rows(const ContractionSpec& product, int64_t pitch_of_a, Int rows, std::vector<Arg>& args) {
    const int64_t most = block_rows(s_, schedule_);
    const Int to = e_.integer(), scales = e_.integer(), scales_of_b = e_.integer();
    add(e_, to, e_.param(2), most * pitch(s_, schedule_) * kF);
    add(e_, scales, to, most * int16_words(product.k) * kF);
    add(e_, scales_of_b, args[1], packed_size(int16_words(product.k), product.n) * kF);
    e_.call(rows_, {to, args[0], scales, rows, pitch_of_a * kF, int16_sums(product.k)});
    args[0] = to;
    args.insert(args.begin() + 3, {scales, scales_of_b});
  }

  void end_row(Int row) {
    const Vec zero = e_.vec();
    e_.splat(zero, 0);
    for (int64_t i = s_.scores.n; i < columns(s_, schedule_); i += e_.width())
      e_.store({row, i * kF}, zero, DType::f32,
               static_cast<int>(std::min<int64_t>(e_.width(), columns(s_, schedule_) - i)));
  }

  Emitter& e_;
  const AttentionSpec& s_;
  Schedule schedule_;
  std::string name_;
  ContractionSpec scores_, values_;  ///< of one block
  Func rows_{};                      ///< makes integers
  Func softmax_{}, score_{}, weigh_{}, late_score_{}, late_weigh_{};
};

Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  return AttentionEmitter(e, spec_of(spec), schedule, name).emit();
}

using Spec = AttentionSpec;
constexpr Field kFieldList[] = {
    KILN_NESTED("scores", scores, kContractionFields),
    KILN_NESTED("values", values, kContractionFields),
    KILN_FIELD("rows", k_row),
    KILN_FIELD(nullptr, v_row),
    KILN_ONLY_WITH("late", late, 5),
    KILN_FIELD(nullptr, late_k_row),
    KILN_FIELD(nullptr, late_v_row),
    KILN_FIELD("lk", late_k_batch),
    KILN_FIELD("lv", late_v_batch),
};
constexpr FieldList kFields = list_of("attention", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const AttentionSpec& s = spec_of(spec);
  const ContractionSpec &q = s.scores, &v = s.values;
  o.writes("C").along(q.batch, v.c_batch).loop(q.ow, v.c_col).run(v.n);
  o.reads("queries").along(q.batch, q.a_batch).loop(q.ow, q.a_col).run(q.k);
  if (packed(s)) {
    o.reads("keys").packed(q);
    o.reads("V").packed(v);
  } else {
    o.reads("keys").along(q.batch, q.b_batch).loop(early(s), s.k_row).run(q.k);
    o.reads("V").along(q.batch, v.b_batch).loop(early(s), s.v_row).run(v.n);
  }
  if (s.late) {
    o.reads("late keys").along(q.batch, s.late_k_batch).loop(s.late, s.late_k_row).run(q.k);
    o.reads("late V").along(q.batch, s.late_v_batch).loop(s.late, s.late_v_row).run(v.n);
  }
  o.fused(q.epilogue, {q.batch[0], q.batch[1], 1, q.ow, q.n});
}

Work work(const KernelSpec& spec) {
  const AttentionSpec& s = spec_of(spec);
  const Work scores = work_of(s.scores), values = work_of(s.values);
  const double stored = static_cast<double>(s.scores.batch[0] * s.scores.batch[1] * s.scores.ow * s.scores.n);
  return {scores.flops + values.flops + 20 * stored, scores.bytes + values.bytes - 8 * stored};
}

}  // namespace

const Family kAttentionFamily{"attention", &kFields, operands, work, units, scratch_bytes, feasible, emit};

}  // namespace kiln
