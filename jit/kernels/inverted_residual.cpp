// An inverted residual. Rows of the expanded image pass through a thread's scratch, where each output row reads those
// that it needs.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/contraction.h"
#include "jit/kernels/depthwise.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

constexpr int64_t kF = 4;  // bytes of a float
/// The part of a second-level cache that expanded rows take.
constexpr int64_t kRowsBytes = 256 << 10;
/// What a thread leaves in scratch between its units of a step: the number of the unit whose first rows are there, and
/// their address.
constexpr int64_t kNextUnit = 0, kNextRow = 4;

const InvertedResidualSpec& spec_of(const KernelSpec& spec) { return *std::get_if<InvertedResidualSpec>(&spec); }

/// The range of expanded rows that an output row reads, and the step from one output row to the next.
int64_t span(const InvertedResidualSpec& s) { return (s.depthwise.kh - 1) * (s.depthwise.in_tap_row / s.row) + 1; }
int64_t step(const InvertedResidualSpec& s) { return s.depthwise.in_row / s.row; }
/// Expanded rows in scratch. When the last of them has been read, those that the next output row also needs move to the
/// front.
int64_t rows_held(const InvertedResidualSpec& s) {
  const int64_t fit = (kRowsBytes / (s.row * kF) - span(s)) / step(s);
  return span(s) + step(s) * std::clamp<int64_t>(fit, 1, s.depthwise.oh);
}

int64_t rows_of_unit(const InvertedResidualSpec& s, const Schedule& schedule) {
  return schedule.mc ? std::min<int64_t>(schedule.mc, s.depthwise.oh) : s.depthwise.oh;
}
int64_t blocks(const InvertedResidualSpec& s, const Schedule& schedule) {
  return ceil_div(s.depthwise.oh, rows_of_unit(s, schedule));
}
/// Of both products.
Schedule tile_of(const Schedule& schedule) {
  Schedule tile;
  tile.mr = schedule.mr, tile.nv = schedule.nv, tile.unroll = schedule.unroll;
  return tile;
}

class InvertedResidualEmitter {
 public:
  InvertedResidualEmitter(Emitter& emitter, const InvertedResidualSpec& spec, const Schedule& schedule,
                          std::string name)
      : e_(emitter),
        s_(spec),
        schedule_(schedule),
        tile_(tile_of(schedule)),
        name_(std::move(name)),
        row_bytes_(spec.row * kF),
        expand_{row_of(spec.expand)},
        project_{row_of(spec.project)},
        depthwise_spec_(spec.depthwise) {
    expand_.spec.c_col = project_.spec.a_col = s_.depthwise.c;
    depthwise_spec_.out_col = s_.depthwise.c;
  }

  Func emit() {
    expand_.panels = emit_panels(e_, expand_.spec, tile_, name_ + "_expand");
    depthwise_ = emit_depthwise_row(e_, depthwise_spec_, schedule_, name_ + "_depthwise");
    project_.panels = emit_panels(e_, project_.spec, tile_, name_ + "_project");
    const auto fused = [](const auto& part) { return part.epilogue.operands.size(); };
    const size_t operands = 8 + fused(s_.expand) + fused(s_.depthwise) + fused(s_.project);
    const Func f = e_.begin_function(name_, static_cast<int>(operands));
    emit_entry();
    e_.end_function();
    return f;
  }

 private:
  /// A product of one image row, and how its tiles split it.
  struct Product {
    ContractionSpec spec;
    Func panels{};
    Int count{}, rest{};
  };
  static ContractionSpec row_of(const ContractionSpec& image) {
    ContractionSpec row = image;
    row.batch = {1, 1}, row.oh = 1;
    return row;
  }

  void emit_entry() {
    const Int scratch = e_.param(2), rows = e_.integer(), at = e_.integer(), y = e_.integer(), input_y = e_.integer();
    const Int goes_on = e_.integer(), missing = e_.integer(), left = e_.integer(), block = e_.integer(),
              image = e_.integer(), t = e_.integer();
    for (Product* p : {&expand_, &project_}) {
      p->count = e_.integer(), p->rest = e_.integer();
      e_.set(t, p->spec.ow);
      split_rows(e_, p->spec, tile_, t, p->count, p->rest);
    }
    add(e_, rows, scratch, kScratchHeader);
    e_.load_int(goes_on, {scratch, kNextUnit}, DType::i32);
    e_.load_int(at, {scratch, kNextRow}, DType::i32);
    add(e_, at, at, rows);
    for_units(e_, [&](Int unit) {
      split(e_, unit, blocks(s_, schedule_), block, image);
      e_.op(IntOp::mul, y, block, rows_of_unit(s_, schedule_));
      e_.op(IntOp::sub, left, s_.depthwise.oh, y);
      e_.op(IntOp::min, left, left, rows_of_unit(s_, schedule_));
      e_.if_(block, Compare::eq, 0, [&] { e_.set(goes_on, kNothingLeft); });  // another image
      e_.set(missing, step(s_));
      e_.if_(unit, Compare::ne, goes_on, [&] {
        clear_sides(rows);
        e_.set(missing, span(s_));
        e_.set(at, rows);
      });
      e_.op(IntOp::mul, input_y, y, step(s_));
      add(e_, input_y, input_y, span(s_) - s_.pad_top);
      e_.op(IntOp::sub, input_y, input_y, missing);
      add(e_, goes_on, unit, 1);
      const Int a = e_.integer();
      e_.op(IntOp::mul, a, image, s_.expand.a_batch[0] * kF);
      add(e_, a, a, e_.param(4));
      const std::vector<Int> out = out_pointers(image, y);
      e_.do_while(
          [&] {
            expand_rows(at, a, input_y, missing);
            make_row(at, out);
            add(e_, at, at, step(s_) * row_bytes_);
            e_.set(missing, step(s_));
            e_.op(IntOp::sub, t, at, rows);
            e_.if_(t, Compare::gt, (rows_held(s_) - span(s_)) * row_bytes_, [&] { to_front(at, rows); });
            add(e_, left, left, -1);
          },
          left, Compare::gt, 0);
    });
    e_.store_int({scratch, kNextUnit}, goes_on, DType::i32);
    e_.op(IntOp::sub, at, at, rows);
    e_.store_int({scratch, kNextRow}, at, DType::i32);
  }

