// A module that measures candidates: bench(base, index, repeats).
#include <algorithm>
#include <cmath>

#include "jit/kernels/contraction.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/winograd.h"
#include "jit/touch.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

/// Half a millisecond of work tells as much as ten.
constexpr double kBenchFlops = 25e6;
/// With fewer blocks, a smaller last one matters too much to be left out: it costs more than its rows do.
constexpr int64_t kLeastBlocks = 8;

BenchPortion whole_of(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const int64_t units = family_of(spec).units(spec, schedule, target);
  return {units, units, 1};
}

BenchPortion portion(int64_t least, int64_t last, double part, double share_of_last) {
  const auto whole = static_cast<double>(last);
  const int64_t times = std::max<int64_t>(1, std::llround(std::ceil(part * whole / static_cast<double>(least))));
  const int64_t units = std::min(times * least, last);
  return {units, last, share_of_last * static_cast<double>(units) / whole};
}

/// Blocks of rows (or of Winograd's tiles) cost the same, except a smaller last one. The panels of a block cost the
/// same, except the first, which prepares the block.
BenchPortion portion_of_blocks(const ContractionSpec& s, const Schedule& schedule, int64_t units, double part) {
  const bool direct = schedule.algorithm == Algorithm::direct;
  const int form = winograd_tile(schedule.algorithm);
  const int64_t rows = form ? winograd_tiles(s, form) : s.oh * s.ow;
  const int64_t whole = rows / schedule.mc, in_block = units / ceil_div(rows, schedule.mc);
  const bool by_rows = schedule.order == LoopOrder::rows_outer && s.batch[0] * s.batch[1] == 1;
  const int64_t least = direct || rows % schedule.mc == 0 ? 1 : kLeastBlocks;
  if (!by_rows || whole < least) return {units, units, 1};
  return portion(direct ? 1 : in_block, whole * in_block, part,
                 static_cast<double>(whole * schedule.mc) / static_cast<double>(rows));
}

BenchPortion portion_of(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const int64_t units = family_of(spec).units(spec, schedule, target);
  const double part = std::min(1.0, kBenchFlops / std::max(1.0, flops_of(spec)));
  const auto* contraction = std::get_if<ContractionSpec>(&spec);
  if (contraction && schedule.mc) return portion_of_blocks(*contraction, schedule, units, part);
  if (schedule.algorithm != Algorithm::direct) return {units, units, 1};
  return portion(1, units, part, 1);
}

}  // namespace

BenchProgram make_bench_program(const std::vector<KernelSpec>& specs, const std::vector<Search::Candidate>& batch,
                                const Target& target, bool whole) {
  BenchProgram out;
  for (const Search::Candidate& c : batch) {
    const KernelSpec& spec = specs[static_cast<size_t>(c.spec)];
    ProgramStep step;
    step.kernel = static_cast<int>(out.program.kernels.size());
    out.program.kernels.push_back({spec, c.schedule});
    out.portions.push_back(whole ? whole_of(spec, c.schedule, target) : portion_of(spec, c.schedule, target));
    int64_t at = kControlBytes + kScratchHeader + round_up(family_of(spec).scratch_bytes(spec, c.schedule, target), 64);
    for (const Span& s : touched(spec, c.schedule)) {
      step.operands.push_back(at - s.begin);
      at += round_up(s.end - s.begin, 64) + 64;
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
    const BenchPortion portion = bench.portions.empty() ? whole_of(k.spec, k.schedule, e.target()) : bench.portions[i];
    e.if_(index, Compare::eq, at, [&] {
      e.do_while(
          [&] {
            // Every repeat continues where the last one ended. So weights come from memory, as they do in a model.
            const Mem position{base, at * 4};
            e.load_int(begin, position, DType::i32);
            e.if_(begin, Compare::lt, 0, [&] { e.set(begin, 0); });
            e.if_(begin, Compare::gt, portion.last - portion.units, [&] { e.set(begin, 0); });
            add(e, end, begin, portion.units);
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
