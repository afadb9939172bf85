#include "runtime/c_api.h"

#include <algorithm>

#include "runtime/native_guard.h"
#include "runtime/native_sandbox.h"
#include "runtime/native_session.h"
#include "support/function_ref.h"

using namespace kiln;

struct kiln_model {
  std::unique_ptr<NativeSession> session;
  std::vector<std::string> schedules;  ///< by step
};

namespace {

// The C enums are the C++ ones, in the same order.
static_assert(KILN_ABORTED == 1 + static_cast<int>(ErrorCode::aborted), "status codes follow ErrorCode");
static_assert(KILN_BAD_INPUT == 1 + static_cast<int>(ErrorCode::bad_input), "status codes follow ErrorCode");
static_assert(KILN_BOOL == static_cast<int>(DType::boolean) && KILN_INT32 == static_cast<int>(DType::i32) &&
                  KILN_UINT64 == static_cast<int>(DType::u64) && KILN_UINT64 + 1 == kNumDTypes,
              "element types follow DType");
static_assert(KILN_EXACT == static_cast<int>(Precision::exact) && KILN_FAST == static_cast<int>(Precision::fast),
              "precisions follow Precision");

thread_local std::string last_text;
thread_local const char* last_error = "";

int fail(const Error& e) {
  try {
    last_text = e.message + (e.where.empty() ? "" : " [" + e.where + "]");
    last_error = last_text.c_str();
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";  // for the message of an error
  }
  return 1 + static_cast<int>(e.code);
}
int fail(const char* what) {
  last_error = what;
  return KILN_BAD_OPTION;
}
/// The status of `work`, whatever happens in it.
int answer(FunctionRef<Status()> work) {
  const Status status = guarded(work);
  return status ? KILN_OK : fail(status.error());
}

Result<SessionOptions> session_options(const kiln_options& o) {
  SessionOptions out;
  out.threads = o.threads;
  if (o.isa) out.isa = o.isa;
  if (o.precision < KILN_EXACT || o.precision > KILN_FAST)
    return Error{ErrorCode::bad_option, "precision is none of KILN_EXACT, KILN_BALANCED and KILN_FAST", ""};
  out.precision = static_cast<Precision>(o.precision);
  out.tuning_ms = o.tuning_ms;
  out.device_wisdom = o.device_wisdom != 0;
  out.verify_checksums = o.verify_checksums != 0;
  if (o.integrity) out.integrity = o.integrity;
  for (size_t i = 0; i < o.num_dims; ++i) {
    if (!o.dims || !o.dims[i].name) return Error{ErrorCode::bad_option, "a dim has no name", ""};
    out.dims[o.dims[i].name] = o.dims[i].size;
  }
  if (o.wisdom) {
    KILN_ASSIGN(const Wisdom wisdom, WisdomFile(o.wisdom).load());
    out.wisdom.push_back(wisdom);
  }
  return out;
}

Result<std::vector<InputView>> input_views(const kiln_input* inputs, size_t count) {
  std::vector<InputView> views;
  for (size_t i = 0; i < count; ++i) {
    const kiln_input& in = inputs[i];
    if (!in.name || (in.rank && !in.shape) || (in.bytes && !in.data))
      return Error{ErrorCode::bad_input, "an input has no name, no shape or no data", "input " + std::to_string(i)};
    if (in.dtype < KILN_FLOAT32 || in.dtype > KILN_UINT64)
      return Error{ErrorCode::bad_input, "an input is of no known type", in.name};
    views.push_back({in.name,
                     static_cast<DType>(in.dtype),
                     {in.shape, in.shape + in.rank},
                     in.data,
                     static_cast<int64_t>(in.bytes)});
  }
  return views;
}

Result<std::vector<OutputView>> output_views(const kiln_output* outputs, size_t count) {
  std::vector<OutputView> views;
  for (size_t i = 0; i < count; ++i) {
    const kiln_output& out = outputs[i];
    if (!out.name || (out.bytes && !out.data))
      return Error{ErrorCode::bad_input, "an output has no name or no memory", "output " + std::to_string(i)};
    views.push_back({out.name, out.data, static_cast<int64_t>(out.bytes), out.shape});
  }
  return views;
}

int describe(const std::vector<Port>& ports, size_t index, kiln_port* out) {
  if (!out) return fail("port is null");
  if (index >= ports.size()) return fail("there are fewer ports");
  const Port& p = ports[index];
  *out = {p.name.c_str(), static_cast<int>(p.dtype),        p.shape.data(),
          p.shape.size(), static_cast<size_t>(bytes_of(p)), static_cast<int>(p.axis)};
  return KILN_OK;
}

}  // namespace

