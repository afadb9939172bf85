#include "runtime/native_team.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <system_error>

#include "jit/program.h"
#include "runtime/native_guard.h"

namespace kiln {
namespace {

// The host's words of the control block, as in js-sdk/src/shared/memory.ts: start generation, first and last step, how
// many threads are in the run, and whether the run is closed to late threads.
constexpr int64_t kGeneration = kControlHost, kFirst = kControlHost + 4, kLast = kControlHost + 8,
                  kInside = kControlHost + 64;
constexpr int32_t kClosed = 1 << 16;
/// Rounds of polling a word before sleeping on it: some 20 µs, as long as waking up takes.
constexpr int kSpins = 1000;

using Word = std::atomic<int32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free, "a control word is a plain 32-bit word");

void sleep_on(Word& word, int32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void wake(Word& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until the word is no longer `old`, and returns it.
int32_t await_change(Word& word, int32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    const int32_t now = word.load();
    if (now != old) return now;
    relax();
  }
  for (;;) {
    const int32_t now = word.load();
    if (now != old) return now;
    sleep_on(word, old);
  }
}

}  // namespace

NativeTeam::NativeTeam(const NativeExecutable& executable, int64_t base, const MemoryMap& memory, int threads)
    : executable_(executable), base_(base), memory_(memory), threads_(threads) {
  word(kInside).store(kClosed);
}

Result<std::unique_ptr<NativeTeam>> NativeTeam::start(const NativeExecutable& executable, int64_t base,
                                                      const MemoryMap& memory, int threads) {
  std::unique_ptr<NativeTeam> team(new NativeTeam(executable, base, memory, threads));
  team->workers_.reserve(static_cast<size_t>(threads));
  for (int thread = 1; thread < threads; ++thread) {
    try {
      team->workers_.emplace_back([self = team.get(), thread] { self->serve(thread); });
    } catch (const std::system_error&) {  // those that have started end with the team
      return Error{ErrorCode::out_of_memory,
                   "the system starts no more than " + std::to_string(thread) + " of " + std::to_string(threads) +
                       " threads: ask for fewer, one needs none",
                   ""};
    }
  }
  return team;
}

NativeTeam::~NativeTeam() {
  ending_ = true;
  word(kGeneration).fetch_add(1);
  wake(word(kGeneration));
  for (std::thread& worker : workers_) worker.join();
}

Word& NativeTeam::word(int64_t offset) const {
  return *reinterpret_cast<Word*>(static_cast<intptr_t>(base_ + memory_.control + offset));
}

Status NativeTeam::take_part(int thread, int64_t first, int64_t last) const {
  return executable_.call(Entry::run, {base_, thread, threads_, first, last});
}

void NativeTeam::serve(int thread) {
  for (int32_t generation = 0;;) {
    generation = await_change(word(kGeneration), generation);
    if (ending_) return;
    const auto work = [&] { return take_part(thread, word(kFirst).load(), word(kLast).load()); };
    if (!(word(kInside).fetch_add(1) & kClosed) && !guarded(work)) failed_ = true;
    if (word(kInside).fetch_sub(1) == kClosed + 1) wake(word(kInside));
  }
}

/// No thread is in a run. Clears the progress of the last run and calls the other threads.
void NativeTeam::let_in(int64_t first, int64_t last) {
  std::memset(reinterpret_cast<void*>(static_cast<intptr_t>(base_ + memory_.progress)), 0,
              static_cast<size_t>(memory_.weights - memory_.progress));
  word(kFirst).store(static_cast<int32_t>(first));
  word(kLast).store(static_cast<int32_t>(last));
  word(kInside).fetch_and(~kClosed);
  word(kGeneration).fetch_add(1);
  wake(word(kGeneration));
}

/// A thread that has not come yet need not come any more. A thread inside has nothing left to do.
void NativeTeam::see_out() {
  for (int32_t inside = word(kInside).fetch_or(kClosed) | kClosed; inside != kClosed;)
    inside = await_change(word(kInside), inside);
}

Result<int32_t> NativeTeam::run(int64_t first, int64_t last) {
  word(kControlStatus).store(kStatusOk);
  if (threads_ > 1) let_in(first, last);
  KILN_TRY(take_part(0, first, last));
  if (threads_ > 1) see_out();
  if (failed_) return Error{ErrorCode::internal, "a thread failed inside the model", ""};
  return word(kControlStatus).load();
}

void NativeTeam::cancel() { word(kControlCancel).store(1); }
void NativeTeam::clear_cancel() { word(kControlCancel).store(0); }

}  // namespace kiln
