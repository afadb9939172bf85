#include "runtime/native_session.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <limits>
#include <set>
#include <system_error>

#include "runtime/native_guard.h"

namespace kiln {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return to_string(Shape(shape.begin(), shape.end())); }

std::string port_text(const Port& port) {
  return "'" + port.name + "' (" + name_of(port.dtype) + " " + shape_text(port.shape) + ")";
}

Error bad_input(std::string message, const std::string& where) {
  return {ErrorCode::bad_input, std::move(message), where};
}

Status check(const SessionOptions& options) {
  if (options.threads < 0 || options.threads > 256)
    return Error{ErrorCode::bad_option, "threads must be 1 to 256, or 0 for one per core", ""};
  if (options.integrity && !options.verify_checksums)
    return Error{ErrorCode::bad_option, "integrity is compared by verifying: do not turn that off", "integrity"};
  return ok();
}

std::string names(const std::vector<Port>& ports) {
  std::string text;
  for (const Port& p : ports) text += (text.empty() ? "" : ", ") + port_text(p);
  return text;
}

const Port* find(const NativeSession::Ports& ports, const std::string& name) {
  const auto it = ports.find(name);
  return it == ports.end() ? nullptr : it->second;
}

Status check(const Port& port, const InputView& given) {
  if (given.dtype != port.dtype || given.shape != port.shape)
    return bad_input(
        "the model takes " + port_text(port) + ", not " + name_of(given.dtype) + " " + shape_text(given.shape),
        port.name);
  if (given.bytes != bytes_of(port))
    return bad_input("the model takes " + port_text(port) + " in " + std::to_string(bytes_of(port)) + " bytes, not " +
                         std::to_string(given.bytes),
                     port.name);
  return ok();
}

/// `work` on a thread of its own; nothing where the system has none left.
template <class Work>
std::future<Status> beside(const Work& work) {
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    return {};
  }
}

}  // namespace

int64_t bytes_of(const Port& port) {
  int64_t bytes = size_of(port.dtype);
  for (int64_t d : port.shape) bytes *= d;
  return bytes;
}

void Turns::take() {
  std::unique_lock lock(mutex_);
  const uint64_t mine = next_++;
  changed_.wait(lock, [&] { return now_ == mine; });
}

void Turns::give() {
  const std::lock_guard lock(mutex_);
  ++now_;
  changed_.notify_all();
}

Result<std::unique_ptr<NativeSession>> NativeSession::open(const std::string& path, const SessionOptions& options) {
  return guarded([&]() -> Result<std::unique_ptr<NativeSession>> {
    std::unique_ptr<NativeSession> session(new NativeSession);
    KILN_TRY(session->load(path, options));
    return session;
  });
}

Status NativeSession::load(const std::string& path, const SessionOptions& options) {
  const Clock::time_point start = Clock::now();
  KILN_TRY(check(options));
  KILN_ASSIGN(options_.target, target_by_name(options.isa));
  options_.threads = options.threads ? options.threads : host_threads();
  options_.device = host_device(options_.threads);
  options_.dims = options.dims;
  options_.precision = options.precision;

  KILN_ASSIGN(const ModelFile file, ModelFile::open(path));
  if (options.integrity) KILN_TRY(insist(*options.integrity, file));
  KILN_ASSIGN(Graph graph, file.graph());
  std::optional<CheckedWeights> checked;
  if (options.integrity) checked.emplace(file, graph);
  Verification verification(file, graph);
  const auto verify = [&] { return options.verify_checksums && !checked ? verification.work() : ok(); };
  std::future<Status> verified = beside(verify);
  KILN_ASSIGN(planned_, plan_model(std::move(graph), options_));
  for (const Port& port : inputs()) input_ports_[port.name] = &port;
  for (const Port& port : outputs()) output_ports_[port.name] = &port;
  timings_.plan_ms = since_ms(start);

  const Clock::time_point tuning = Clock::now();
  std::vector<Choice> choices;
  KILN_TRY(choose(options, choices));
  timings_.tune_ms = since_ms(tuning);

  const Clock::time_point emission = Clock::now();
  KILN_ASSIGN(compiled_, lay_out_model(planned_, choices, options_));
  KILN_ASSIGN(code_, load_executable(options_.target, [&](Emitter& e) { return emit_program(e, compiled_.program); }));
  KILN_TRY(code_->register_for_perf());
  timings_.emit_ms = since_ms(emission);

  const Clock::time_point loading = Clock::now();
  KILN_ASSIGN(memory_, NativeMemory::allocate(compiled_.memory.total_bytes));
  KILN_TRY(load_weights([&](int64_t offset, void* to, int64_t size) {
    return checked ? checked->read(offset, to, size) : file.read_weights(offset, to, size);
  }));
  KILN_TRY(checked ? checked->rest() : verify());
  if (verified.valid()) KILN_TRY(verified.get());
  timings_.weights_ms = since_ms(loading);
  KILN_ASSIGN(team_, NativeTeam::start(*code_, memory_.base(), compiled_.memory, options_.threads));
  timings_.total_ms = since_ms(start);
  return ok();
}

