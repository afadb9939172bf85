// Memory, threads and rights that cannot be had: a status each time, and what was open before is as it was.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

#include "jit/backends/native_code.h"
#include "runtime/c_api.h"
#include "runtime/native_sandbox.h"
#include "runtime/native_team.h"
#include "tests/support/digits.h"
#include "tests/support/source_graph.h"

#define KILN_OWN_MEMORY 1
#if defined(__SANITIZE_ADDRESS__)  // a sanitizer has its own
#undef KILN_OWN_MEMORY
#define KILN_OWN_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef KILN_OWN_MEMORY
#define KILN_OWN_MEMORY 0
#endif
#endif

#if KILN_OWN_MEMORY
namespace {
/// How many allocations still succeed; below zero all do. After that none does until it is set again, or one that fails
/// is the last that does.
std::atomic<int64_t> g_left{-1};
std::atomic<bool> g_once{false};

bool is_refused() {
  if (g_left.load(std::memory_order_relaxed) < 0) return false;
  if (g_left.fetch_sub(1) > 0) return false;
  g_left = g_once ? -1 : 0;
  return true;
}
}  // namespace

__attribute__((noinline)) void* operator new(size_t bytes) {
  void* memory = is_refused() ? nullptr : std::malloc(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace kiln {
namespace {

using testing::Digits;

kiln_options plain(int threads = 1) {
  kiln_options options;
  kiln_options_init(&options);
  options.threads = threads;
  options.device_wisdom = 0;
  return options;
}

int run_digits(kiln_model* model, float* logits) {
  static const std::vector<float> image = Digits::image();
  static const int64_t shape[] = {1, 1, 8, 8};
  const kiln_input in{"image", KILN_FLOAT32, shape, 4, image.data(), image.size() * 4};
  const kiln_output out{"logits", logits, 40, nullptr};
  return kiln_model_run(model, &in, 1, &out, 1);
}

bool is_right(const float* logits) {
  static const std::vector<float> want = Digits::logits();
  for (size_t i = 0; i < want.size(); ++i)
    if (!(std::fabs(logits[i] - want[i]) < 1e-3f)) return false;
  return true;
}

/// Bytes of addresses that this process has taken: tests before may have taken many.
int64_t addresses() {
  FILE* sizes = std::fopen("/proc/self/statm", "r");
  long pages = 0;
  if (sizes && std::fscanf(sizes, "%ld", &pages) != 1) pages = 0;
  if (sizes) std::fclose(sizes);
  return pages * sysconf(_SC_PAGESIZE);
}

/// What `body` returns in a process of its own; 1000 and the signal where one ends it.
template <class Body>
int in_a_process(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#if KILN_OWN_MEMORY
/// Tries with memory for 0, 1, 2, … allocations, later for ever more, until `call` succeeds. The first surprise, or 0.
template <class Call>
int with_ever_more_memory(const Call& call) {
  for (int64_t allowed = 0;; allowed += 1 + allowed / 16) {
    g_left = allowed;
    const int status = call();
    const bool all = g_left > 0;  // nothing was refused
    g_left = -1;
    if (all) return status;
    if (status != KILN_OK && status != KILN_OUT_OF_MEMORY) return 100 + status;
    if (status != KILN_OK && *kiln_last_error() == 0) return 99;
  }
}

TEST(NativeLimits, WhereverMemoryEndsOpeningIsAStatus) {
  const std::string path = Digits::path();
  for (const bool once : {false, true}) {
    g_once = once;
    EXPECT_EQ(in_a_process([&] {
                return with_ever_more_memory([&] {
                  const kiln_options options = plain();
                  kiln_model* model = nullptr;
                  const int status = kiln_model_open(path.c_str(), &options, &model);
                  kiln_model_close(model);
                  return (status == KILN_OK) == (model != nullptr) ? status : 50;
                });
              }),
              0);
  }
  g_once = false;
}

TEST(NativeLimits, WhereverMemoryEndsARunIsAStatusAndTheNextIsRight) {
  const kiln_options options = plain(2);
  kiln_model* model = nullptr;
  ASSERT_EQ(kiln_model_open(Digits::path().c_str(), &options, &model), KILN_OK) << kiln_last_error();
  float logits[10];
  ASSERT_EQ(run_digits(model, logits), KILN_OK);
  EXPECT_EQ(with_ever_more_memory([&] { return run_digits(model, logits); }), 0);
  EXPECT_EQ(run_digits(model, logits), KILN_OK);
  EXPECT_TRUE(is_right(logits));
  kiln_model_close(model);
}

/// By the system, whose limit the code generator and mappings meet as well. Free memory that other tests left would
/// hide it: CTest runs this test in a process of its own.
TEST(NativeLimits, WhateverTheSystemAllowsOpeningIsAStatus) {
  const std::string path = Digits::path();
  int refused = 0, opened = 0;
  for (int64_t kilobytes = 64; kilobytes < 40 << 10; kilobytes += 64 + kilobytes / 128) {
    const int status = in_a_process([&] {
      const auto most = static_cast<rlim_t>(addresses() + (kilobytes << 10));
      const rlimit both{most, most};
      if (setrlimit(RLIMIT_AS, &both) != 0) return 91;
      const kiln_options options = plain();
      kiln_model* model = nullptr;
      const int opening = kiln_model_open(path.c_str(), &options, &model);
      float logits[10];
      if (opening == KILN_OK && (run_digits(model, logits) != KILN_OK || !is_right(logits))) return 92;
      kiln_model_close(model);
      return opening;
    });
    refused += status == KILN_OUT_OF_MEMORY;
    opened += status == KILN_OK;
    EXPECT_TRUE(status == KILN_OK || status == KILN_OUT_OF_MEMORY) << status << " at " << kilobytes << " KB";
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(opened, 0);
}

TEST(NativeLimits, ThreadsThatCannotBeStartedAreAStatus) {
  const std::string path = Digits::path();
  EXPECT_EQ(in_a_process([&] {
              const auto most = static_cast<rlim_t>(addresses() + (int64_t{900} << 20));
              const rlimit both{most, most};
              if (setrlimit(RLIMIT_AS, &both) != 0) return 91;
              const kiln_options options = plain(256);  // each wants a stack of 8 MB of addresses
              kiln_model* model = nullptr;
              if (kiln_model_open(path.c_str(), &options, &model) != KILN_OUT_OF_MEMORY || model) return 92;
              if (!std::strstr(kiln_last_error(), "threads")) return 93;
              const kiln_options alone = plain(1);
              if (kiln_model_open(path.c_str(), &alone, &model) != KILN_OK) return 94;
              float logits[10];
              if (run_digits(model, logits) != KILN_OK || !is_right(logits)) return 95;
              kiln_model_close(model);
              return 0;
            }),
            0);
}
#endif

TEST(NativeLimits, ASandboxHoldsAModelAndNothingElse) {
#if !KILN_OWN_MEMORY
  GTEST_SKIP() << "a sanitizer needs more memory than a sandbox has";
#endif
  const std::string path = Digits::path(), folder = ::testing::TempDir() + "kiln_sandbox_" + std::to_string(getpid());
  Digits::image(), Digits::logits();
  ASSERT_EQ(system(("mkdir -p " + folder).c_str()), 0);
  const int status = in_a_process([&] {
    float logits[10];
    if (!is_right(Digits::logits().data())) return 1;  // read before the files are gone
    const std::vector<float> image = Digits::image();
    const char* readable[] = {path.c_str()};
    const kiln_sandbox sandbox{
        static_cast<size_t>(addresses()) + (size_t{1} << 30), 60, 1 << 20, readable, 1, folder.c_str()};
    if (kiln_sandbox_enter(&sandbox) != KILN_OK) return 2;
    const kiln_options options = plain(2);
    kiln_model* model = nullptr;
    if (kiln_model_open(path.c_str(), &options, &model) != KILN_OK) return 3;
    static const int64_t shape[] = {1, 1, 8, 8};
    const kiln_input in{"image", KILN_FLOAT32, shape, 4, image.data(), image.size() * 4};
    const kiln_output out{"logits", logits, 40, nullptr};
    if (kiln_model_run(model, &in, 1, &out, 1) != KILN_OK || !is_right(logits)) return 4;
    kiln_model_close(model);
    if (std::fopen("/etc/hostname", "r") || std::fopen("/proc/self/environ", "r")) return 5;
    if (std::fopen((folder + "/../escaped").c_str(), "w") || std::fopen("/tmp/escaped", "w")) return 6;
    FILE* own = std::fopen((folder + "/own").c_str(), "w");
    if (!own || std::fputs("x", own) < 0 || std::fclose(own) != 0) return 7;
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0) return 8;
    if (fork() >= 0) return 9;
    execl("/bin/true", "true", nullptr);
    if (kill(getppid(), 0) == 0) return 10;
    if (std::malloc(sandbox.memory_bytes)) return 11;
    rlimit more{};
    if (getrlimit(RLIMIT_AS, &more) == 0) return 12;
    if (unlink((folder + "/own").c_str()) == 0) return 13;
    return 0;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(system(("test -f " + folder + "/own && rm -r " + folder).c_str()), 0);
}

TEST(NativeLimits, WithoutASandboxNothingGoesOn) {
  EXPECT_EQ(in_a_process([] {
              Sandbox sandbox;
              sandbox.read = {"/no/such/file"};
              const Status entered = enter_sandbox(sandbox);
              return !entered && entered.error().code == ErrorCode::bad_option ? 0 : 1;
            }),
            0);
  EXPECT_EQ(kiln_sandbox_enter(nullptr), KILN_BAD_OPTION);
}

/// A product of 1024 × 1024 × 1024 takes long enough that the cancel flag is looked at on the way: what is not begun
/// when it is set is not done.
TEST(NativeLimits, CancellingDoesNotWaitForTheEndOfAStep) {
  testing::SourceGraph source;
  const ValueId a = source.input({1024, 1024}), b = source.input({1024, 1024});
  source.output(source.op("aten.mm.default", {a, b}, {1024, 1024}));
  CompileOptions options;
  options.target = host_target();
  options.threads = 2;
  const auto planned = plan_model(std::move(source.graph), options);
  ASSERT_TRUE(planned.ok()) << planned.error().message;
  const auto compiled = lay_out_model(*planned, {}, options);
  ASSERT_TRUE(compiled.ok());
  EXPECT_GT(compiled->program.steps.back().looks, 1);
  const auto code = load_executable(options.target, [&](Emitter& e) { return emit_program(e, compiled->program); });
  ASSERT_TRUE(code.ok());
  const auto memory = NativeMemory::allocate(compiled->memory.total_bytes);
  ASSERT_TRUE(memory.ok());
  const auto team = NativeTeam::start(**code, memory->base(), compiled->memory, options.threads);
  ASSERT_TRUE(team.ok());
  const auto* out = reinterpret_cast<const float*>(memory->at(compiled->memory.address(planned->plan.outputs[0].at)));
  for (const Port& port : planned->plan.inputs) {
    auto* in = reinterpret_cast<float*>(memory->at(compiled->memory.address(port.at)));
    std::fill_n(in, 1 << 20, 1.0f);
  }
  const auto steps = static_cast<int64_t>(planned->plan.steps.size());
  const auto whole = (*team)->run(0, steps);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(*whole, kStatusOk);
  EXPECT_EQ(std::count(out, out + (1 << 20), 1024.0f), 1 << 20);

  std::fill_n(reinterpret_cast<float*>(memory->at(compiled->memory.address(planned->plan.outputs[0].at))), 1 << 20,
              -1.0f);
  (*team)->cancel();
  const auto none = (*team)->run(steps - 1, steps);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, kStatusAborted);
  EXPECT_EQ(std::count(out, out + (1 << 20), -1.0f), 1 << 20);
  (*team)->clear_cancel();
  const auto again = (*team)->run(0, steps);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, kStatusOk);
  EXPECT_EQ(std::count(out, out + (1 << 20), 1024.0f), 1 << 20);
}

}  // namespace
}  // namespace kiln
