// Whole models through NativeSession, on the digits model that the zoo exports (./dev test exports it first).
#include "runtime/native_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "jit/backends/native_code.h"
#include "tests/support/digits.h"

namespace kiln {
namespace {

using testing::Digits;
namespace fs = std::filesystem;

SessionOptions plain(int threads = 1, const std::string& isa = "host") {
  SessionOptions options;
  options.threads = threads;
  options.isa = isa;
  options.device_wisdom = false;
  return options;
}

std::unique_ptr<NativeSession> open_digits(const SessionOptions& options) {
  auto session = NativeSession::open(Digits::path(), options);
  EXPECT_TRUE(session.ok()) << session.error().message;
  return session ? std::move(*session) : nullptr;
}

/// The answer to one image; empty when the run failed.
std::vector<float> answer(NativeSession& session, const std::vector<float>& image) {
  std::vector<float> logits(10, NAN);
  const Status ran = session.run({Digits::input(image)}, {Digits::output(logits)});
  EXPECT_TRUE(ran.ok()) << ran.error().message;
  return ran ? logits : std::vector<float>{};
}

/// Within 1e-4 of the scale: sums of up to some 300 products in another order.
void expect_close(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  float scale = 0;
  for (float w : want) scale = std::max(scale, std::abs(w));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-4f * scale) << i;
}

ErrorCode code_of(const std::string& path, const SessionOptions& options = plain()) {
  const auto session = NativeSession::open(path, options);
  EXPECT_FALSE(session.ok());
  if (session) return ErrorCode::internal;
  EXPECT_FALSE(session.error().message.empty());
  return session.error().code;
}

/// A folder that goes with the test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("kiln-test-" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(NativeSession, AgreesWithPyTorchOnEveryTargetAndThreadCount) {
  std::vector<std::string> isas{"reference"};
  for (const Target& t : host_targets()) isas.push_back(to_string(t).substr(0, to_string(t).find('+')));
  for (const std::string& isa : isas)
    for (int threads = 1; threads <= 3; ++threads) {
      SCOPED_TRACE(isa + ", " + std::to_string(threads) + " threads");
      const auto session = open_digits(plain(threads, isa));
      ASSERT_TRUE(session);
      for (int run = 0; run < 3; ++run) expect_close(answer(*session, Digits::image()), Digits::logits());
    }
}

TEST(NativeSession, TellsWhatItIs) {
  const auto session = open_digits(plain(2));
  ASSERT_TRUE(session);
  ASSERT_EQ(session->inputs().size(), 1u);
  EXPECT_EQ(session->inputs()[0].name, "image");
  EXPECT_EQ(session->inputs()[0].shape, (std::vector<int64_t>{1, 1, 8, 8}));
  EXPECT_EQ(session->outputs()[0].name, "logits");
  EXPECT_EQ(session->options().threads, 2);
  EXPECT_EQ(session->memory().total_bytes, session->memory().scratch + 2 * session->memory().scratch_stride);
  EXPECT_GE(session->memory().arena - session->memory().weights, session->planned().plan.weights_bytes);
  EXPECT_FALSE(session->module().symbols.empty());
  EXPECT_GT(session->timings().total_ms, 0);
  EXPECT_TRUE(session->notes().empty());
}

TEST(NativeSession, RefusesFilesThatAreNotWholeModels) {
  const Folder folder;
  const std::string whole = *read_text(Digits::path());
  EXPECT_EQ(code_of("/no/such/model.kiln"), ErrorCode::bad_file);
  EXPECT_EQ(code_of(folder.path()), ErrorCode::bad_file);
  EXPECT_EQ(code_of(folder.file("empty", "")), ErrorCode::bad_file);
  EXPECT_EQ(code_of(folder.file("text", "version https://git-lfs.github.com/spec/v1\noid")), ErrorCode::bad_file);
  for (const size_t size : {size_t{4}, size_t{12}, size_t{100}, whole.size() / 2, whole.size() - 1})
    EXPECT_EQ(code_of(folder.file("cut", whole.substr(0, size))), ErrorCode::bad_file) << size;
}

