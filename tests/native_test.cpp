// Machine code as text: what the tests of kernels cannot see. And steps that real threads share.
#include <gtest/gtest.h>

#ifndef __EMSCRIPTEN__
#include <capstone/capstone.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "jit/backends/native.h"
#include "jit/backends/native_code.h"
#include "jit/kernels/contraction.h"
#include "jit/program.h"
#include "tests/support/machine.h"
#include "tuner/tuner.h"

namespace kiln {
namespace {

struct Instruction {
  uint64_t address = 0;
  std::string name, operands;
  uint64_t jump = 0;   ///< where it jumps to, if it does
  bool stack = false;  ///< touches a vector on the stack
};

/// The instructions of a function. On AArch64 its constants follow, aligned by zeros.
class Disassembler {
 public:
  explicit Disassembler(const Target& target) : neon_(target.isa == Isa::neon) {
    EXPECT_EQ(cs_open(neon_ ? CS_ARCH_ARM64 : CS_ARCH_X86, neon_ ? CS_MODE_LITTLE_ENDIAN : CS_MODE_64, &handle_),
              CS_ERR_OK);
    cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
  }
  ~Disassembler() { cs_close(&handle_); }

  std::vector<Instruction> operator()(const Module& module, const Module::Symbol& function) const {
    const uint8_t* code = module.bytes.data() + function.offset;
    size_t left = function.size;
    uint64_t address = function.offset;
    cs_insn* one = cs_malloc(handle_);
    std::vector<Instruction> all;
    while (left > 0 && address < constants_ && cs_disasm_iter(handle_, &code, &left, &address, one))
      all.push_back(neon_ ? aarch64(*one) : x86(*one));
    cs_free(one, 1);
    const bool filled = neon_ && left >= 4 && std::all_of(code, code + 4, [](uint8_t byte) { return byte == 0; });
    EXPECT_TRUE(left == 0 || address >= constants_ || filled) << function.name << ": no instruction at " << address;
    constants_ = ~uint64_t{0};
    return all;
  }

 private:
  Instruction x86(const cs_insn& i) const {
    Instruction out{i.address, i.mnemonic, i.op_str};
    bool vector = false, on_stack = false;
    for (int k = 0; k < i.detail->x86.op_count; ++k) {
      const cs_x86_op& op = i.detail->x86.operands[k];
      if (op.type == X86_OP_IMM && cs_insn_group(handle_, &i, CS_GRP_JUMP)) out.jump = static_cast<uint64_t>(op.imm);
      if (op.type == X86_OP_REG && op.size >= 16) vector = true;
      if (op.type == X86_OP_MEM && op.mem.base == X86_REG_RSP) on_stack = true;
    }
    out.stack = vector && on_stack;
    return out;
  }
  /// Constants follow a function's code; what loads them tells where.
  Instruction aarch64(const cs_insn& i) const {
    Instruction out{i.address, i.mnemonic, i.op_str};
    bool vector = false, on_stack = false;
    for (int k = 0; k < i.detail->arm64.op_count; ++k) {
      const cs_arm64_op& op = i.detail->arm64.operands[k];
      if (op.type == ARM64_OP_IMM && out.name[0] == 'b') out.jump = static_cast<uint64_t>(op.imm);
      if (op.type == ARM64_OP_IMM && out.name == "ldr")
        constants_ = std::min(constants_, static_cast<uint64_t>(op.imm));
      if (op.type == ARM64_OP_REG && op.reg >= ARM64_REG_Q0 && op.reg <= ARM64_REG_Q31) vector = true;
      if (op.type == ARM64_OP_MEM && op.mem.base == ARM64_REG_SP) on_stack = true;
    }
    out.stack = vector && on_stack;
    return out;
  }

