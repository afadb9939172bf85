// Measures kernels with Google Benchmark: interleaved at random, the least of many short samples, with a peak that is
// measured in between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/machine.h"
#include "tuner/tuner.h"

namespace kiln::bench {

/// Memory that kernels run over; the same for all, so that an address means the same in every module.
class Workspace {
 public:
  explicit Workspace(int64_t bytes);
  int64_t base() const { return base_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<float> floats_;
  int64_t base_, bytes_;
};

/// One thing to time: bench(base, index, repeats) of a module.
struct Subject {
  std::string name;
  double work = 0;  ///< of one run: flops, or bytes where there are more (a copy has no flops)
  testing::Machine* machine = nullptr;
  int index = 0;
};

/// The module of a BenchProgram.
Result<std::unique_ptr<testing::Machine>> load(const Target& target, const BenchProgram& program);

/// The peak of this target on one thread: multiply-adds on registers alone.
class Peak {
 public:
  explicit Peak(const Target& target);
  Subject subject() const;

 private:
  std::unique_ptr<testing::Machine> machine_;
  double flops_ = 0;
};

/// The least seconds per run of each subject over `repetitions` interleaved samples of about a millisecond. Infinite if
/// it failed.
std::vector<double> measure(const std::vector<Subject>& subjects, const Workspace& workspace, int repetitions);

}  // namespace kiln::bench
