// The threads of one model: the caller is thread 0, the others sleep on a word of the control block between runs.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/compile.h"
#include "runtime/native_executable.h"

namespace kiln {

class NativeTeam {
 public:
  /// Starts threads − 1 threads; an error where the system does not. `executable` and the memory at `base` must outlive
  /// the team.
  static Result<std::unique_ptr<NativeTeam>> start(const NativeExecutable& executable, int64_t base,
                                                   const MemoryMap& memory, int threads);
  ~NativeTeam();
  NativeTeam(const NativeTeam&) = delete;
  NativeTeam& operator=(const NativeTeam&) = delete;

  int threads() const { return threads_; }
  /// Runs steps [first, last) on all threads that arrive in time. Returns the status word when the work is done. One
  /// caller at a time.
  Result<int32_t> run(int64_t first, int64_t last);
  /// Ends the current run at its next step, and every later run until clear_cancel().
  void cancel();
  void clear_cancel();

 private:
  NativeTeam(const NativeExecutable& executable, int64_t base, const MemoryMap& memory, int threads);
  std::atomic<int32_t>& word(int64_t offset) const;
  void serve(int thread);
  void let_in(int64_t first, int64_t last);
  void see_out();
  Status take_part(int thread, int64_t first, int64_t last) const;

  const NativeExecutable& executable_;
  const int64_t base_;
  const MemoryMap& memory_;
  const int threads_;
  std::atomic<bool> failed_{false}, ending_{false};
  std::vector<std::thread> workers_;
};

}  // namespace kiln
