// One loaded model in this process: compiled for this CPU, its weights in memory, ready to run on a team of threads.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/native_device.h"
#include "runtime/native_integrity.h"
#include "runtime/native_memory.h"
#include "runtime/native_team.h"
#include "runtime/native_tune.h"

namespace kiln {

struct SessionOptions {
  std::string isa = "host";  ///< see target_by_name()
  int threads = 0;           ///< including the caller's; 0: one per core of this process
  std::map<std::string, int64_t> dims;
  Precision precision = Precision::balanced;
  double tuning_ms = 0;                  ///< budget for measuring kernels that are not in the wisdom
  std::vector<Wisdom> wisdom;            ///< given by the user
  bool device_wisdom = true;             ///< also read this device's wisdom file, and add new measurements to it
  bool verify_checksums = true;          ///< compare the weights with their hashes
  std::optional<std::string> integrity;  ///< `sha256-…`: this file and no other; compares digests in place of hashes
  std::function<void(const TuneProgress&)> on_tune;
};

struct InputView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  const void* data = nullptr;  ///< contiguous, row-major
  int64_t bytes = 0;
};
struct OutputView {
  std::string name;
  void* data = nullptr;
  int64_t bytes = 0;  ///< exactly the port's
  /// If not null, has room for the dims of the port, and gets those of the result; its elements are the first ones of
  /// `data`. Needed where a run decides the size (Port::axis).
  int64_t* shape = nullptr;
};
int64_t bytes_of(const Port& port);

struct SessionTimings {
  double plan_ms = 0, tune_ms = 0, emit_ms = 0, weights_ms = 0, total_ms = 0;
};

/// Callers in the order in which they came.
class Turns {
 public:
  void take();
  void give();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0, now_ = 0;
};

class NativeSession {
 public:
  using Ports = std::map<std::string, const Port*>;  ///< by name
  /// Whatever the system refuses (memory, threads) is an error too, here and in what follows; nothing throws.
  static Result<std::unique_ptr<NativeSession>> open(const std::string& path, const SessionOptions& options = {});

  const std::vector<Port>& inputs() const { return planned_.plan.inputs; }
  const std::vector<Port>& outputs() const { return planned_.plan.outputs; }

  /// Runs the model once. Every input must be given. Outputs that are not asked for are not copied. Calls from several
  /// threads take turns, in the order in which they came. Errors: bad_input (names, types, sizes, an index outside its
  /// table), aborted.
  Status run(const std::vector<InputView>& inputs, const std::vector<OutputView>& outputs);
  /// Ends the current run or profile, which returns `aborted`. May be called from any thread. Without a run it does
  /// nothing.
  void cancel();
  /// The least milliseconds of each step over `passes` whole passes. Steps are timed in their order, as in a run. The
  /// time of an empty step is subtracted.
  Result<std::vector<double>> profile(const std::vector<InputView>& inputs, int passes);

  const CompileOptions& options() const { return options_; }
  const Planned& planned() const { return planned_; }
  const MemoryMap& memory() const { return compiled_.memory; }
  /// The schedule of a step, and its origin.
  const Choice& choice_of(size_t step) const {
    return compiled_.choices[static_cast<size_t>(planned_.step_spec[step])];
  }
  const Module& module() const { return code_->module(); }
  const SessionTimings& timings() const { return timings_; }
  /// What was measured at this load.
  const Wisdom& learned() const { return learned_; }
  /// Failures that do not affect results: wisdom that could not be read or saved.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  NativeSession() = default;
  Status load(const std::string& path, const SessionOptions& options);
  Status choose(const SessionOptions& options, std::vector<Choice>& choices);
  using ReadWeights = FunctionRef<Status(int64_t offset, void* to, int64_t size)>;
  Status load_weights(ReadWeights read);
  Status check_inputs(const std::vector<InputView>& inputs) const;
  void write_inputs(const std::vector<InputView>& inputs);
  Result<std::vector<const Port*>> match_outputs(const std::vector<OutputView>& outputs) const;
  Status run_once(const std::vector<InputView>& inputs, const std::vector<const Port*>& ports,
                  const std::vector<OutputView>& outputs);
  void copy_result(const Port& port, const OutputView& wanted);
  Result<std::vector<double>> time_steps(const std::vector<InputView>& inputs, int passes);
  Status run_steps(int64_t first, int64_t last);
  template <class Work>
  auto exclusively(const Work& work);
  char* at(const Operand& operand) const;

  CompileOptions options_;
  Planned planned_;
  Ports input_ports_, output_ports_;  // of planned_
  Compiled compiled_;
  std::unique_ptr<NativeExecutable> code_;
  NativeMemory memory_;
  SessionTimings timings_;
  Wisdom learned_;
  std::vector<std::string> notes_;
  Turns turns_;
  std::mutex running_mutex_;
  bool running_ = false;
  std::unique_ptr<NativeTeam> team_;  // last: its threads end before what they use
};

}  // namespace kiln
