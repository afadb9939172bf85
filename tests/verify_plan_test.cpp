// The verifier against the code that it speaks for, and against plans that were damaged on purpose.
#include "runtime/verify_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "ir/builder.h"
#include "ir/passes/passes.h"
#include "jit/family.h"
#include "jit/touch.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/machine.h"
#include "tests/support/random_graph.h"
#include "tests/support/strided.h"

namespace kiln::testing {
namespace {

/// A model that is about to be emitted.
struct Laid {
  Planned planned;
  CompileOptions options;
  Compiled compiled;
  Plan& plan() { return planned.plan; }
  Program& program() { return compiled.program; }
  std::vector<Buffer>& buffers() { return compiled.memory.buffers; }
  Buffer& buffer(const Operand& o) { return buffers()[static_cast<size_t>(o.buffer)]; }
  bool in(const Operand& o, Space space) { return o.buffer >= 0 && buffer(o).space == space; }
  Status verify() { return verify_plan(plan(), compiled, options); }
  /// A buffer somewhere else, with all that lies in it.
  void move(int b, int64_t by) {
    buffers()[static_cast<size_t>(b)].offset += by;
    const auto each = [&](const std::vector<PlanStep>& plan_steps, std::vector<ProgramStep>& steps) {
      for (size_t i = 0; i < steps.size(); ++i)
        for (size_t o = 0; o < steps[i].operands.size(); ++o)
          if (plan_steps[i].operands[o].buffer == b) steps[i].operands[o] += by;
    };
    each(plan().steps, program().steps);
    for (size_t p = 0; p < plan().init.size(); ++p) each(plan().init[p], program().init[p]);
  }
};

Result<Laid> laid_out(const Graph& graph, const Target& target, bool over_file) {
  Laid out;
  out.options.target = target;
  out.options.threads = target.threads ? 3 : 1;
  KILN_ASSIGN(out.planned.plan, lower(graph));
  for (const PlanStep& step : out.plan().steps) {
    out.planned.step_spec.push_back(static_cast<int>(out.planned.specs.size()));
    out.planned.specs.push_back(step.spec);
  }
  if (over_file) out.options.file_at = 64 * 1000, out.options.landed = graph.weights_bytes;
  KILN_ASSIGN(out.compiled, lay_out_model(out.planned, {}, out.options));
  return out;
}

/// Everything that kernels are made for: a random graph, and by its side what those do not have.
Graph graph_of(uint32_t seed) {
  Graph graph = random_graph(seed, 4 + static_cast<int>(seed % 9));
  Builder b(graph);
  const ValueId table = graph.add_value("table", DType::f32, {Dim(7), Dim(3)});
  graph.value(table).segment = static_cast<int>(graph.segments.size());
  Segment s;
  s.offset = graph.weights_bytes, s.size = 84;
  graph.segments.push_back(s);
  graph.weights_bytes += 128;
  const ValueId index = graph.add_value("index", seed % 2 ? DType::i64 : DType::i32, {Dim(5)});
  graph.inputs.push_back(index);
  graph.outputs.push_back(*b.gather(table, index, 0));
  auto fused = fuse(graph);
  return seed % 3 && fused.ok() ? *fused : graph;
}

Target threaded() {
  Target t = wasm_target(true, true);
  t.isa = Isa::reference;
  return t;
}

// -- what kernels touch
// -------------------------------------------------------------------------------------------------------------------

/// Runs a kernel in a memory of which it may use no more than it is said to touch.
void expect_inside(const KernelSpec& spec, const Schedule& schedule, const Target& target) {
  const std::string what = to_string(spec) + " | " + to_string(schedule) + " on " + to_string(target);
  std::vector<Span> spans = touched(spec, schedule);
  ASSERT_EQ(static_cast<int>(spans.size()), num_operands(spec)) << what;
  std::vector<std::vector<char>> memory;
  std::vector<void*> operands;
  Kernel kernel(target, spec, schedule);
  for (const Span& s : spans) {
    ASSERT_LT(s.end - s.begin, 1 << 24) << what;
    memory.emplace_back(static_cast<size_t>(s.end - s.begin) + 64, 0);
    char* begin = memory.back().data();
    kernel.allow(begin, s.end - s.begin);
    operands.push_back(begin - s.begin);
  }
  const Status ran = kernel.run(operands);
  EXPECT_TRUE(ran.ok()) << ran.error().message << "\n" << what;
}

TEST(VerifyPlan, KernelsTouchNoMoreThanTheyAreSaidTo) {
  std::set<std::string> families, seen;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    const Target target = reference_target(4 << seed % 3);
    const auto laid = laid_out(graph_of(seed), target, false);
    ASSERT_TRUE(laid.ok()) << laid.error().message << " " << laid.error().where << ", seed " << seed;
    for (const Program::Kernel& k : laid->compiled.program.kernels) {
      families.insert(family_name(k.spec));
      if (!seen.insert(to_string(k.spec) + to_string(k.schedule) + to_string(target)).second) continue;
      expect_inside(k.spec, k.schedule, target);
      if (!std::holds_alternative<ContractionSpec>(k.spec)) continue;
      std::set<Algorithm> tried{k.schedule.algorithm};
      for (const Schedule& s : candidates(k.spec, target))
        if (tried.insert(s.algorithm).second) expect_inside(k.spec, s, target);
    }
    if (HasFailure()) return;
  }
  EXPECT_GE(families.size(), 10u);
}

// -- damage
// -------------------------------------------------------------------------------------------------------------------

struct Damage {
  const char* name;
  bool (*inflict)(Laid& laid, Random& random);  ///< false: there was nothing of the kind
};

size_t any(Random& random, size_t n) { return static_cast<size_t>(random() % n); }

/// A step of a run, or of a load.
bool some_step(Laid& l, Random& random, PlanStep*& step, ProgramStep*& done) {
  const size_t phases = l.plan().init.size(), phase = any(random, phases + 2);
  auto& plan_steps = phase < phases ? l.plan().init[phase] : l.plan().steps;
  auto& steps = phase < phases ? l.program().init[phase] : l.program().steps;
  if (steps.empty()) return false;
  const size_t i = any(random, steps.size());
  step = &plan_steps[i], done = &steps[i];
  return true;
}
bool some_operand(Laid& l, Random& random, Operand*& operand, int64_t*& address) {
  PlanStep* step;
  ProgramStep* done;
  if (!some_step(l, random, step, done)) return false;
  const size_t i = any(random, step->operands.size());
  operand = &step->operands[i], address = &done->operands[i];
  return operand->buffer >= 0;
}

/// Step `reader` of a run and the only one, `writer`, that writes what it reads.
bool some_pair(Laid& l, Random& random, size_t& writer, size_t& reader) {
  const auto& steps = l.plan().steps;
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t r = 0; r < steps.size(); ++r)
    for (size_t o = 1; o < steps[r].operands.size(); ++o) {
      const int buffer = steps[r].operands[o].buffer;
      const auto writes = [&](const PlanStep& s) { return s.operands[0].buffer == buffer; };
      if (std::count_if(steps.begin(), steps.end(), writes) != 1) continue;
      const auto w = static_cast<size_t>(std::find_if(steps.begin(), steps.end(), writes) - steps.begin());
      if (w < r) pairs.emplace_back(w, r);
    }
  if (pairs.empty()) return false;
  std::tie(writer, reader) = pairs[any(random, pairs.size())];
  return true;
}
void swap_steps(Laid& l, size_t a, size_t b) {
  std::swap(l.plan().steps[a], l.plan().steps[b]);
  std::swap(l.program().steps[a], l.program().steps[b]);
  for (ProgramStep& step : l.program().steps) step.barrier_before = true;
}