  /// C and the operands of its epilogue, at the first pixel of row y.
  std::vector<Int> out_pointers(Int image, Int y) {
    std::vector<Int> out;
    const Int t = e_.integer();
    const auto place = [&](Int operand, int64_t per_image, int64_t per_row) {
      const Int p = e_.integer();
      e_.op(IntOp::mul, p, image, per_image);
      e_.op(IntOp::mul, t, y, per_row);
      add(e_, p, p, t);
      add(e_, p, p, operand);
      out.push_back(p);
    };
    const int64_t bytes = size_of(stored_type(s_.project.epilogue));
    place(e_.param(3), s_.project.c_batch[0] * bytes, s_.project.c_row * bytes);
    for (const FusedOperand& o : s_.project.epilogue.operands)
      place(fused(first_of_project() + out.size() - 1), o.strides[0] * size_of(o.dtype),
            o.strides[2] * size_of(o.dtype));
    return out;
  }

  /// Makes the last `missing` of the rows that the output row at `at` reads: expands them, or writes zeros above and
  /// below the image.
  void expand_rows(Int at, Int a, Int input_y, Int missing) {
    const Int to = e_.integer(), from = e_.integer(), inside = e_.integer();
    e_.op(IntOp::sub, to, span(s_), missing);
    e_.op(IntOp::mul, to, to, row_bytes_);
    add(e_, to, to, at);
    add(e_, to, to, s_.pad_left * s_.depthwise.c * kF);
    e_.do_while(
        [&] {
          e_.set(inside, 0);
          e_.if_(input_y, Compare::ge, 0,
                 [&] { e_.if_(input_y, Compare::lt, s_.expand.oh, [&] { e_.set(inside, 1); }); });
          const auto expand = [&] {
            e_.op(IntOp::mul, from, input_y, s_.expand.a_row * kF);
            add(e_, from, from, a);
            std::vector<Arg> args{from, e_.param(5), to};
            for (size_t i = 0; i < s_.expand.epilogue.operands.size(); ++i) args.emplace_back(fused(i));
            call(expand_, args);
          };
          e_.if_(inside, Compare::ne, 0, expand, [&] { clear(to, s_.expand.ow * s_.depthwise.c); });
          add(e_, to, to, row_bytes_);
          add(e_, input_y, input_y, 1);
          add(e_, missing, missing, -1);
        },
        missing, Compare::gt, 0);
  }

  /// Computes one output row and moves its pointers to the next.
  void make_row(Int at, const std::vector<Int>& out) {
    const Int filtered = e_.integer();
    add(e_, filtered, e_.param(2), kScratchHeader + rows_held(s_) * row_bytes_);
    std::vector<Arg> args{filtered, at, e_.param(6)};
    const size_t first = s_.expand.epilogue.operands.size();
    for (size_t i = 0; i < s_.depthwise.epilogue.operands.size(); ++i) args.emplace_back(fused(first + i));
    e_.call(depthwise_, args);
    args = {filtered, e_.param(7)};
    args.insert(args.end(), out.begin(), out.end());
    call(project_, args);
    add(e_, out[0], out[0], s_.project.c_row * size_of(stored_type(s_.project.epilogue)));
    for (size_t i = 1; i < out.size(); ++i) {
      const FusedOperand& o = s_.project.epilogue.operands[i - 1];
      if (o.strides[2]) add(e_, out[i], out[i], o.strides[2] * size_of(o.dtype));
    }
  }

  void call(const Product& p, std::vector<Arg> args) {
    const int64_t panels = ceil_div(p.spec.n, tile_columns(tile_, e_.target()));
    args.insert(args.end(), {0, panels, p.count, p.rest});
    e_.call(p.panels, args);
  }

