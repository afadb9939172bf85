#include "runtime/verify_plan.h"

#include <algorithm>
#include <cstring>

#include "jit/family.h"
#include "jit/kernels/contraction.h"
#include "jit/touch.h"
#include "support/checked.h"

namespace kiln {
namespace {

/// Where addresses have 64 bits.
constexpr int64_t kMostCounted = int64_t{1} << 46;

/// Bytes from the base of the memory on.
Span at(int64_t address, int64_t bytes) { return {address, plus(address, bytes)}; }
bool inside(const Span& part, const Span& whole) { return part.begin >= whole.begin && part.end <= whole.end; }
bool overlap(const Span& a, const Span& b) { return a.begin < b.end && b.begin < a.end; }

/// A pack may go over its own source: panel for panel, each of which it writes in front of what it reads for it.
bool goes_ahead_of(const Program::Kernel& kernel, int64_t to, int64_t from, const Target& target) {
  const auto* s = std::get_if<PackSpec>(&kernel.spec);
  if (!s || s->scales || s->batch[0] * s->batch[1] != 1 || !packs_plain_panels(kernel.schedule)) return false;
  const int64_t column = plus(times(s->taps - 1, s->src_tap), times(s->k - 1, s->src_k));
  if (s->src_tap < 0 || s->src_k < 0 || column >= s->src_n) return false;
  const int64_t depth = times(s->taps, s->k), nr = tile_columns(kernel.schedule, target), last = (s->n - 1) / nr * nr;
  const auto fits = [&](int64_t first) {  // column of a panel
    const int64_t end = std::min(first + nr, round_up(s->n, kPackAlign));
    return plus(to, times(4, times(end, depth))) <= plus(from, times(4, times(first, s->src_n)));
  };
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
    check_spaces();
    if (!why_) go_through_load();
    if (!why_) go_through_run();
    if (!why_) return ok();
    return Error{code_, std::string("the plan was refused: ") + why_, where_ ? *where_ : ""};
  }

 private:
  static constexpr int kFile = -1, kNever = -1;
  /// Bytes up to `end` hold what was written to a buffer, or came with the file. Times count barriers.
  struct Written {
    int64_t end;
    int buffer, written, read;
  };
  using Parts = std::map<int64_t, Written>;  // by begin

  /// What holds true of the plan; the first that does not is why it is refused.
  bool require(bool holds, const char* why, ErrorCode code = ErrorCode::internal) {
    if (!holds && !why_) why_ = why, code_ = code;
    return !why_;
  }

  // -- where things lie
  void check_spaces() {
    const MemoryMap& m = memory_;
    weights_ = at(m.weights, m.weights_bytes);
    file_ = at(m.file, landed_);
    arena_ = {m.arena, m.scratch};
    const Span over_file{std::min(m.weights, m.file), std::max(weights_.end, file_.end)};
    const Span all[] = {at(m.control, kControlBytes), arena_, at(m.scratch, times(m.scratch_stride, threads_)),
                        landed_ ? over_file : weights_,
                        at(m.progress, target_.threads ? progress_bytes(threads_, program_.steps.size()) : 0)};
    for (const Span& space : all) {
      require(space.begin <= space.end && inside(space, {0, m.total_bytes}), "a space is outside of the memory");
      for (const Span* other = all; other != &space; ++other) require(!overlap(space, *other), "spaces overlap");
    }
    require(program_.control == m.control && program_.scratch == m.scratch && program_.progress == m.progress &&
                program_.scratch_stride == m.scratch_stride && program_.threads == threads_,
            "the program has other spaces");
    for (size_t i = 0; i < m.buffers.size(); ++i) {
      const Buffer& b = m.buffers[i];
      const Span& space = b.space == Space::weights ? weights_ : b.space == Space::file ? file_ : arena_;
      require(b.bytes >= 0 && b.offset >= 0 && inside(place(static_cast<int>(i)), space),
              "a buffer is outside of its space");
    }
  }

