// Weights that a run reads once. Such a product waits for memory. So the weights are stored as rounded rows, half as
// large, unless the precision is exact. This is done only if they are most of the model, because elsewhere it would not
// be faster.
#include <algorithm>

#include "ir/lower/lowering.h"

namespace kiln {
namespace {

/// Smaller weights stay in a cache from run to run.
constexpr int64_t kLeastBytes = 256 << 10;
/// Shorter rows are mostly padding.
constexpr int64_t kShortestRow = 64;
/// The size of the parts in which floats arrive. Each takes the place of the one before.
constexpr int64_t kPartBytes = 4 << 20;
/// The multiple to which parts are rounded, so that each is aligned in the file.
constexpr int64_t kPartRows = 16;
/// How far apart elements with a common scale or sum may be. docs/precision.md says what it costs.
constexpr float kMostSpread = 3, kMostSpreadOfFast = 30, kMostSpreadOfSums = 100;

/// The rows that a step reads as `operand`, if it can read them rounded.
std::optional<PackSpec> rows_read(const PlanStep& step, size_t operand) {
  PackSpec rows;
  rows.src_k = 1;
  if (const auto* c = std::get_if<ContractionSpec>(&step.spec); c && c->b_row && operand == 2)
    rows.k = c->k, rows.n = c->n, rows.src_n = c->b_row;
  else if (const auto* g = std::get_if<GatherSpec>(&step.spec);
           g && operand == 1 && g->dtype == DType::f32 && g->table == Sizes(g->table.size(), 0))
    rows.k = g->slice, rows.n = g->rows, rows.src_n = g->table_row;
  else
    return std::nullopt;
  return rows;
}

void read_rounded(KernelSpec& spec) {
  if (auto* c = std::get_if<ContractionSpec>(&spec)) c->rounded = true, c->b_row = rounded_row(c->k);
  if (auto* g = std::get_if<GatherSpec>(&spec)) g->rounded = true;
}

}  // namespace

float Lowering::spread_of(const Operand& source, const PackSpec& b) const {
  const int held = source.buffer < 0 ? -1 : buffer_segment_[static_cast<size_t>(source.buffer)];
  if (held < 0) return 0;
  const Segment& segment = graph.segments[static_cast<size_t>(held)];
  const bool whole =
      source.offset == 0 && b.batch[0] * b.batch[1] * b.taps == 1 && b.k * b.n * size_of(DType::f32) == segment.size;
  const bool as_rows = b.src_k == 1 && b.src_n == b.k && segment.rows == b.n;
  const bool as_columns = b.src_n == 1 && b.src_k == b.n && segment.rows == b.k;
  return !whole ? 0 : as_rows ? segment.column_spread : as_columns ? segment.row_spread : 0;
}

/// The error of an element is relative to the largest element with the same scale or sum. It shows where that largest
/// element meets a zero. So the elements that are multiplied with one input must not all be much smaller than the
/// largest of the weight. The file says how far apart they are; without that, nothing is known.
bool Lowering::may_be_integers(const Operand& source, const PackSpec& b) const {
  const float spread = spread_of(source, b);
  return precision != Precision::exact && spread > 0 &&
         spread <= (precision == Precision::fast ? kMostSpreadOfFast : kMostSpread);
}
bool Lowering::may_be_summed(const Operand& source, const PackSpec& b) const {
  const float spread = spread_of(source, b);
  return precision != Precision::exact && spread > 0 && spread <= kMostSpreadOfSums;
}

void Lowering::round_weights() {
  struct Use {
    size_t step, operand;
  };
  std::map<int, std::vector<Use>> uses;  // of what is there before a run
  for (size_t i = 0; i < pending_.size(); ++i)
    for (size_t o = 0; o < pending_[i].step.operands.size(); ++o) {
      const int buffer = pending_[i].step.operands[o].buffer;
      if (buffer >= 0 && step_phase(buffer_phase_[static_cast<size_t>(buffer)]) != kRunPhase)
        uses[buffer].push_back({i, o});
    }
  struct Weights {
    PackSpec rows;
    std::vector<Use> uses;
  };
  std::vector<Weights> found;
  int64_t bytes = 0;
  for (const auto& [buffer, all] : uses) {
    const auto rows_of = [&](const Use& use) { return rows_read(pending_[use.step].step, use.operand); };
    const std::optional<PackSpec> rows = rows_of(all[0]);
    const Operand& source = pending_[all[0].step].step.operands[all[0].operand];
    bool multiplied = false;
    const auto fits = [&](const Use& use) {
      const std::optional<PackSpec> own = rows_of(use);
      multiplied = multiplied || std::holds_alternative<ContractionSpec>(pending_[use.step].step.spec);
      return own && to_string(KernelSpec(*own)) == to_string(KernelSpec(*rows)) &&
             pending_[use.step].step.operands[use.operand].offset == source.offset;
    };
    if (!std::all_of(all.begin(), all.end(), fits) || !multiplied || !may_be_integers(source, *rows)) continue;
    const int64_t own = rows->k * rows->n * size_of(DType::f32);
    if (rows->k < kShortestRow || own < kLeastBytes) continue;
    bytes += own;
    found.push_back({*rows, all});
  }
  if (bytes * 2 < graph.weights_bytes) return;
  for (const auto& [rows, all] : found) {
    const std::string label = "round for " + pending_[all[0].step].step.label;
    const Operand source = pending_[all[0].step].step.operands[all[0].operand];
    const int phase = step_phase(buffer_phase_[static_cast<size_t>(source.buffer)]);
    const View to = allocate({rounded_words(rows.k, rows.n)}, DType::f32, {0}, phase);
    for (const Use& use : all) {
      PlanStep& step = pending_[use.step].step;
      read_rounded(step.spec);
      step.operands[use.operand] = {to.buffer, 0};
    }
    round_rows(rows, source, to.buffer, phase, label);
  }
}

void Lowering::round_rows(const PackSpec& rows, const Operand& source, int to, int phase, const std::string& label) {
  const int segment = buffer_segment_[static_cast<size_t>(source.buffer)];
  Buffer& whole = plan.buffers[static_cast<size_t>(source.buffer)];
  const int64_t row_bytes = rows.k * size_of(DType::f32);
  const bool in_parts = segment >= 0 && rows.src_n == rows.k && rows.n * row_bytes == whole.bytes;
  const int64_t count = in_parts ? std::max(kPartRows, kPartBytes / row_bytes / kPartRows * kPartRows) : rows.n;
  if (in_parts) whole.bytes = std::min(whole.bytes, count * row_bytes);
  for (int64_t first = 0; first < rows.n; first += count) {
    PackSpec part = rows;
    part.n = std::min(count, rows.n - first);
    part.scales = (rows.n - first) * rounded_row(rows.k) + first;
    PlanStep step;
    step.spec = part, step.label = label;
    step.operands = {{to, first * rounded_row(rows.k) * size_of(DType::f32)}, source};
    if (first == 0) {
      pending_.push_back({std::move(step), phase});
      continue;
    }
    step.operands[1] = {new_buffer(part.n * row_bytes, phase), 0};
    parts_.push_back({segment, first * row_bytes, part.n * row_bytes, std::move(step)});
  }
}

}  // namespace kiln