  bool neon_;
  csh handle_ = 0;
  mutable uint64_t constants_ = ~uint64_t{0};
};

/// The round of a loop that holds no other loop and multiplies.
std::vector<Instruction> innermost_product(const std::vector<Instruction>& code) {
  std::vector<Instruction> best;
  for (size_t end = 0; end < code.size(); ++end) {
    if (code[end].jump == 0 || code[end].jump >= code[end].address) continue;
    std::vector<Instruction> round;
    bool multiplies = false;
    for (size_t i = 0; i <= end; ++i) {
      if (code[i].address < code[end].jump) continue;
      round.push_back(code[i]);
      multiplies = multiplies || code[i].name == "vfmadd231ps" || code[i].name == "fmla";
    }
    if (multiplies && (best.empty() || round.size() < best.size())) best = round;
  }
  return best;
}

int count(const std::vector<Instruction>& code, const std::string& name) {
  int n = 0;
  for (const Instruction& i : code) n += i.name == name;
  return n;
}

Module emit_kernel(const Target& target, const KernelSpec& spec, const Schedule& schedule) {
  const auto emitter = make_native_emitter(target);
  family_of(spec).emit(*emitter, spec, schedule, "kernel");
  auto module = emitter->finish();
  EXPECT_TRUE(module.ok()) << module.error().message;
  return module.ok() ? std::move(*module) : Module{};
}

ContractionSpec product(int64_t m, int64_t n, int64_t k) {
  ContractionSpec s;
  s.ow = m, s.n = n, s.k = k;
  s.a_row = m * k, s.a_col = k, s.a_tap_row = k, s.a_tap_col = k;
  s.c_row = m * n, s.c_col = n;
  return s;
}

TEST(NativeCode, TilesKeepTheirAccumulatorsInRegisters) {
  for (const Target& target : {avx2_target(), avx512_target(), neon_target()}) {
    const Disassembler disassemble(target);
    const ContractionSpec spec = product(48, 192, 64);
    int tiles = 0;
    for (const Schedule& schedule : candidates(spec, target)) {
      if (schedule.mc) continue;
      const Module module = emit_kernel(target, spec, schedule);
      for (const Module::Symbol& f : module.symbols) {
        if (f.name.find("_tile" + std::to_string(schedule.mr) + "x") == std::string::npos) continue;
        const std::vector<Instruction> round = innermost_product(disassemble(module, f));
        ASSERT_FALSE(round.empty()) << f.name << " has no inner loop";
        EXPECT_EQ(count(round, target.isa == Isa::neon ? "fmla" : "vfmadd231ps") % (schedule.mr * schedule.unroll), 0);
        for (const Instruction& i : round)
          EXPECT_FALSE(i.stack) << f.name << " on " << to_string(target) << ": " << i.name << " " << i.operands;
        ++tiles;
      }
    }
    EXPECT_GT(tiles, 8) << to_string(target);
  }
}

TEST(NativeCode, NeonMultipliesByElement) {
  const Target target = neon_target();
  Schedule schedule;
  schedule.mr = 8, schedule.nv = 2, schedule.unroll = 4;
  const Module module = emit_kernel(target, product(8, 8, 64), schedule);
  const std::vector<Instruction> round = innermost_product(Disassembler(target)(module, module.symbols.front()));
  int by_element = 0;
  for (const Instruction& i : round) by_element += i.name == "fmla" && i.operands.find(".s[0]") != std::string::npos;
  EXPECT_EQ(by_element, 8 * 2 * 4);
  EXPECT_LE(count(round, "dup"), 1);  // the last element of A, were somebody to read all its lanes after the loop
}

/// Steps that pass a matrix on, its columns turned by one each time: what a step reads, other threads wrote.
class Turning {
 public:
  static constexpr int64_t kRows = 8, kColumns = 64;
  static constexpr int kThreads = 3;  // more than a small machine has: some of them will sleep
  Turning(const Target& target, int steps) {
    ContractionSpec spec = product(kRows, kColumns, kColumns);
    Schedule schedule;
    schedule.mr = 4, schedule.nv = 1, schedule.unroll = 4;
    program.kernels.push_back({spec, schedule});
    const int64_t width = tile_columns(schedule, target);
    program.threads = kThreads;
    program.progress = kControlBytes;
    data = kControlBytes + progress_bytes(kThreads, static_cast<size_t>(steps));
    weights = data + 2 * kBytes;
    memory.resize(static_cast<size_t>(weights / 4 + kColumns * kColumns + 16));
    float* packed = base() + weights / 4;
    for (int64_t k = 0; k < kColumns; ++k) {  // column n of the result is column n − 1
      const int64_t n = (k + 1) % kColumns;
      packed[n / width * width * kColumns + k * width + n % width] = 1;
    }
    for (int i = 0; i < steps; ++i) {
      const int64_t from = data + i % 2 * kBytes, to = data + (i + 1) % 2 * kBytes;
      program.steps.push_back({0, {to, from, weights}, true, i % 4});  // cut in 3, in 2, in 1 for each, not at all
    }
    reset();
  }
  /// As a host does before a run.
  void reset() {
    std::memset(base(), 0, static_cast<size_t>(data));
    for (int64_t i = 0; i < kRows * kColumns; ++i) base()[data / 4 + i] = static_cast<float>(i);
  }
  void expect_turned(int steps) {
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < kColumns; ++c)
        ASSERT_EQ(at(r, c, steps), static_cast<float>(r * kColumns + c)) << r << ", " << c;
  }
  int32_t& word(int64_t offset) { return reinterpret_cast<int32_t*>(base())[offset / 4]; }
  float* base() { return reinterpret_cast<float*>(round_up(testing::address(memory.data()), 64)); }
  float at(int64_t row, int64_t column, int steps) {
    return base()[(data + steps % 2 * kBytes) / 4 + row * kColumns + (column + steps) % kColumns];
  }

