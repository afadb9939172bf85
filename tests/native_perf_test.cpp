// The files for Linux perf, read back as perf reads them.
#include <gtest/gtest.h>

#if defined(__linux__) && !defined(__EMSCRIPTEN__)
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "jit/backends/native.h"
#include "runtime/native_perf.h"

namespace kiln {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::unique_ptr<NativeCode> some_code(const std::string& prefix, int functions) {
  const auto emitter = make_native_emitter(host_target());
  for (int i = 0; i < functions; ++i) {
    emitter->begin_function(prefix + std::to_string(i), 1, i == 0);
    for (int k = 0; k <= i; ++k) add(*emitter, emitter->param(0), emitter->param(0), 1000 * k);
    emitter->end_function();
  }
  const auto module = emitter->finish();
  EXPECT_TRUE(module.ok());
  auto code = NativeCode::load(*module);
  EXPECT_TRUE(code.ok());
  return std::move(*code);
}

class PerfFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (host_targets().empty()) GTEST_SKIP() << "no code is generated for this CPU";
    folder_ = ::testing::TempDir() + "kiln_perf_" + std::to_string(getpid());
    first_ = some_code("first", 3), second_ = some_code("second", 2);
    auto log = PerfLog::open(folder_ + ".map", folder_ + ".dump");
    ASSERT_TRUE(log.ok()) << log.error().message;
    ASSERT_TRUE((*log)->add(*first_).ok());
    ASSERT_TRUE((*log)->add(*second_).ok());
    map_ = read_file(folder_ + ".map"), dump_ = read_file(folder_ + ".dump");
  }
  void TearDown() override {
    for (const char* end : {".map", ".dump"}) std::remove((folder_ + end).c_str());
  }
  /// Calls f(name, address, size) for each function, in order.
  template <class F>
  void each(F f) const {
    for (const auto* code : {first_.get(), second_.get()})
      for (const Module::Symbol& s : code->symbols()) f("kiln:" + s.name, code->base() + s.offset, s.size);
  }

  std::string folder_, map_, dump_;
  std::unique_ptr<NativeCode> first_, second_;
};

TEST_F(PerfFiles, TheMapNamesEveryFunction) {
  std::istringstream lines(map_);
  int functions = 0;
  each([&](const std::string& name, const uint8_t* at, uint64_t size) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream words(line);
    uint64_t address = 0, length = 0;
    std::string symbol;
    words >> std::hex >> address >> length >> symbol;
    EXPECT_EQ(symbol, name);
    EXPECT_EQ(address, reinterpret_cast<uintptr_t>(at));
    EXPECT_EQ(length, size);
    EXPECT_GT(size, 0u);
    ++functions;
  });
  EXPECT_EQ(functions, 5);
  std::string more;
  EXPECT_FALSE(std::getline(lines, more));
}

TEST_F(PerfFiles, TheDumpHoldsEveryFunctionsBytes) {
  size_t at = 0;
  const auto u32 = [&] {
    uint32_t v = 0;
    EXPECT_LE(at + 4, dump_.size());
    std::memcpy(&v, dump_.data() + at, 4);
    at += 4;
    return v;
  };
  const auto u64 = [&] {
    const uint64_t low = u32();
    return low | uint64_t{u32()} << 32;
  };
  EXPECT_EQ(u32(), 0x4A695444u);  // "JiTD" in this machine's byte order
  EXPECT_EQ(u32(), 1u);
  EXPECT_EQ(u32(), 40u);
  u32();
  EXPECT_EQ(u32(), 0u);
  EXPECT_EQ(u32(), static_cast<uint32_t>(getpid()));
  uint64_t before = u64(), index = 0;
  EXPECT_EQ(u64(), 0u);
  each([&](const std::string& name, const uint8_t* code, uint64_t size) {
    const size_t start = at;
    EXPECT_EQ(u32(), 0u);  // JIT_CODE_LOAD
    const uint32_t total = u32();
    const uint64_t time = u64();
    EXPECT_GE(time, before);
    before = time;
    EXPECT_EQ(u32(), static_cast<uint32_t>(getpid()));
    u32();
    EXPECT_EQ(u64(), reinterpret_cast<uintptr_t>(code));
    EXPECT_EQ(u64(), reinterpret_cast<uintptr_t>(code));
    EXPECT_EQ(u64(), size);
    EXPECT_EQ(u64(), index++);
    EXPECT_EQ(std::string(dump_.c_str() + at), name);
    at += name.size() + 1;
    EXPECT_EQ(std::memcmp(dump_.data() + at, code, size), 0);
    at += size;
    EXPECT_EQ(at - start, total);
  });
  EXPECT_EQ(at, dump_.size());
}

TEST(Perf, AFileThatCannotBeWrittenIsAnError) {
  const auto log = PerfLog::open("/nowhere/at/all.map", "");
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, ErrorCode::bad_option);
}

}  // namespace
}  // namespace kiln
#endif