TEST(NativeSession, ComparesWeightsWithTheirChecksums) {
  const Folder folder;
  std::string damaged = *read_text(Digits::path());
  damaged[damaged.size() - 100] ^= 1;  // among the last weights
  const std::string path = folder.file("damaged", damaged);
  EXPECT_EQ(code_of(path), ErrorCode::bad_file);
  SessionOptions trusting = plain();
  trusting.verify_checksums = false;
  EXPECT_TRUE(NativeSession::open(path, trusting).ok());
}

TEST(NativeSession, ComparesDigestsOfAFileThatItInsistsOn) {
  const Folder folder;
  const std::string whole = *read_text(Digits::path());
  const auto file = ModelFile::open(Digits::path());
  ASSERT_TRUE(file.ok());
  SessionOptions insisting = plain();
  insisting.integrity = *integrity_of(*file);
  expect_close(answer(*open_digits(insisting), Digits::image()), Digits::logits());
  for (const size_t at : {file->head().size() + 64, whole.size() - 100, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[at] ^= 1;
    const auto session = NativeSession::open(folder.file("damaged", damaged), insisting);
    ASSERT_FALSE(session.ok());
    EXPECT_EQ(session.error().code, ErrorCode::bad_file);
    EXPECT_NE(session.error().message.find("digests"), std::string::npos) << session.error().message;
  }
}

TEST(NativeSession, ReadsNoOtherWeightsThanItHasCompared) {
  const Folder folder;
  const std::string whole = *read_text(Digits::path()), path = folder.file("written", whole);
  const auto file = ModelFile::open(path);
  ASSERT_TRUE(file.ok());
  const auto graph = file->graph();
  ASSERT_TRUE(graph.ok());
  CheckedWeights weights(*file, *graph);
  int64_t before = 0, after = 0;
  ASSERT_TRUE(weights.read(0, &before, sizeof before).ok());
  folder.file("written", whole.substr(0, whole.size() - static_cast<size_t>(graph->weights_bytes)) +
                             std::string(static_cast<size_t>(graph->weights_bytes), '\1'));
  ASSERT_TRUE(weights.read(0, &after, sizeof after).ok());
  EXPECT_EQ(before, after);
  CheckedWeights late(*file, *graph);
  EXPECT_FALSE(late.read(0, &after, sizeof after).ok());
  EXPECT_FALSE(late.rest().ok());
}

TEST(NativeSession, RefusesOptions) {
  EXPECT_EQ(code_of(Digits::path(), plain(-1)), ErrorCode::bad_option);
  EXPECT_EQ(code_of(Digits::path(), plain(257)), ErrorCode::bad_option);
  EXPECT_EQ(code_of(Digits::path(), plain(1, "mmx")), ErrorCode::bad_option);
}

TEST(NativeSession, RefusesInputsAndStaysUsable) {
  const auto session = open_digits(plain());
  ASSERT_TRUE(session);
  const std::vector<float> image = Digits::image();
  std::vector<float> logits(10);
  const auto code = [&](const std::vector<InputView>& in, const std::vector<OutputView>& out) {
    const Status ran = session->run(in, out);
    EXPECT_FALSE(ran.ok());
    return ran ? ErrorCode::internal : ran.error().code;
  };
  const InputView good = Digits::input(image);
  const auto with = [&](auto change) {
    InputView view = good;
    change(view);
    return view;
  };
  const OutputView out = Digits::output(logits);
  EXPECT_EQ(code({}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({good, good}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({with([](InputView& v) { v.name = "picture"; })}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({with([](InputView& v) { v.shape = {1, 1, 4, 16}; })}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({with([](InputView& v) { v.dtype = DType::i32; })}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({with([](InputView& v) { v.bytes -= 4; })}, {out}), ErrorCode::bad_input);
  EXPECT_EQ(code({good}, {{"probabilities", logits.data(), 40}}), ErrorCode::bad_input);
  EXPECT_EQ(code({good}, {{"logits", logits.data(), 36}}), ErrorCode::bad_input);
  EXPECT_TRUE(session->run({good}, {}).ok());  // outputs are optional
  expect_close(answer(*session, image), Digits::logits());
}

TEST(NativeSession, QueuesCallsOfSeveralThreads) {
  const auto session = open_digits(plain(2));
  ASSERT_TRUE(session);
  constexpr int kCallers = 4, kRuns = 25;
  std::vector<std::vector<float>> images(kCallers, Digits::image()), expected;
  for (int c = 0; c < kCallers; ++c) {
    for (float& pixel : images[static_cast<size_t>(c)]) pixel *= 1.0f + 0.25f * static_cast<float>(c);
    expected.push_back(answer(*session, images[static_cast<size_t>(c)]));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (size_t c = 0; c < kCallers; ++c)
    callers.emplace_back([&, c] {
      for (int run = 0; run < kRuns; ++run)
        if (answer(*session, images[c]) != expected[c]) ++wrong;
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(NativeSession, CancelEndsARunAndTheNextIsWhole) {
  for (int threads = 1; threads <= 3; ++threads) {
    SCOPED_TRACE(threads);
    const auto session = open_digits(plain(threads));
    ASSERT_TRUE(session);
    session->cancel();  // no run: nothing happens
    expect_close(answer(*session, Digits::image()), Digits::logits());
    std::atomic<bool> ended{false};
    std::thread canceller([&] {
      while (!ended) session->cancel(), std::this_thread::yield();
    });
    const auto profile = session->profile({Digits::input(Digits::image())}, 1 << 30);  // would take hours
    ended = true;
    canceller.join();
    ASSERT_FALSE(profile.ok());
    EXPECT_EQ(profile.error().code, ErrorCode::aborted);
    expect_close(answer(*session, Digits::image()), Digits::logits());
  }
}

TEST(NativeSession, ProfilesEveryStep) {
  const auto session = open_digits(plain(2));
  ASSERT_TRUE(session);
  const auto ms = session->profile({Digits::input(Digits::image())}, 3);
  ASSERT_TRUE(ms.ok()) << ms.error().message;
  EXPECT_EQ(ms->size(), session->planned().plan.steps.size());
  for (double t : *ms) EXPECT_TRUE(t >= 0 && std::isfinite(t)) << t;
  expect_close(answer(*session, Digits::image()), Digits::logits());
}

TEST(NativeSession, KeepsWhatItMeasured) {
  const Folder folder;
  ASSERT_EQ(setenv("XDG_CACHE_HOME", folder.path().c_str(), 1), 0);
  SessionOptions tuned = plain();
  tuned.device_wisdom = true;
  tuned.tuning_ms = 30;
  int reports = 0;
  tuned.on_tune = [&](const TuneProgress&) { ++reports; };
  const auto first = open_digits(tuned);
  ASSERT_TRUE(first);
  EXPECT_GT(reports, 0);
  EXPECT_EQ(first->learned().size(), 1u);
  expect_close(answer(*first, Digits::image()), Digits::logits());

  tuned.tuning_ms = 0;
  const auto second = open_digits(tuned);
  ASSERT_TRUE(second);
  int from_wisdom = 0;
  for (size_t i = 0; i < second->planned().plan.steps.size(); ++i)
    from_wisdom += second->choice_of(i).origin == Origin::wisdom;
  EXPECT_GT(from_wisdom, 0);
  expect_close(answer(*second, Digits::image()), Digits::logits());

  const auto store = WisdomFile::of_device(host_device(1));
  ASSERT_TRUE(store);
  std::ofstream(store->path()) << "{\"wasmkiln-wisdom\": 99}";
  const auto third = open_digits(tuned);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->notes().size(), 1u);  // what cannot be used is reported, and does not stop the model
  unsetenv("XDG_CACHE_HOME");
}

TEST(NativeTune, PeakIsAboveWhatAnyKernelReaches) {
  const auto peak = measure_peak(host_target());
  ASSERT_TRUE(peak.ok()) << peak.error().message;
  EXPECT_GT(*peak, 0);
}

}  // namespace
}  // namespace kiln