Status NativeSession::choose(const SessionOptions& options, std::vector<Choice>& choices) {
  Chooser chooser(planned_, options_.target, options_.device);
  const auto store = options.device_wisdom ? WisdomFile::of_device(options_.device) : std::nullopt;
  if (store) {
    const auto known = store->load();
    if (known) chooser.add(*known);
    if (!known && known.error().code == ErrorCode::bad_wisdom)
      notes_.push_back(store->path() + " was not used: " + known.error().message);
  }
  for (const Wisdom& wisdom : options.wisdom) chooser.add(wisdom);
  if (options.tuning_ms > 0) KILN_TRY(tune(chooser, options_.target, options.tuning_ms, options.on_tune));
  choices = chooser.choices();
  learned_ = chooser.learned();
  if (store && learned_.size() > 0) {
    const Status saved = store->merge(learned_);
    if (!saved) notes_.push_back("wisdom was not saved: " + saved.error().message);
  }
  return ok();
}

char* NativeSession::at(const Operand& operand) const { return memory_.at(compiled_.memory.address(operand)); }

/// The order is that of js-sdk/src/host/session.ts: constants, phases that wait for no weight, then each weight and the
/// phase that it starts.
Status NativeSession::load_weights(ReadWeights read) {
  const Plan& plan = planned_.plan;
  const auto init = [&](int64_t phase) { return code_->call(Entry::init, {memory_.base(), phase}); };
  for (const Plan::Inline& c : plan.constants)
    if (!c.bytes.empty()) std::memcpy(at(c.dst), c.bytes.data(), c.bytes.size());
  std::set<int64_t> started;
  for (const Transfer& t : plan.transfers) started.insert(t.phase);
  for (int64_t phase = 0; phase < static_cast<int64_t>(plan.init.size()); ++phase)
    if (!started.count(phase)) KILN_TRY(init(phase));
  for (const Transfer& t : plan.transfers) {
    KILN_TRY(read(t.file_offset, at(t.dst), t.size));
    if (t.phase >= 0) KILN_TRY(init(t.phase));
  }
  int32_t status;
  std::memcpy(&status, memory_.at(compiled_.memory.control + kControlLoadStatus), sizeof status);
  if (status == kStatusOk) return ok();
  return Error{ErrorCode::bad_file, "a weight holds an index that is outside its table", ""};
}

Status NativeSession::check_inputs(const std::vector<InputView>& given) const {
  std::set<std::string> seen;
  for (const InputView& view : given) {
    const Port* port = find(input_ports_, view.name);
    if (!port) return bad_input("the model has no input '" + view.name + "'; it takes " + names(inputs()), view.name);
    if (!seen.insert(view.name).second) return bad_input("an input is given twice", view.name);
    KILN_TRY(check(*port, view));
  }
  for (const Port& port : inputs())
    if (!seen.count(port.name)) return bad_input("the input " + port_text(port) + " is missing", port.name);
  return ok();
}

void NativeSession::write_inputs(const std::vector<InputView>& given) {
  for (const InputView& view : given)
    if (view.bytes) std::memcpy(at(find(input_ports_, view.name)->at), view.data, static_cast<size_t>(view.bytes));
}

Result<std::vector<const Port*>> NativeSession::match_outputs(const std::vector<OutputView>& wanted) const {
  std::vector<const Port*> ports;
  for (const OutputView& view : wanted) {
    ports.push_back(find(output_ports_, view.name));
    if (!ports.back())
      return bad_input("the model has no output '" + view.name + "'; it gives " + names(outputs()), view.name);
    if (view.bytes != bytes_of(*ports.back()))
      return bad_input("the output " + port_text(*ports.back()) + " takes " + std::to_string(bytes_of(*ports.back())) +
                           " bytes, not " + std::to_string(view.bytes),
                       view.name);
    if (ports.back()->axis >= 0 && !view.shape)
      return bad_input("a run decides the size of the output " + port_text(*ports.back()) +
                           ": give room for the shape of the result",
                       view.name);
  }
  return ports;
}