extern "C" {

const char* kiln_last_error(void) { return last_error; }

const char* kiln_status_name(int status) {
  if (status == KILN_OK) return "ok";
  return status > KILN_OK && status <= KILN_ABORTED ? error_code_name(static_cast<ErrorCode>(status - 1)) : "unknown";
}

void kiln_options_init(kiln_options* options) {
  if (options) *options = {0, "host", KILN_BALANCED, 0, nullptr, 1, 1, nullptr, nullptr, 0};
}

int kiln_sandbox_enter(const kiln_sandbox* sandbox) {
  if (!sandbox || (sandbox->num_read && !sandbox->read)) return fail("sandbox, or its files, is null");
  return answer([&]() -> Status {
    Sandbox own;
    own.memory_bytes = static_cast<int64_t>(sandbox->memory_bytes);
    own.cpu_seconds = static_cast<int64_t>(sandbox->cpu_seconds);
    own.file_bytes = static_cast<int64_t>(sandbox->file_bytes);
    own.read.assign(sandbox->read, sandbox->read + sandbox->num_read);
    if (sandbox->write) own.write = sandbox->write;
    return enter_sandbox(own);
  });
}

int kiln_model_open(const char* path, const kiln_options* options, kiln_model** model) {
  if (!model) return fail("model is null");
  *model = nullptr;
  if (!path) return fail("path is null");
  return answer([&]() -> Status {
    kiln_options defaults;
    kiln_options_init(&defaults);
    KILN_ASSIGN(const SessionOptions parsed, session_options(options ? *options : defaults));
    auto opened = std::make_unique<kiln_model>();
    KILN_ASSIGN(opened->session, NativeSession::open(path, parsed));
    for (size_t step = 0; step < opened->session->planned().plan.steps.size(); ++step)
      opened->schedules.push_back(to_string(opened->session->choice_of(step).schedule));
    *model = opened.release();
    return ok();
  });
}

void kiln_model_close(kiln_model* model) { delete model; }

size_t kiln_model_num_inputs(const kiln_model* model) { return model ? model->session->inputs().size() : 0; }
size_t kiln_model_num_outputs(const kiln_model* model) { return model ? model->session->outputs().size() : 0; }
int kiln_model_input(const kiln_model* model, size_t index, kiln_port* port) {
  return model ? describe(model->session->inputs(), index, port) : fail("model is null");
}
int kiln_model_output(const kiln_model* model, size_t index, kiln_port* port) {
  return model ? describe(model->session->outputs(), index, port) : fail("model is null");
}

int kiln_model_run(kiln_model* model, const kiln_input* inputs, size_t num_inputs, const kiln_output* outputs,
                   size_t num_outputs) {
  if (!model || (num_inputs && !inputs) || (num_outputs && !outputs)) return fail("model, inputs or outputs is null");
  return answer([&]() -> Status {
    KILN_ASSIGN(const std::vector<InputView> in, input_views(inputs, num_inputs));
    KILN_ASSIGN(const std::vector<OutputView> out, output_views(outputs, num_outputs));
    return model->session->run(in, out);
  });
}

void kiln_model_cancel(kiln_model* model) {
  if (model) model->session->cancel();
}

int kiln_model_memory(const kiln_model* model, kiln_memory* memory) {
  if (!model || !memory) return fail("model or memory is null");
  const MemoryMap& m = model->session->memory();
  *memory = {static_cast<size_t>(m.arena - m.weights), static_cast<size_t>(m.scratch - m.arena),
             static_cast<size_t>(m.total_bytes - m.scratch), static_cast<size_t>(m.total_bytes)};
  return KILN_OK;
}

size_t kiln_model_num_steps(const kiln_model* model) { return model ? model->schedules.size() : 0; }

int kiln_model_step(const kiln_model* model, size_t index, kiln_step* step) {
  if (!model || !step) return fail("model or step is null");
  if (index >= model->schedules.size()) return fail("there are fewer steps");
  const PlanStep& s = model->session->planned().plan.steps[index];
  *step = {s.label.c_str(), family_name(s.spec), model->schedules[index].c_str(), flops_of(s.spec), bytes_of(s.spec)};
  return KILN_OK;
}

int kiln_model_profile(kiln_model* model, const kiln_input* inputs, size_t num_inputs, int passes, double* ms) {
  if (!model || !ms || (num_inputs && !inputs)) return fail("model, inputs or ms is null");
  if (passes < 1) return fail("passes must be at least 1");
  return answer([&]() -> Status {
    KILN_ASSIGN(const std::vector<InputView> in, input_views(inputs, num_inputs));
    KILN_ASSIGN(const std::vector<double> times, model->session->profile(in, passes));
    std::copy(times.begin(), times.end(), ms);
    return ok();
  });
}

}  // extern "C"
