#include "runtime/verify_plan.h"

#include <algorithm>
#include <cstring>

#include "jit/family.h"
#include "jit/kernels/contraction.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

/// Bytes from the base of the memory on.
Span at(int64_t address, const Span& s) { return {plus(address, s.begin), plus(address, s.end)}; }
Span at(int64_t address, int64_t bytes) { return {address, plus(address, bytes)}; }
bool inside(const Span& part, const Span& whole) { return part.begin >= whole.begin && part.end <= whole.end; }
bool overlap(const Span& a, const Span& b) { return a.begin < b.end && b.begin < a.end; }

/// A pack may go over its own source: panel for panel, each of which it writes in front of what it reads for it.
bool goes_ahead_of(const Program::Kernel& kernel, int64_t to, int64_t from, const Target& target) {
  const auto* s = std::get_if<PackSpec>(&kernel.spec);
  const Algorithm how = kernel.schedule.algorithm;
  if (!s || s->scales || s->batch[0] * s->batch[1] != 1 || (how != Algorithm::direct && how != Algorithm::strassen))
    return false;
  const int64_t column = plus(times(s->taps - 1, s->src_tap), times(s->k - 1, s->src_k));
  if (s->src_tap < 0 || s->src_k < 0 || column >= s->src_n) return false;
  const int64_t depth = times(s->taps, s->k), nr = tile_columns(kernel.schedule, target);
  const auto fits = [&](int64_t first) {  // column of a panel
    const int64_t end = std::min(first + nr, round_up(s->n, kPackAlign));
    return plus(to, times(4, times(end, depth))) <= plus(from, times(4, times(first, s->src_n)));
  };
  const int64_t last = (s->n - 1) / nr * nr;
  return fits(0) && fits(last) && fits(std::max<int64_t>(last - nr, 0));  // between them both go on evenly
}

class Verifier {
 public:
  Verifier(const Plan& plan, const Compiled& compiled, const CompileOptions& options)
      : plan_(plan),
        program_(compiled.program),
        memory_(compiled.memory),
        target_(options.target),
        threads_(options.threads),
        landed_(options.file_at ? options.landed : 0) {}

  Status run() {
    KILN_TRY(check_spaces());
    KILN_TRY(check_buffers());
    KILN_TRY(go_through_load());
    return go_through_run();
  }

 private:
  static constexpr int kFile = -1;
  /// Bytes up to `end` hold what was written to a buffer, or came with the file. Times count barriers.
  struct Written {
    int64_t end;
    int buffer, written, read;
  };
  using Parts = std::map<int64_t, Written>;  // by begin

  Error error(const char* what) const {
    return {ErrorCode::internal, std::string("this plan was refused: ") + what, where_};
  }

