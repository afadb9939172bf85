// The threads of one model: the caller is thread 0, the others sleep on a word of the control block between runs.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "runtime/native_executable.h"

namespace kiln {

class NativeTeam {
 public:
  /// Starts threads − 1 threads. `executable` and the memory at `base` must outlive the team.
  NativeTeam(const NativeExecutable& executable, int64_t base, int64_t control, int threads);
  ~NativeTeam();
  NativeTeam(const NativeTeam&) = delete;
  NativeTeam& operator=(const NativeTeam&) = delete;

  int threads() const { return threads_; }
  /// Steps [first, last) on all threads; returns when the last one is done, with the status word they left. One caller
  /// at a time.
  Result<int32_t> run(int64_t first, int64_t last);
  /// Ends the run under way at its next barrier, and every later one until clear_cancel().
  void cancel();
  void clear_cancel();

 private:
  std::atomic<int32_t>& word(int64_t offset) const;
  void serve(int thread);
  Status take_part(int thread, int64_t first, int64_t last) const;

  const NativeExecutable& executable_;
  const int64_t base_, control_;
  const int threads_;
  std::atomic<bool> failed_{false}, ending_{false};
  std::vector<std::thread> workers_;
};

}  // namespace kiln