/// Makes a spec go further than it did along something that its result has.
struct Stretch {
  int64_t by;
  bool operator()(ContractionSpec& s) const { return s.n += by; }
  bool operator()(PackSpec& s) const { return s.k += by; }
  bool operator()(DepthwiseSpec& s) const { return s.c += by; }
  bool operator()(MapSpec& s) const { return !s.dims.empty() && (s.dims.back() += by); }
  bool operator()(ReduceSpec& s) const { return s.kept.back() > 1 && (s.kept.back() += by); }
  bool operator()(NormSpec& s) const { return s.cols += by; }
  bool operator()(WindowSpec& s) const { return s.c += by; }
  bool operator()(GatherSpec& s) const { return s.dims.back() > 1 && (s.dims.back() += by); }
  bool operator()(AttentionSpec& s) const { return s.values.n += by; }
  bool operator()(InvertedResidualSpec& s) const { return s.project.n += by; }
  bool operator()(ScanSpec& s) const { return s.count += by; }
  bool operator()(SortSpec& s) const { return s.count > 1 && (s.count += by); }
  bool operator()(ScatterSpec& s) const { return s.rows > 1 && (s.rows += by); }
  bool operator()(TapsSpec& s) const { return s.count > 1 && (s.count += by); }
};

/// Walks an input backwards that goes forwards.
struct Reverse {
  static bool turn(const std::vector<int64_t>& counts, std::vector<int64_t>& strides) {
    for (size_t i = 0; i < counts.size(); ++i)
      if (counts[i] > 1 && strides[i] > 0) return (strides[i] *= -1000 * counts[i]) < 0;
    return false;
  }
  bool operator()(ContractionSpec& s) const { return s.ow > 1 && s.a_col > 0 && (s.a_col *= -1000000); }
  bool operator()(DepthwiseSpec& s) const { return s.ow > 1 && (s.in_col *= -1000000); }
  bool operator()(MapSpec& s) const { return !s.inputs.empty() && turn(s.dims, s.inputs[0].strides); }
  bool operator()(ReduceSpec& s) const { return turn(s.reduced, s.in_reduced); }
  bool operator()(NormSpec& s) const { return turn(s.rows, s.in_rows); }
  bool operator()(WindowSpec& s) const { return s.iw > 1 && (s.in_col *= -1000000); }
  bool operator()(ScanSpec& s) const { return turn(s.dims, s.in); }
  bool operator()(SortSpec& s) const { return turn(s.dims, s.in); }
  bool operator()(TapsSpec& s) const { return turn(s.dims, s.in); }
  template <class T>
  bool operator()(T&) const {
    return false;
  }
};

