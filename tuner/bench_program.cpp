// A module that measures candidates: bench(base, index, repeats).
#include <algorithm>
#include <cmath>

#include "jit/kernels/contraction.h"
#include "jit/kernels/loops.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

using Sizes = std::vector<int64_t>;

int64_t extent(const Sizes& dims, const Sizes& strides) {
  int64_t last = 0;
  for (size_t i = 0; i < dims.size(); ++i) last += (dims[i] - 1) * strides[i];
  return (last + 1) * 4;
}

/// Bytes from each operand's address to the end of what the kernel touches there.
Sizes operand_bytes(const KernelSpec& spec, const Schedule& schedule) {
  Sizes out;
  if (const auto* s = std::get_if<ContractionSpec>(&spec)) {
    const Sizes dims{s->batch[0], s->batch[1], s->oh, s->ow, s->n};
    out.push_back(extent(dims, {s->c_batch[0], s->c_batch[1], s->c_row, s->c_col, 1}));
    out.push_back(extent({s->batch[0], s->batch[1], s->oh, s->ow, s->kh, s->kw, s->k},
                         {s->a_batch[0], s->a_batch[1], s->a_row, s->a_col, s->a_tap_row, s->a_tap_col, 1}));
    PackSpec b;
    b.taps = s->kh * s->kw, b.k = s->k, b.n = s->n;
    if (s->winograd) b.stride = stride_in_taps(*s);
    out.push_back(extent({s->batch[0], s->batch[1], packed_elements(b, schedule)}, {s->b_batch[0], s->b_batch[1], 1}));
    for (const FusedOperand& o : s->epilogue.operands) out.push_back(extent(dims, o.strides));
  } else if (const auto* d = std::get_if<DepthwiseSpec>(&spec)) {
    const Sizes dims{d->batch, d->oh, d->ow, d->c};
    out.push_back(extent(dims, {d->out_batch, d->out_row, d->out_col, 1}));
    out.push_back(extent({d->batch, d->oh, d->ow, d->kh, d->kw, d->c},
                         {d->in_batch, d->in_row, d->in_col, d->in_tap_row, d->in_tap_col, 1}));
    out.push_back(d->kh * d->kw * d->c * 4);
    for (const FusedOperand& o : d->epilogue.operands) out.push_back(extent(dims, o.strides));
  }
  return out;
}

/// Half a millisecond of work tells as much as ten.
constexpr double kBenchFlops = 25e6;

/// Units that stand for all: the panels of a product in one block cost the same. (Winograd transforms its input in a
/// block's first unit.)
int64_t bench_units(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const int64_t units = family_of(spec).units(spec, schedule, target);
  if (schedule.algorithm != Algorithm::direct || schedule.mc) return units;
  const double part = std::min(1.0, kBenchFlops / std::max(1.0, flops_of(spec)));
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(static_cast<double>(units) * part)), 1, units);
}

}  // namespace

BenchProgram make_bench_program(const std::vector<KernelSpec>& specs, const std::vector<Search::Candidate>& batch,
                                const Target& target) {
  BenchProgram out;
  for (const Search::Candidate& c : batch) {
    const KernelSpec& spec = specs[static_cast<size_t>(c.spec)];
    ProgramStep step;
    step.kernel = static_cast<int>(out.program.kernels.size());
    out.program.kernels.push_back({spec, c.schedule});
    out.share.push_back(static_cast<double>(bench_units(spec, c.schedule, target)) /
                        static_cast<double>(family_of(spec).units(spec, c.schedule, target)));
    int64_t at = kControlBytes + kScratchHeader + round_up(family_of(spec).scratch_bytes(spec, c.schedule, target), 64);
    for (int64_t bytes : operand_bytes(spec, c.schedule)) {
      step.operands.push_back(at);
      at += round_up(bytes, 64) + 64;
    }
    out.bytes = std::max(out.bytes, at);
    out.program.steps.push_back(std::move(step));
  }
  return out;
}

Status emit_bench(Emitter& e, const BenchProgram& bench) {
  std::vector<Func> entries;
  for (size_t i = 0; i < bench.program.kernels.size(); ++i) {
    const Program::Kernel& k = bench.program.kernels[i];
    entries.push_back(family_of(k.spec).emit(e, k.spec, k.schedule, "c" + std::to_string(i)));
  }
  e.begin_function("bench", 3, true);
  const Int base = e.param(0), index = e.param(1), repeats = e.param(2), begin = e.integer(), end = e.integer();
  for (size_t i = 0; i < entries.size(); ++i) {
    const Program::Kernel& k = bench.program.kernels[i];
    const auto at = static_cast<int64_t>(i);
    const int64_t units = family_of(k.spec).units(k.spec, k.schedule, e.target());
    const int64_t part = bench.share.empty() ? units : std::llround(bench.share[i] * static_cast<double>(units));
    e.if_(index, Compare::eq, at, [&] {
      e.do_while(
          [&] {
            // Every repeat goes on where the last one ended: weights arrive from afar, as they do in a model.
            const Mem position{base, at * 4};
            e.load_int(begin, position, DType::i32);
            e.if_(begin, Compare::lt, 0, [&] { e.set(begin, 0); });
            e.if_(begin, Compare::gt, units - part, [&] { e.set(begin, 0); });
            add(e, end, begin, part);
            e.store_int(position, end, DType::i32);
            const Int scratch = e.integer();
            add(e, scratch, base, kControlBytes);
            leave_nothing(e, scratch);
            std::vector<Arg> args{begin, end, scratch};
            for (int64_t address : bench.program.steps[i].operands) {
              const Int a = e.integer();
              add(e, a, base, address);
              args.emplace_back(a);
            }
            e.call(entries[i], args);
            add(e, repeats, repeats, -1);
          },
          repeats, Compare::gt, 0);
    });
  }
  e.end_function();
  return ok();
}

}  // namespace kiln