Status NativeSession::run_steps(int64_t first, int64_t last) {
  KILN_ASSIGN(const int32_t status, team_->run(first, last));
  switch (status) {
    case kStatusOk:
      return ok();
    case kStatusAborted:
      return Error{ErrorCode::aborted, "the run was cancelled", ""};
    case kStatusBadIndex:
      return Error{ErrorCode::bad_input, "an input holds an index (a token id, a position) that is outside its table",
                   ""};
    default:
      return Error{ErrorCode::internal, "the run ended with the unknown status " + std::to_string(status), ""};
  }
}

/// Has one caller at a time. cancel() can reach a run only inside this.
template <class Work>
auto NativeSession::exclusively(const Work& work) {
  turns_.take();
  {
    const std::lock_guard lock(running_mutex_);
    team_->clear_cancel();
    running_ = true;
  }
  auto result = guarded(work);
  {
    const std::lock_guard lock(running_mutex_);
    running_ = false;
  }
  turns_.give();
  return result;
}

Status NativeSession::run(const std::vector<InputView>& given, const std::vector<OutputView>& wanted) {
  return guarded([&]() -> Status {
    KILN_TRY(check_inputs(given));
    KILN_ASSIGN(const std::vector<const Port*> ports, match_outputs(wanted));
    return exclusively([&] { return run_once(given, ports, wanted); });
  });
}

Status NativeSession::run_once(const std::vector<InputView>& given, const std::vector<const Port*>& ports,
                               const std::vector<OutputView>& wanted) {
  write_inputs(given);
  KILN_TRY(run_steps(0, static_cast<int64_t>(planned_.plan.steps.size())));
  for (size_t i = 0; i < wanted.size(); ++i) copy_result(*ports[i], wanted[i]);
  return ok();
}

/// Of a result whose size the run decided, the parts that there are, side by side.
void NativeSession::copy_result(const Port& port, const OutputView& wanted) {
  if (wanted.shape) std::copy(port.shape.begin(), port.shape.end(), wanted.shape);
  if (!wanted.bytes) return;
  if (port.axis < 0) {
    std::memcpy(wanted.data, at(port.at), static_cast<size_t>(wanted.bytes));
    return;
  }
  const auto axis = static_cast<size_t>(port.axis);
  int32_t count;
  std::memcpy(&count, at(planned_.plan.counts[port.count].at), sizeof count);
  const int64_t room = port.shape[axis], size = std::clamp<int64_t>(count, 0, room);
  wanted.shape[axis] = size;
  int64_t outer = 1;
  for (size_t i = 0; i < axis; ++i) outer *= port.shape[i];
  const int64_t part = wanted.bytes / outer / room;
  for (int64_t i = 0; i < outer && size; ++i)
    std::memcpy(static_cast<char*>(wanted.data) + i * size * part, at(port.at) + i * room * part,
                static_cast<size_t>(size * part));
}

Result<std::vector<double>> NativeSession::profile(const std::vector<InputView>& given, int passes) {
  return guarded([&]() -> Result<std::vector<double>> {
    KILN_TRY(check_inputs(given));
    return exclusively([&] { return time_steps(given, passes); });
  });
}

Result<std::vector<double>> NativeSession::time_steps(const std::vector<InputView>& given, int passes) {
  const auto steps = static_cast<int64_t>(planned_.plan.steps.size());
  std::vector<double> best(static_cast<size_t>(steps), std::numeric_limits<double>::infinity());
  double empty = std::numeric_limits<double>::infinity();
  const auto time = [&](int64_t first, int64_t last, double& least) -> Status {
    const Clock::time_point start = Clock::now();
    KILN_TRY(run_steps(first, last));
    least = std::min(least, since_ms(start));
    return ok();
  };
  for (int pass = 0; pass < passes; ++pass) {
    write_inputs(given);  // a run leaves other things in their place
    KILN_TRY(time(0, 0, empty));
    for (int64_t step = 0; step < steps; ++step) KILN_TRY(time(step, step + 1, best[static_cast<size_t>(step)]));
  }
  for (double& ms : best) ms = std::max(ms - empty, 0.0);
  return best;
}

void NativeSession::cancel() {
  const std::lock_guard lock(running_mutex_);
  if (running_) team_->cancel();
}

}  // namespace kiln