  const Buffer& buffer(int i) const { return memory_.buffers[static_cast<size_t>(i)]; }
  Span place(int i) const { return at(memory_.address({i, 0}), buffer(i).bytes); }
  bool check_in(int b, const Span& touched) {
    return require(b >= 0 && static_cast<size_t>(b) < memory_.buffers.size() && inside(touched, place(b)),
                   "an operand is outside of its buffer");
  }
  /// Where something of the plan lies: in its buffer.
  Span placed(const Operand& o, int64_t bytes) {
    const Span whole =
        o.buffer >= 0 && static_cast<size_t>(o.buffer) < memory_.buffers.size() ? place(o.buffer) : Span{};
    const Span s = at(plus(whole.begin, o.offset), bytes);
    check_in(o.buffer, s);
    return s;
  }
  Span placed(const Port& p) {
    where_ = &p.name;
    int64_t bytes = size_of(p.dtype);
    for (const int64_t size : p.shape) bytes = times(bytes, size);
    return placed(p.at, bytes);
  }

  // -- what the bytes hold
  Parts::iterator part_at(int64_t begin) {
    auto part = parts_.upper_bound(begin);
    if (part != parts_.begin() && std::prev(part)->second.end > begin) --part;
    return part;
  }
  void read(const Span& s, int from) {
    if (s.has_gaps) {  // into which others may write later: the parts of a concatenation
      read({s.begin, s.begin + 1}, from);
      read({s.end - 1, s.end}, from);
      return;
    }
    int64_t done = s.begin;
    for (auto part = part_at(s.begin); done < s.end; ++part) {
      const bool there = part != parts_.end() && part->first <= done && part->second.buffer == from;
      if (!require(there, "what is read nobody wrote, or it was written over")) return;
      require(part->second.written != time_, "a read waits for no barrier");
      done = part->second.end;
    }
  }
  void was_read(const Span& s, int from) {
    for (auto part = part_at(s.begin); part != parts_.end() && part->first < s.end; ++part)
      if (part->second.buffer == from) part->second.read = time_;
  }
  void write(const Span& s, int to) {
    if (why_ || s.begin >= s.end) return;
    for (auto part = part_at(s.begin); part != parts_.end() && part->first < s.end;) {
      const auto [begin, old] = *part;
      require(old.read != time_ && (old.written != time_ || old.buffer == to), "a write waits for no barrier");
      part = parts_.erase(part);
      if (begin < s.begin) parts_[begin] = {s.begin, old.buffer, old.written, old.read};
      if (old.end > s.end) parts_[s.end] = old;
    }
    parts_[s.begin] = {s.end, to, time_, kNever};
  }
  void write_alone(const Span& s, int to) {
    write(s, to);
    ++time_;
  }

  // -- a load
  void go_through_load() {
    std::vector<bool> waits(program_.init.size());
    if (!require(waits.size() == plan_.init.size(), "a phase is missing")) return;
    for (const Transfer& t : plan_.transfers) {
      if (t.phase < 0 || !require(static_cast<size_t>(t.phase) < waits.size(), "a phase is missing")) continue;
      waits[static_cast<size_t>(t.phase)] = true;
    }
    write_alone(file_, kFile);
    for (const Plan::Inline& c : plan_.constants)
      write_alone(placed(c.dst, static_cast<int64_t>(c.bytes.size())), c.dst.buffer);
    for (size_t phase = 0; phase < waits.size(); ++phase)
      if (!waits[phase]) go_through_phase(phase);
    for (const Transfer& t : plan_.transfers) {
      const Span to = placed(t.dst, t.size);
      if (!require(t.size >= 0 && t.file_offset >= 0, "a weight is outside of the file")) return;
      const int64_t early = std::min(t.size, landed_ - t.file_offset);
      if (early > 0) read(at(memory_.file + t.file_offset, early), kFile);
      write_alone(to, t.dst.buffer);
      if (t.phase >= 0) go_through_phase(static_cast<size_t>(t.phase));
    }
  }
  void go_through_phase(size_t phase) { go_through(plan_.init[phase], program_.init[phase], false); }

  // -- a run
  void go_through_run() {
    write_alone(arena_, kFile);  // nothing of the load is left there
    for (const Port& p : plan_.inputs) {
      write(placed(p), p.at.buffer);
      require(why_ || buffer(p.at.buffer).space == Space::arena, "an input is among weights");
    }
    ++time_;
    go_through(plan_.steps, program_.steps, true);
    ++time_;
    for (const auto* ports : {&plan_.outputs, &plan_.counts})
      for (const Port& p : *ports) read(placed(p), p.at.buffer);
  }