  Program program;

 private:
  static constexpr int64_t kBytes = kRows * kColumns * 4;
  int64_t data, weights;
  std::vector<float> memory;
};

/// A chain of functions with odd ends, a conversion, a reduction, a softmax.
std::vector<KernelSpec> other_kernels() {
  MapSpec chain;
  chain.dims = {5, 23};
  chain.out.strides = {23, 1};
  chain.inputs = {{DType::f32, {23, 1}}, {DType::f32, {1, 0}}};
  Expr& e = chain.expr;
  const uint16_t quotient =
      e.binary(PointOp::div, e.unary(PointOp::erf, e.input(0)), e.unary(PointOp::exp, e.input(1)));
  e.binary(PointOp::max, e.unary(PointOp::sin, quotient), e.unary(PointOp::floor, e.input(0)));
  MapSpec convert;
  convert.dims = {19};
  convert.out = {DType::u8, {1}};
  convert.inputs = {{DType::i64, {1}}};
  convert.expr.input(0, Lane::i32);
  ReduceSpec sum;
  sum.kept = {7}, sum.reduced = {33};
  sum.in_kept = {33}, sum.in_reduced = {1}, sum.out_kept = {1};
  NormSpec softmax;
  softmax.rows = {3}, softmax.in_rows = {29}, softmax.out_rows = {29};
  softmax.cols = 29;
  return {chain, convert, sum, softmax};
}

TEST(NativeCode, EveryInstructionOfANeonProgramDecodes) {
  const Target target = neon_target();
  Turning turning(target, 3);
  ContractionSpec integers = product(48, 192, 64);
  integers.int16 = true;
  std::vector<KernelSpec> specs = other_kernels();
  specs.emplace_back(integers);
  for (KernelSpec& spec : specs) {
    const int operands = num_operands(spec);
    const Schedule schedule = prior(spec, target, {});
    turning.program.kernels.push_back({std::move(spec), schedule});
    turning.program.steps.push_back({static_cast<int>(turning.program.kernels.size()) - 1,
                                     std::vector<int64_t>(static_cast<size_t>(operands)), true});
  }
  const auto emitter = make_native_emitter(target);
  ASSERT_TRUE(emit_program(*emitter, turning.program).ok());
  const auto module = emitter->finish();
  ASSERT_TRUE(module.ok());
  const Disassembler disassemble(target);
  std::set<std::string> names;
  for (const Module::Symbol& f : module->symbols)
    for (const Instruction& i : disassemble(*module, f)) names.insert(i.name);
  for (const char* name :
       {"fmla", "ldaxr", "stlxr", "ldar", "stlr", "yield", "bl", "blr", "udiv", "ret", "smull", "smull2", "addp"})
    EXPECT_TRUE(names.count(name)) << name;
}

using RunEntry = void (*)(int64_t, int64_t, int64_t, int64_t, int64_t);

/// `test(turning, run)` with the code of each target of this machine.
template <class Test>
void on_each_target(int steps, const Test& test) {
  for (const Target& target : host_targets()) {
    SCOPED_TRACE(to_string(target));
    Turning turning(target, steps);
    const auto emitter = make_native_emitter(target);
    ASSERT_TRUE(emit_program(*emitter, turning.program).ok());
    const auto module = emitter->finish();
    ASSERT_TRUE(module.ok());
    const auto code = NativeCode::load(*module);
    ASSERT_TRUE(code.ok());
    test(turning, reinterpret_cast<RunEntry>((*code)->find("run")));
  }
}

TEST(NativeCode, ThreadsShareSteps) {
  constexpr int kSteps = 500;
  on_each_target(kSteps, [](Turning& turning, RunEntry run) {
    for (const int late : {0, 1, 2}) {  // who comes when the others have begun, and finds what is left
      turning.reset();
      std::vector<std::thread> threads;
      for (int t = 0; t < Turning::kThreads; ++t)
        threads.emplace_back([&, t] {
          if (t == late) std::this_thread::sleep_for(std::chrono::microseconds(100));
          run(testing::address(turning.base()), t, Turning::kThreads, 0, kSteps);
        });
      for (std::thread& t : threads) t.join();
      turning.expect_turned(kSteps);
      EXPECT_EQ(turning.word(kControlStatus), kStatusOk);
      EXPECT_EQ(turning.word(kControlSleepers), 0);
    }
  });
}

TEST(NativeCode, OneThreadDoesWhatOthersWouldHaveDone) {
  constexpr int kSteps = 9;
  on_each_target(kSteps, [](Turning& turning, RunEntry run) {
    const int64_t base = testing::address(turning.base());
    run(base, 1, Turning::kThreads, 0, kSteps);  // nobody else comes
    turning.expect_turned(kSteps);
    run(base, 0, Turning::kThreads, 0, kSteps);  // too late: all is done, and stays
    turning.expect_turned(kSteps);
    turning.reset();
    for (int i = 0; i < kSteps; ++i) run(base, 0, 1, i, i + 1);  // alone, step by step: nothing is to be cleared
    turning.expect_turned(kSteps);
    turning.reset();
    run(base, 2, Turning::kThreads, 0, 4);  // a part of the steps, then the others
    run(base, 0, Turning::kThreads, 4, kSteps);
    turning.expect_turned(kSteps);
  });
}

TEST(NativeCode, ACancelledRunEndsOnEveryThread) {
  constexpr int kSteps = 9;
  on_each_target(kSteps, [](Turning& turning, RunEntry run) {
    for (const int threads : {1, Turning::kThreads}) {
      turning.reset();
      turning.word(kControlCancel) = 1;
      std::vector<std::thread> others;
      for (int t = 0; t < threads; ++t)
        others.emplace_back([&, t] { run(testing::address(turning.base()), t, threads, 0, kSteps); });
      for (std::thread& t : others) t.join();
      EXPECT_EQ(turning.word(kControlStatus), kStatusAborted);
      turning.expect_turned(1);  // the first step is done, no other begun
    }
  });
}

}  // namespace
}  // namespace kiln
#endif
