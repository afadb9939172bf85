#include "jit/touch.h"

#include <algorithm>

#include "jit/kernels/contraction.h"
#include "support/checked.h"

namespace kiln {

Operands& Operands::begin(const char* name, DType type, bool written) {
  end();
  ++count_;
  written_ += written;
  if (schedule_) list_.push_back({name, type, written, {}});
  return *this;
}

/// Closes the operand at hand: until here its span is in elements.
void Operands::end() {
  if (list_.empty()) return;
  const int64_t bytes = size_of(list_.back().type);
  Span& span = list_.back().span;
  count(run_);
  span = {times(span.begin, bytes), times(plus(span.end, run_), bytes), leave_gaps(run_)};
  run_ = 1;
  steps_.clear();
}

/// Whether the loops so far, over runs of neighbours, pass over elements: some step is longer than what the shorter
/// ones cover together.
bool Operands::leave_gaps(int64_t run) {
  std::sort(steps_.begin(), steps_.end());
  for (const auto& [step, rounds] : steps_) {
    if (step > run) return true;
    run = plus(run, times(rounds - 1, step));
  }
  return false;
}

Operands& Operands::loop(int64_t rounds, int64_t stride) {
  if (!schedule_) return *this;
  count(rounds);
  Span& span = list_.back().span;
  int64_t& last = stride < 0 ? span.begin : span.end;
  last = plus(last, times(rounds - 1, stride));
  if (rounds > 1) steps_.push_back({stride < 0 ? -stride : stride, rounds});
  return *this;
}

Operands& Operands::loops(const int64_t* rounds, size_t n, const int64_t* strides, size_t m) {
  require(n == m);
  for (size_t i = 0; fits_ && i < n; ++i) loop(rounds[i], strides[i]);
  return *this;
}

Operands& Operands::run(int64_t neighbours) {
  run_ = neighbours;
  return *this;
}

Operands& Operands::packed(const PackSpec& pack) { return schedule_ ? run(packed_elements(pack, *schedule_)) : *this; }
Operands& Operands::packed(const ContractionSpec& s) {
  PackSpec b;
  b.taps = times(s.kh, s.kw), b.k = s.k, b.n = s.n;
  if (s.winograd) b.stride = stride_in_taps(s);
  return along(s.batch, s.b_batch).packed(b);
}

void Operands::fused(const Epilogue& epilogue, const std::vector<int64_t>& dims) {
  for (const FusedOperand& o : epilogue.operands) reads("fused", o.dtype).along(dims, o.strides);
}
void Operands::fused(const Epilogue& epilogue, std::vector<int64_t> dims, int64_t rounds) {
  dims.push_back(rounds);
  fused(epilogue, dims);
}

std::vector<Operands::Operand> Operands::take() {
  end();
  return fits_ ? std::move(list_) : std::vector<Operand>{};
}

std::vector<Operands::Operand> operands_of(const KernelSpec& spec, const Schedule& schedule, int64_t most) {
  Operands operands(schedule, most);
  family_of(spec).operands(spec, operands);
  return operands.take();
}

std::vector<Span> touched(const KernelSpec& spec, const Schedule& schedule, int64_t most) {
  std::vector<Span> spans;
  for (const Operands::Operand& o : operands_of(spec, schedule, most)) spans.push_back(o.span);
  return spans;
}

}  // namespace kiln