  /// Steps of a load come one after the other, those of a run in any order between two barriers. A loop is one step.
  void go_through(const std::vector<PlanStep>& steps, const std::vector<ProgramStep>& done, bool run) {
    require(steps.size() == done.size(), "a step is missing");
    if (run && !check_loops()) return;
    size_t loop = 0;
    for (size_t i = 0; !why_ && i < steps.size();) {
      where_ = &steps[i].label;
      if (run && loop < plan_.loops.size() && plan_.loops[loop].begin == static_cast<int>(i)) {
        i = static_cast<size_t>(plan_.loops[loop].end);
        time_ += done[i - 1].barrier_before;
        loop = go_through_loop(loop);
        continue;
      }
      time_ += done[i].barrier_before || !run;
      require(done[i].moves == 0, "a step moves outside of a loop");
      go_through(steps[i], done[i], run);
      ++i;
    }
    ++time_;
  }

  // -- loops
  bool check_loops() {
    require(plan_.loops.size() == program_.loops.size(), "a loop is missing");
    std::vector<std::pair<int, int>> open{{0, static_cast<int>(plan_.steps.size())}};
    int last = 0;
    for (size_t i = 0; !why_ && i < plan_.loops.size(); ++i) {
      const Loop& l = plan_.loops[i];
      const ProgramLoop& p = program_.loops[i];
      while (open.size() > 1 && open.back().second <= l.begin) open.pop_back();
      require(l.begin >= last && l.begin < l.end && l.begin >= open.back().first && l.end <= open.back().second,
              "loops lie across each other");
      require(l.bound >= 0 && l.bound <= INT32_MAX && (l.bound > 0 || l.condition.buffer >= 0), "a loop has no end");
      require(p.begin == l.begin && p.end == l.end && p.bound == l.bound && p.when.size() == l.when.size() &&
                  (p.condition >= 0) == (l.condition.buffer >= 0),
              "the program has other loops");
      last = l.begin;
      open.emplace_back(l.begin, l.end);
    }
    return !why_;
  }

  /// Two rounds: what one leaves behind, the next finds. Returns the index of the next loop beside it.
  size_t go_through_loop(size_t index) {
    const Loop& loop = plan_.loops[index];
    const ProgramLoop& done = program_.loops[index];
    size_t next = index;
    conditions(loop.when, done.when);
    for (int round = 0; !why_ && round < (loop.bound == 1 ? 1 : 2); ++round) {
      if (done.condition >= 0) condition(loop.condition, done.condition);
      const Span number = at(done.number, 8);
      if (!check_in(loop.number.buffer, number)) return next;
      ++time_;
      write(number, loop.number.buffer);
      next = index + 1;
      for (int i = loop.begin; !why_ && i < loop.end;) {
        ++time_;
        const auto step = static_cast<size_t>(i);
        where_ = &plan_.steps[step].label;
        if (next < plan_.loops.size() && plan_.loops[next].begin == i) {
          i = plan_.loops[next].end;
          next = go_through_loop(next);
          continue;
        }
        rounds_ = loop.bound;
        require(plan_.steps[step].moves == 0 || loop.bound > 0, "a step moves without a bound");
        go_through(plan_.steps[step], program_.steps[step], true);
        rounds_ = 1;
        ++i;
      }
      ++time_;
    }
    if (done.condition >= 0) condition(loop.condition, done.condition);
    ++time_;
    return next;
  }

