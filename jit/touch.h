// The operands of a kernel: their names, types, who is written, and what is touched of them. A family lists them as
// jit/kernel_spec.h tells them. Nothing here knows how it is emitted.
#pragma once

#include <utility>
#include <vector>

#include "jit/kernel_spec.h"
#include "jit/schedule.h"

namespace kiln {

/// Bytes [begin, end) from an operand's address.
struct Span {
  int64_t begin = 0, end = 0;
  bool has_gaps = false;  ///< not all of them are touched; the first and the last are
};

/// The list that a family's row makes. An operand begins with writes() or reads(). Then come the loops that move it,
/// and how many neighbours it has in each round.
class Operands {
 public:
  /// Only counts operands.
  Operands() = default;
  /// Nothing may count beyond `most`.
  Operands(const Schedule& schedule, int64_t most) : schedule_(&schedule), most_(most) {}

  /// Those that are written come first.
  Operands& writes(const char* name, DType type = DType::f32) { return begin(name, type, true); }
  Operands& reads(const char* name, DType type = DType::f32) { return begin(name, type, false); }
  /// A word that kernels set where the data are wrong.
  Operands& status() { return begin("status", DType::i32, false); }

  /// So many rounds, each `stride` elements from the last.
  Operands& loop(int64_t rounds, int64_t stride);
  template <class T>
  Operands& along(const T& rounds, const T& strides) {
    return loops(rounds.data(), rounds.size(), strides.data(), strides.size());
  }
  Operands& run(int64_t neighbours);
  /// What a pack makes, in the form that the schedule reads.
  Operands& packed(const PackSpec& pack);
  Operands& packed(const ContractionSpec& product);
  /// The operands of an epilogue: strides over `rounds`, or over dims and then `rounds`.
  void fused(const Epilogue& epilogue, const std::vector<int64_t>& dims);
  void fused(const Epilogue& epilogue, std::vector<int64_t> dims, int64_t rounds);
  /// A number that the kernel counts to.
  void count(int64_t n) { fits_ = fits_ && n >= 1 && n <= most_; }
  void require(bool holds) { fits_ = fits_ && holds; }

  size_t count() const { return count_; }
  size_t written() const { return written_; }
  struct Operand {
    const char* name;
    DType type;
    bool written;
    Span span;
  };
  /// Nothing if something counts too far, or to less than 1.
  std::vector<Operand> take();

 private:
  Operands& begin(const char* name, DType type, bool written);
  Operands& loops(const int64_t* rounds, size_t n, const int64_t* strides, size_t m);
  void end();
  bool leave_gaps(int64_t run);

  const Schedule* schedule_ = nullptr;
  int64_t most_ = INT64_MAX;
  size_t count_ = 0, written_ = 0;
  int64_t run_ = 1;
  std::vector<std::pair<int64_t, int64_t>> steps_;  ///< of the loops so far: how long, how many rounds
  bool fits_ = true;
  std::vector<Operand> list_;
};

/// What all units of a kernel touch, operand by operand; of the input of taps what index 0 names. Nothing of a spec
/// that counts beyond `most`, or to less than 1.
std::vector<Operands::Operand> operands_of(const KernelSpec& spec, const Schedule& schedule, int64_t most = INT32_MAX);
std::vector<Span> touched(const KernelSpec& spec, const Schedule& schedule, int64_t most = INT32_MAX);

}  // namespace kiln