template <class Change>
bool change_kernel(Laid& l, Random& random, const Change& change) {
  PlanStep* step;
  ProgramStep* done;
  if (!some_step(l, random, step, done)) return false;
  l.program().kernels.push_back(l.program().kernels[static_cast<size_t>(done->kernel)]);
  done->kernel = static_cast<int>(l.program().kernels.size()) - 1;
  return std::visit(change, l.program().kernels.back().spec);
}

const Damage kDamages[] = {
    {"an address behind its buffer",
     [](Laid& l, Random& random) {
       Operand* o;
       int64_t* address;
       return some_operand(l, random, o, address) && (*address += l.buffer(*o).bytes + 4);
     }},
    {"an address before its buffer",
     [](Laid& l, Random& random) {
       Operand* o;
       int64_t* address;
       return some_operand(l, random, o, address) && (*address -= l.buffer(*o).bytes + 4);
     }},
    {"an address in another space",
     [](Laid& l, Random& random) {
       Operand* o;
       int64_t* address;
       if (!some_operand(l, random, o, address)) return false;
       *address = l.compiled.memory.control;
       return true;
     }},
    {"an operand of another buffer",
     [](Laid& l, Random& random) {
       Operand* o;
       int64_t* address;
       if (!some_operand(l, random, o, address) || l.buffers().size() < 2) return false;
       const auto other = static_cast<int>(any(random, l.buffers().size()));
       const bool differs = other != o->buffer && l.buffer({other, 0}).bytes < l.buffer(*o).bytes &&
                            l.compiled.memory.address({other, 0}) != l.compiled.memory.address({o->buffer, 0});
       if (differs) o->buffer = other;
       return differs;
     }},
    {"a buffer behind its space",
     [](Laid& l, Random& random) {
       l.move(static_cast<int>(any(random, l.buffers().size())), l.compiled.memory.total_bytes);
       return true;
     }},
    {"a buffer before its space",
     [](Laid& l, Random& random) {
       const auto b = static_cast<int>(any(random, l.buffers().size()));
       l.move(b, -l.buffer({b, 0}).offset - 64);
       return true;
     }},
    {"a buffer too small",
     [](Laid& l, Random& random) {
       Operand* o;
       int64_t* address;
       return some_operand(l, random, o, address) && ((l.buffer(*o).bytes = 0), true);
     }},
    {"a result over an operand",
     [](Laid& l, Random& random) {
       PlanStep* step;
       ProgramStep* done;
       if (!some_step(l, random, step, done)) return false;
       if (std::holds_alternative<TapsSpec>(step->spec))
         return false;  // its table names what it reads, perhaps not the first
       const int out = step->operands[0].buffer;
       for (size_t i = 1; i < step->operands.size(); ++i) {
         const Operand& in = step->operands[i];
         if (in.buffer < 0 || in.buffer == out) continue;
         l.move(out, done->operands[i] - done->operands[0]);
         return true;
       }
       return false;
     }},
    {"a barrier left out",
     [](Laid& l, Random& random) {
       size_t writer, reader;
       if (!some_pair(l, random, writer, reader)) return false;
       for (size_t i = writer + 1; i <= reader; ++i) l.program().steps[i].barrier_before = false;
       return true;
     }},
    {"steps in another order",
     [](Laid& l, Random& random) {
       size_t writer, reader;
       if (!some_pair(l, random, writer, reader)) return false;
       swap_steps(l, writer, reader);
       return true;
     }},
    {"a step left out",
     [](Laid& l, Random& random) {
       size_t writer, reader;
       if (!some_pair(l, random, writer, reader)) return false;
       l.plan().steps.erase(l.plan().steps.begin() + static_cast<std::ptrdiff_t>(writer));
       l.program().steps.erase(l.program().steps.begin() + static_cast<std::ptrdiff_t>(writer));
       return true;
     }},
    {"a step of the program left out",
     [](Laid& l, Random&) {
       if (l.program().steps.empty()) return false;
       l.program().steps.pop_back();
       return true;
     }},
    {"a kernel that goes too far", [](Laid& l, Random& random) { return change_kernel(l, random, Stretch{1 << 16}); }},
    {"a kernel that counts beyond 31 bits",
     [](Laid& l, Random& random) { return change_kernel(l, random, Stretch{INT32_MAX}); }},
    {"a kernel that goes nowhere",
     [](Laid& l, Random& random) { return change_kernel(l, random, Stretch{-(1 << 24)}); }},
    {"a kernel that goes back", [](Laid& l, Random& random) { return change_kernel(l, random, Reverse{}); }},
    {"a kernel that there is not",
     [](Laid& l, Random& random) {
       PlanStep* step;
       ProgramStep* done;
       if (!some_step(l, random, step, done)) return false;
       done->kernel = static_cast<int>(l.program().kernels.size());
       return true;
     }},
    {"an operand too few",
     [](Laid& l, Random& random) {
       PlanStep* step;
       ProgramStep* done;
       if (!some_step(l, random, step, done)) return false;
       done->operands.pop_back();
       return true;
     }},
    {"a weight of a run written",
     [](Laid& l, Random& random) {
       PlanStep& step = l.plan().steps[any(random, l.plan().steps.size())];
       ProgramStep& done = l.program().steps[static_cast<size_t>(&step - l.plan().steps.data())];
       for (int b = 0; b < static_cast<int>(l.buffers().size()); ++b)
         if (l.in({b, 0}, Space::weights) && l.buffer({b, 0}).bytes >= l.buffer(step.operands[0]).bytes) {
           step.operands[0] = {b, 0};
           done.operands[0] = l.compiled.memory.address({b, 0});
           return true;
         }
       return false;
     }},
    {"a pack before its weight",
     [](Laid& l, Random& random) {
       if (l.plan().transfers.empty()) return false;
       Transfer& t = l.plan().transfers[any(random, l.plan().transfers.size())];
       const bool waits = t.phase >= 0;
       t.phase = -1;
       return waits;
     }},
    {"a weight that does not come",
     [](Laid& l, Random& random) {
       std::set<int> read;
       for (const auto& phase : l.plan().init)
         for (const PlanStep& step : phase)
           for (size_t i = 1; i < step.operands.size(); ++i) read.insert(step.operands[i].buffer);
       if (l.plan().transfers.empty()) return false;
       const size_t t = any(random, l.plan().transfers.size());
       if (!read.count(l.plan().transfers[t].dst.buffer) || l.plan().transfers[t].phase < 0) return false;
       l.plan().transfers.erase(l.plan().transfers.begin() + static_cast<std::ptrdiff_t>(t));
       return true;
     }},
    {"a weight larger than its place",
     [](Laid& l, Random& random) {
       if (l.plan().transfers.empty()) return false;
       Transfer& t = l.plan().transfers[any(random, l.plan().transfers.size())];
       t.size = l.buffer(t.dst).bytes + 1;
       return true;
     }},
    {"a weight in front of the file",
     [](Laid& l, Random& random) {
       if (l.plan().transfers.empty()) return false;
       l.plan().transfers[any(random, l.plan().transfers.size())].file_offset = -64;
       return true;
     }},
    {"a constant larger than its place",
     [](Laid& l, Random& random) {
       if (l.plan().constants.empty()) return false;
       Plan::Inline& c = l.plan().constants[any(random, l.plan().constants.size())];
       c.bytes.resize(static_cast<size_t>(l.buffer(c.dst).bytes) + 1);
       return true;
     }},
    {"an index beyond the input",
     [](Laid& l, Random&) {
       for (const PlanStep& step : l.plan().steps) {
         const auto* taps = std::get_if<TapsSpec>(&step.spec);
         if (!taps || !taps->in_step) continue;
         for (Plan::Inline& c : l.plan().constants)
           if (c.dst.buffer == step.operands[2].buffer) {
             const int32_t far = 1 << 20;
             std::memcpy(c.bytes.data() + c.bytes.size() - 4, &far, 4);
             return true;
           }
       }
       return false;
     }},
    {"a status word elsewhere",
     [](Laid& l, Random&) {
       for (size_t i = 0; i < l.plan().steps.size(); ++i)
         if (l.plan().steps[i].operands.back().buffer == Operand::kStatusWord) {
           l.program().steps[i].operands.back() += 64;
           return true;
         }
       return false;
     }},
    {"an input that is larger",
     [](Laid& l, Random& random) {
       Port& p = l.plan().inputs[any(random, l.plan().inputs.size())];
       p.shape.push_back(1 << 20);
       return true;
     }},
    {"an output that nobody writes",
     [](Laid& l, Random&) {
       Port& p = l.plan().outputs.back();
       l.plan().buffers.push_back({Space::arena, l.buffer(p.at).bytes});
       l.buffers().push_back({Space::arena, l.buffer(p.at).bytes});
       p.at = {static_cast<int>(l.buffers().size()) - 1, 0};
       return true;
     }},
    {"a memory too small", [](Laid& l, Random&) { return (l.compiled.memory.total_bytes -= 64) > 0; }},
    {"scratch over the arena",
     [](Laid& l, Random&) {
       if (!l.compiled.memory.scratch_stride) return false;
       l.program().scratch = l.compiled.memory.scratch -= 64;
       Buffer last;
       last.bytes = 64, last.offset = l.compiled.memory.scratch - l.compiled.memory.arena;
       l.buffers().push_back(last);
       return true;
     }},
    {"too little scratch",
     [](Laid& l, Random&) {
       if (!l.compiled.memory.scratch_stride) return false;
       l.program().scratch_stride = l.compiled.memory.scratch_stride = 0;
       return true;
     }},
    {"scratch elsewhere", [](Laid& l, Random&) { return (l.program().scratch -= 64) > 0; }},
    {"more threads", [](Laid& l, Random&) { return ++l.program().threads > 0; }},
    {"spaces over each other",
     [](Laid& l, Random&) {
       l.compiled.memory.arena = kControlBytes - 64;
       return true;
     }},
};