  /// Moves the rows at `at` that the next output row also reads to the front. `at` is then the front.
  void to_front(Int at, Int front) {
    const Int to = e_.integer();
    e_.set(to, front);
    const Vec v = e_.vec();
    for_vectors(e_, (span(s_) - step(s_)) * s_.row, 4, {at, to}, {kF, kF}, [&](int64_t element, int lanes) {
      e_.load(v, {at, element * kF}, DType::f32, lanes);
      e_.store({to, element * kF}, v, DType::f32, lanes);
    });
    e_.set(at, front);
  }

  /// Writes the zeros left and right of the image. Nothing else writes there.
  void clear_sides(Int front) {
    const Int row = e_.integer(), i = e_.integer();
    const int64_t left = s_.pad_left * s_.depthwise.c, inside = s_.expand.ow * s_.depthwise.c;
    e_.set(row, front);
    e_.for_range(i, 0, rows_held(s_), 1, [&] {
      clear(row, left);
      add(e_, row, row, (left + inside) * kF);
      clear(row, s_.row - left - inside);
      add(e_, row, row, row_bytes_ - (left + inside) * kF);
    });
  }
  void clear(Int at, int64_t elements) {
    const Vec zero = e_.vec();
    e_.splat(zero, 0);
    for_vectors(e_, elements, 4, {at}, {kF}, [&](int64_t element, int lanes) {
      e_.store({at, element * kF}, zero, DType::f32, lanes);
    });
  }

  /// The operands of all epilogues, one behind the other.
  Int fused(size_t i) { return e_.param(static_cast<int>(8 + i)); }
  size_t first_of_project() const { return s_.expand.epilogue.operands.size() + s_.depthwise.epilogue.operands.size(); }

  Emitter& e_;
  const InvertedResidualSpec& s_;
  Schedule schedule_, tile_;
  std::string name_;
  int64_t row_bytes_;
  Product expand_, project_;
  DepthwiseSpec depthwise_spec_;
  Func depthwise_{};
};

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  return spec_of(spec).depthwise.batch * blocks(spec_of(spec), schedule);
}
int64_t scratch_bytes(const KernelSpec& spec, const Schedule&, const Target&) {
  const InvertedResidualSpec& s = spec_of(spec);
  return kScratchHeader + (rows_held(s) * s.row + s.depthwise.ow * s.depthwise.c) * kF;
}
bool feasible(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const InvertedResidualSpec& s = spec_of(spec);
  Schedule own = tile_of(schedule);
  own.mc = schedule.mc, own.tile_h = 1, own.tile_w = schedule.tile_w;
  return own == schedule && step(s) <= span(s) && tile_fits(tile_of(schedule), target) &&
         family_of(s.depthwise).feasible(s.depthwise, schedule, target);
}
Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  return InvertedResidualEmitter(e, spec_of(spec), schedule, name).emit();
}

using Spec = InvertedResidualSpec;
constexpr Field kFieldList[] = {
    KILN_NESTED("expand", expand, kContractionFields),
    KILN_NESTED("depthwise", depthwise, kDepthwiseFields),
    KILN_NESTED("project", project, kContractionFields),
    KILN_FIELD("p", pad_top),
    KILN_FIELD(nullptr, pad_left),
    KILN_FIELD(nullptr, row),
};
constexpr FieldList kFields = list_of("inverted_residual", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const InvertedResidualSpec& s = spec_of(spec);
  const ContractionSpec &e = s.expand, &p = s.project;
  const DepthwiseSpec& d = s.depthwise;
  o.writes("C", stored_type(p.epilogue));
  o.loop(p.batch[0], p.c_batch[0]).loop(p.oh, p.c_row).loop(p.ow, p.c_col).run(p.n);
  o.reads("A").loop(e.batch[0], e.a_batch[0]).loop(e.oh, e.a_row).loop(e.ow, e.a_col).run(e.k);
  o.reads("expand's B").run(packed_size(e.k, e.n));
  o.reads("depthwise taps").run(times(times(d.kh, d.kw), d.c));
  o.reads("project's B").run(packed_size(p.k, p.n));
  o.fused(e.epilogue, {e.batch[0], 1, e.oh, e.ow, e.n});
  o.fused(d.epilogue, {d.batch, d.oh, d.ow, d.c});
  o.fused(p.epilogue, {p.batch[0], 1, p.oh, p.ow, p.n});
}

Work work(const KernelSpec& spec) {
  const InvertedResidualSpec& s = spec_of(spec);
  const Work expand = work_of(s.expand), depthwise = work_of(s.depthwise), project = work_of(s.project);
  const double pixels = static_cast<double>(s.expand.oh * s.expand.ow + s.project.oh * s.project.ow);
  const double unseen = static_cast<double>(s.depthwise.batch * s.depthwise.c) * pixels;
  return {expand.flops + depthwise.flops + project.flops, expand.bytes + project.bytes - 4 * unseen};
}

}  // namespace

const Family kInvertedResidualFamily{"inverted_residual", &kFields, operands, work, units,
                                     scratch_bytes,       feasible, emit};

}  // namespace kiln