  // -- where things lie
  Status check_spaces() {
    const MemoryMap& m = memory_;
    weights_ = at(m.weights, m.weights_bytes);
    file_ = at(m.file, landed_);
    arena_ = {m.arena, m.scratch};
    std::vector<Span> all{at(m.control, kControlBytes), arena_, at(m.scratch, times(m.scratch_stride, threads_)),
                          weights_};
    if (target_.threads)
      all.push_back(at(m.progress, progress_bytes(static_cast<int>(threads_), program_.steps.size())));
    if (landed_) {
      all[3].begin = std::min(weights_.begin, file_.begin);
      all[3].end = std::max(weights_.end, file_.end);
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].begin > all[i].end || !inside(all[i], {0, m.total_bytes}))
        return error("a space lies outside of the memory");
      for (size_t j = 0; j < i; ++j)
        if (overlap(all[i], all[j])) return error("spaces overlap");
    }
    const bool same = program_.control == m.control && program_.scratch == m.scratch &&
                      program_.progress == m.progress && program_.scratch_stride == m.scratch_stride &&
                      program_.threads == threads_;
    return same && threads_ >= 1 ? ok() : error("the program has other spaces");
  }

  Span place(int buffer) const {
    const Buffer& b = memory_.buffers[static_cast<size_t>(buffer)];
    return at(memory_.address({buffer, 0}), b.bytes);
  }
  Status check_buffers() {
    for (size_t i = 0; i < memory_.buffers.size(); ++i) {
      const Buffer& b = memory_.buffers[i];
      const Span& space = b.space == Space::weights ? weights_ : b.space == Space::file ? file_ : arena_;
      if (b.bytes < 0 || b.offset < 0 || !inside(place(static_cast<int>(i)), space))
        return error("a buffer lies outside of its space");
    }
    return ok();
  }
  Status check_in(const Operand& operand, const Span& touched) const {
    if (operand.buffer < 0 || static_cast<size_t>(operand.buffer) >= memory_.buffers.size() ||
        !inside(touched, place(operand.buffer)))
      return error("an operand reaches out of its buffer");
    return ok();
  }
  Result<Span> port(const Port& p) const {
    int64_t bytes = size_of(p.dtype);
    for (const int64_t size : p.shape) bytes = times(bytes, size);
    const Span s = at(memory_.address(p.at), bytes);
    KILN_TRY(check_in(p.at, s));
    return s;
  }

  // -- what the bytes hold
  Parts::iterator part_at(int64_t begin) {
    auto part = parts_.upper_bound(begin);
    if (part != parts_.begin() && std::prev(part)->second.end > begin) --part;
    return part;
  }
  Status read(const Span& s, int buffer) {
    int64_t done = s.begin;
    for (auto part = part_at(s.begin); done < s.end; ++part) {
      if (part == parts_.end() || part->first > done || part->second.buffer != buffer)
        return error("it reads what nobody has written, or something was written over");
      if (part->second.written == time_) return error("it reads without a barrier");
      done = part->second.end;
    }
    return ok();
  }
  void was_read(const Span& s, int buffer) {
    for (auto part = part_at(s.begin); part != parts_.end() && part->first < s.end; ++part)
      if (part->second.buffer == buffer) part->second.read = time_;
  }
  Status write(const Span& s, int buffer) {
    for (auto part = part_at(s.begin); part != parts_.end() && part->first < s.end;) {
      const Written old = part->second;
      const int64_t begin = part->first;
      if (old.read == time_ || (old.written == time_ && old.buffer != buffer))
        return error("it writes without a barrier");
      part = parts_.erase(part);
      if (begin < s.begin) parts_[begin] = {s.begin, old.buffer, old.written, old.read};
      if (old.end > s.end) parts_[s.end] = old;
    }
    if (s.begin < s.end) parts_[s.begin] = {s.end, buffer, time_, kNever};
    return ok();
  }

  // -- a load
  Status go_through_load() {
    std::vector<bool> waits(program_.init.size());
    for (const Transfer& t : plan_.transfers) {
      if (t.phase >= static_cast<int>(waits.size())) return error("a phase is missing");
      if (t.phase >= 0) waits[static_cast<size_t>(t.phase)] = true;
    }
    KILN_TRY(write(file_, kFile));
    ++time_;
    for (const Plan::Inline& c : plan_.constants) {
      const Span s = at(memory_.address(c.dst), static_cast<int64_t>(c.bytes.size()));
      KILN_TRY(check_in(c.dst, s));
      KILN_TRY(write(s, c.dst.buffer));
      ++time_;
    }
    for (size_t phase = 0; phase < waits.size(); ++phase)
      if (!waits[phase]) KILN_TRY(go_through_phase(phase));
    for (const Transfer& t : plan_.transfers) {
      where_ = "weights at " + std::to_string(t.file_offset);
      const Span to = at(memory_.address(t.dst), t.size);
      const int64_t early = std::min(t.size, landed_ - t.file_offset);
      if (t.size < 0 || t.file_offset < 0) return error("a weight lies outside of the file");
      KILN_TRY(check_in(t.dst, to));
      if (early > 0) KILN_TRY(read(at(memory_.file + t.file_offset, early), kFile));
      KILN_TRY(write(to, t.dst.buffer));
      ++time_;
      if (t.phase >= 0) KILN_TRY(go_through_phase(static_cast<size_t>(t.phase)));
    }
    return ok();
  }
  Status go_through_phase(size_t phase) {
    const std::vector<PlanStep>& steps = plan_.init[phase];
    if (program_.init[phase].size() != steps.size()) return error("a step is missing");
    for (size_t i = 0; i < steps.size(); ++i) {
      KILN_TRY(go_through(steps[i], program_.init[phase][i]));
      ++time_;  // one after the other
    }
    return ok();
  }

  // -- a run
  Status go_through_run() {
    KILN_TRY(write(arena_, kFile));  // nothing of the load is left there
    ++time_;
    running_ = true;
    for (const Port& p : plan_.inputs) {
      where_ = p.name;
      KILN_ASSIGN(const Span s, port(p));
      if (place_of(p.at) != Space::arena) return error("an input lies among weights");
      KILN_TRY(write(s, p.at.buffer));
    }
    ++time_;
    if (program_.steps.size() != plan_.steps.size()) return error("a step is missing");
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      time_ += program_.steps[i].barrier_before;
      KILN_TRY(go_through(plan_.steps[i], program_.steps[i]));
    }
    ++time_;
    for (const Port& p : plan_.outputs) {
      where_ = p.name;
      KILN_ASSIGN(const Span s, port(p));
      KILN_TRY(read(s, p.at.buffer));
    }
    return ok();
  }

  Space place_of(const Operand& o) const { return memory_.buffers[static_cast<size_t>(o.buffer)].space; }

  Status go_through(const PlanStep& step, const ProgramStep& done) {
    where_ = step.label;
    if (done.kernel < 0 || static_cast<size_t>(done.kernel) >= program_.kernels.size())
      return error("a kernel is missing");
    const Program::Kernel& k = program_.kernels[static_cast<size_t>(done.kernel)];
    const Family& family = family_of(k.spec);
    if (!family.feasible(k.spec, k.schedule, target_)) return error("a schedule does not fit");
    std::vector<Span> spans = touched(k.spec, k.schedule);
    if (spans.size() != done.operands.size() || spans.size() != step.operands.size())
      return error("an operand is missing");
    if (const auto* taps = std::get_if<TapsSpec>(&k.spec)) KILN_TRY(follow(*taps, step.operands[2], spans[1]));
    for (size_t i = 0; i < spans.size(); ++i) {
      spans[i] = at(done.operands[i], spans[i]);
      if (step.operands[i].buffer == Operand::kStatusWord) {
        if (!inside(spans[i], at(memory_.control + kControlStatus, 4))) return error("this is not the status word");
        spans[i] = {};
        continue;
      }
      KILN_TRY(check_in(step.operands[i], spans[i]));
      const Space space = place_of(step.operands[i]);
      if (running_ && space != Space::arena && (i == 0 || space != Space::weights))
        return error("it belongs to a load");
      if (i == 0) continue;
      KILN_TRY(read(spans[i], step.operands[i].buffer));
      if (step.operands[i].buffer != step.operands[0].buffer && overlap(spans[i], spans[0]) &&
          !goes_ahead_of(k, done.operands[0], done.operands[i], target_))
        return error("it writes over what it reads");
    }
    if (step.operands[0].buffer < 0) return error("it has no result");
    KILN_TRY(write(spans[0], step.operands[0].buffer));
    for (size_t i = 1; i < spans.size(); ++i)
      if (step.operands[i].buffer >= 0) was_read(spans[i], step.operands[i].buffer);
    // How threads share units is counted in the width of an address.
    const int64_t counted = target_.isa == Isa::wasm && !target_.memory64 ? threads_ : 1;
    if (times(family.units(k.spec, k.schedule, target_), counted) > INT32_MAX)
      return Error{ErrorCode::unsupported_operator, "a step has more parts than can be counted: make it smaller",
                   where_};
    const int64_t scratch = family.scratch_bytes(k.spec, k.schedule, target_);
    return scratch <= program_.scratch_stride ? ok() : error("it needs more scratch");
  }

  /// The input's elements that a table names, which must be a constant.
  Status follow(const TapsSpec& s, const Operand& table, Span& input) const {
    const auto whole = [&](const Plan::Inline& c) { return c.dst.buffer == table.buffer; };
    const auto constant = std::find_if(plan_.constants.begin(), plan_.constants.end(), whole);
    const auto bytes = static_cast<size_t>(times(4, times(s.taps, s.count)));
    if (constant == plan_.constants.end() || constant->dst.offset || table.offset || constant->bytes.size() != bytes)
      return error("a table of indices is no constant");
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (size_t i = 0; i < bytes; i += 4) {
      int32_t index;
      std::memcpy(&index, constant->bytes.data() + i, 4);
      least = std::min(least, index), most = std::max(most, index);
    }
    const int64_t step = times(s.in_step, size_of(s.dtype)), a = times(least, step), b = times(most, step);
    input = {plus(input.begin, std::min(a, b)), plus(input.end, std::max(a, b))};
    return ok();
  }

  static constexpr int kNever = -1;
  const Plan& plan_;
  const Program& program_;
  const MemoryMap& memory_;
  const Target& target_;
  int64_t threads_, landed_;
  Span weights_, file_, arena_;
  Parts parts_;
  int time_ = 0;
  bool running_ = false;
  std::string where_;
};

}  // namespace

Status verify_plan(const Plan& plan, const Compiled& compiled, const CompileOptions& options) {
  return Verifier(plan, compiled, options).run();
}

}  // namespace kiln