TEST(VerifyPlan, CatchesDamage) {
  Random random(1);
  for (const Damage& damage : kDamages) {
    int inflicted = 0;
    for (uint32_t seed = 1; seed <= 300 && inflicted < 24; ++seed) {
      auto laid = laid_out(graph_of(seed), seed % 2 ? reference_target(8) : threaded(), seed % 4 < 2);
      ASSERT_TRUE(laid.ok()) << laid.error().message << " " << laid.error().where << ", seed " << seed;
      if (!damage.inflict(*laid, random)) continue;
      ++inflicted;
      EXPECT_FALSE(laid->verify().ok()) << damage.name << ", seed " << seed << "\n" << to_string(laid->plan());
      if (HasFailure()) return;
    }
    EXPECT_GE(inflicted, 12) << damage.name;
  }
}

TEST(VerifyPlan, CatchesWhatIsPackedOverTheFile) {
  Random random(2);
  int inflicted = 0;
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    auto laid = laid_out(graph_of(seed), reference_target(8), true);
    ASSERT_TRUE(laid.ok());
    const auto& transfers = laid->plan().transfers;
    // The first that is packed goes where the last that is read from the file still lies.
    const Transfer& last = transfers.back();
    if (transfers.size() < 2 || transfers.front().phase < 0) continue;
    const auto& steps = laid->plan().init[static_cast<size_t>(transfers.front().phase)];
    const Operand& to = steps.back().operands[0];
    if (!laid->in(to, Space::weights)) continue;
    const int64_t at = laid->compiled.memory.file + last.file_offset - laid->compiled.memory.weights;
    laid->move(to.buffer, at - laid->buffer(to).offset);
    const int64_t end = laid->buffer(to).offset + round_up(laid->buffer(to).bytes, 64);
    laid->compiled.memory.weights_bytes = std::max(laid->compiled.memory.weights_bytes, end);
    laid->compiled.memory.total_bytes = laid->compiled.memory.weights + laid->compiled.memory.weights_bytes + last.size;
    ++inflicted;
    EXPECT_FALSE(laid->verify().ok()) << "seed " << seed << "\n" << to_string(laid->plan());
    if (HasFailure()) return;
  }
  EXPECT_GE(inflicted, 12);
}

}  // namespace
}  // namespace kiln::testing