  void condition(const Operand& said, int64_t address) {
    const Span byte = at(address, 1);
    if (!require(said.buffer >= 0, "a condition is nowhere") || !check_in(said.buffer, byte)) return;
    read(byte, said.buffer);
    was_read(byte, said.buffer);
  }
  void conditions(const std::vector<Operand>& said, const std::vector<int64_t>& addresses) {
    require(said.size() == addresses.size(), "a condition is missing");
    for (size_t i = 0; !why_ && i < said.size(); ++i) condition(said[i], addresses[i]);
  }
  void go_through(const PlanStep& step, const ProgramStep& done, bool run) {
    const auto kernel = static_cast<size_t>(done.kernel);
    if (!require(kernel < program_.kernels.size(), "a kernel is missing")) return;
    const Program::Kernel& k = program_.kernels[kernel];
    const Family& family = family_of(k.spec);
    const bool narrow = target_.isa == Isa::wasm && !target_.memory64;
    std::vector<Span> spans;
    size_t results = 0;
    for (const Operands::Operand& o : operands_of(k.spec, k.schedule, narrow ? INT32_MAX : kMostCounted))
      spans.push_back(o.span), results += o.written;
    require(!spans.empty(), "a step counts too far", ErrorCode::unsupported_operator);
    require(spans.size() == done.operands.size() && spans.size() == step.operands.size(), "an operand is missing");
    if (!require(family.feasible(k.spec, k.schedule, target_), "a schedule does not fit")) return;
    if (const auto* taps = std::get_if<TapsSpec>(&k.spec)) follow(*taps, done.operands[2], spans[1]);
    const int64_t moved = times(done.moves, rounds_ - 1);
    require(done.moves == step.moves, "a step moves otherwise");
    spans[0] = {plus(spans[0].begin, std::min<int64_t>(moved, 0)), plus(spans[0].end, std::max<int64_t>(moved, 0)),
                spans[0].has_gaps};
    conditions(step.when, done.when);
    for (size_t i = 0; i < spans.size(); ++i) {
      Span& s = spans[i];
      s = {plus(done.operands[i], s.begin), plus(done.operands[i], s.end), s.has_gaps};
      const int b = step.operands[i].buffer;
      if (i >= results && b == Operand::kStatusWord) {
        require(inside(s, at(memory_.control + (run ? kControlStatus : kControlLoadStatus), 4)),
                "the status word is elsewhere");
        continue;
      }
      if (!check_in(b, s)) return;
      const Space space = buffer(b).space;
      require(!run || space == Space::arena || (i >= results && space == Space::weights),
              "a run touches what is a load's");
      if (i < results) {
        for (const Plan::Inline& c : plan_.constants) require(c.dst.buffer != b, "a step writes a constant");
        for (size_t o = 0; o < i; ++o)  // parts of a concatenation may lie between each other
          require(!overlap(s, spans[o]) || (b == step.operands[o].buffer && s.has_gaps && spans[o].has_gaps),
                  "a step writes over its own result");
        continue;
      }
      read(s, b);
      for (size_t o = 0; o < results; ++o)
        require(b == step.operands[o].buffer || !overlap(s, spans[o]) ||
                    goes_ahead_of(k, done.operands[o], done.operands[i], target_),
                "a step writes over what it reads");
    }
    for (size_t o = 0; o < results && !why_; ++o) write(spans[o], step.operands[o].buffer);
    for (size_t i = results; i < spans.size(); ++i)
      if (step.operands[i].buffer >= 0) was_read(spans[i], step.operands[i].buffer);
    // Units are counted in 31 bits, how threads share them in the width of an address.
    require(times(family.units(k.spec, k.schedule, target_), narrow ? threads_ : 1) <= INT32_MAX,
            "a step has too many parts", ErrorCode::unsupported_operator);
    require(family.scratch_bytes(k.spec, k.schedule, target_) <= program_.scratch_stride, "a step needs more scratch");
  }

  /// The input's elements that a table names, which must be a constant.
  void follow(const TapsSpec& s, int64_t table, Span& input) {
    const auto found = std::find_if(plan_.constants.begin(), plan_.constants.end(),
                                    [&](const Plan::Inline& c) { return memory_.address(c.dst) == table; });
    const auto bytes = static_cast<size_t>(4 * s.taps * s.count);
    if (!require(found != plan_.constants.end() && found->bytes.size() == bytes, "a table of indices is no constant"))
      return;
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (size_t i = 0; i < bytes; i += 4) {
      int32_t index;
      std::memcpy(&index, found->bytes.data() + i, 4);
      least = std::min(least, index), most = std::max(most, index);
    }
    const int64_t step = times(s.in_step, size_of(s.dtype)), a = times(least, step), b = times(most, step);
    input = {plus(input.begin, std::min(a, b)), plus(input.end, std::max(a, b)), true};
  }

  const Plan& plan_;
  const Program& program_;
  const MemoryMap& memory_;
  const Target& target_;
  int threads_;
  int64_t landed_;
  Span weights_, file_, arena_;
  Parts parts_;
  int time_ = 0;
  int64_t rounds_ = 1;  ///< of the loop around the step at hand
  const char* why_ = nullptr;
  ErrorCode code_{};
  const std::string* where_ = nullptr;
};

}  // namespace

Status verify_plan(const Plan& plan, const Compiled& compiled, const CompileOptions& options) {
  return Verifier(plan, compiled, options).run();
}

}  // namespace kiln
