#include "tests/support/machine.h"

#include "jit/backends/reference.h"
#include "jit/backends/wasm.h"

#ifdef __EMSCRIPTEN__
#include <emscripten.h>

EM_JS(int, kiln_test_load, (const uint8_t* bytes, int size), {
  try {
    const module = new WebAssembly.Module(HEAPU8.slice(bytes, bytes + size));
    const instance = new WebAssembly.Instance(module, {env : {memory : wasmMemory}});
    Module.kilnLoaded = Module.kilnLoaded || [];
    return Module.kilnLoaded.push(instance.exports) - 1;
  } catch (e) {
    console.log(String(e));
    return -1;
  }
});
EM_JS(int, kiln_test_call, (int handle, const char* name, const int32_t* args, int count), {
  try {
    Module.kilnLoaded[handle][UTF8ToString(name)].apply(null, HEAP32.subarray(args >> 2, (args >> 2) + count));
    return 1;
  } catch (e) {
    console.log(String(e));
    return 0;
  }
});
EM_JS(void, kiln_test_unload, (int handle), { Module.kilnLoaded[handle] = null; });
#else
#include "jit/backends/native.h"
#include "jit/backends/native_code.h"
#include "tests/support/aarch64.h"
#endif

namespace kiln::testing {
namespace {

class ReferenceMachine final : public Machine {
 public:
  explicit ReferenceMachine(std::unique_ptr<ReferenceEmitter> code) : code_(std::move(code)) {}
  Status call(const std::string& name, const std::vector<int64_t>& args) override { return code_->call(name, args); }
  void allow(const void* start, int64_t bytes) override { code_->allow(start, bytes); }

 private:
  std::unique_ptr<ReferenceEmitter> code_;
};

#ifdef __EMSCRIPTEN__
class WasmMachine final : public Machine {
 public:
  explicit WasmMachine(int handle) : handle_(handle) {}
  ~WasmMachine() override { kiln_test_unload(handle_); }
  Status call(const std::string& name, const std::vector<int64_t>& args) override {
    const std::vector<int32_t> words(args.begin(), args.end());
    if (kiln_test_call(handle_, name.c_str(), words.data(), static_cast<int>(words.size()))) return ok();
    return Error{ErrorCode::internal, "the engine trapped", name};
  }
  void allow(const void*, int64_t) override {}

 private:
  int handle_;
};
#else
class NativeMachine final : public Machine {
 public:
  explicit NativeMachine(std::unique_ptr<NativeCode> code) : code_(std::move(code)) {}
  Status call(const std::string& name, const std::vector<int64_t>& args) override {
    void* at = code_->find(name);
    if (!at || args.size() > 16) return Error{ErrorCode::internal, "no such function, or too many arguments", name};
    // The caller clears the stack: a function that takes fewer ignores the rest.
    std::vector<int64_t> a(args);
    a.resize(16);
    using I = int64_t;
    using Entry = void (*)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I);
    reinterpret_cast<Entry>(at)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13],
                                a[14], a[15]);
    return ok();
  }
  void allow(const void*, int64_t) override {}

 private:
  std::unique_ptr<NativeCode> code_;
};
#endif

}  // namespace

std::vector<Target> real_targets() {
#ifdef __EMSCRIPTEN__
  return {wasm_target(false, false), wasm_target(true, false)};
#else
  return host_targets();
#endif
}

std::vector<Target> targets() {
  std::vector<Target> all{reference_target(4), reference_target(8), reference_target(16)};
  all[1].fma = false;
  all[0].shared_tiles = all[1].shared_tiles = true;
  for (const Target& t : real_targets()) all.push_back(t);
#ifndef __EMSCRIPTEN__
  if (host_target().isa != Isa::neon) all.push_back(neon_target());
#endif
  return all;
}

Result<std::unique_ptr<Machine>> load(const Target& target, const std::function<void(Emitter&)>& build) {
  if (target.isa == Isa::reference) {
    auto code = make_reference_emitter(target);
    build(*code);
    KILN_TRY(code->finish());
    return std::unique_ptr<Machine>(std::make_unique<ReferenceMachine>(std::move(code)));
  }
#ifdef __EMSCRIPTEN__
  const auto emitter = make_wasm_emitter(target);
  build(*emitter);
  KILN_ASSIGN(const Module module, emitter->finish());
  const int handle = kiln_test_load(module.bytes.data(), static_cast<int>(module.bytes.size()));
  if (handle >= 0) return std::unique_ptr<Machine>(std::make_unique<WasmMachine>(handle));
  return Error{ErrorCode::internal, "this process cannot run the target", to_string(target)};
#else
  const auto emitter = make_native_emitter(target);
  if (!emitter) return Error{ErrorCode::internal, "this process cannot run the target", to_string(target)};
  build(*emitter);
  KILN_ASSIGN(Module module, emitter->finish());
  if (target.isa == Isa::neon && host_target().isa != Isa::neon) return emulate_aarch64(std::move(module));
  KILN_ASSIGN(auto code, NativeCode::load(module));
  return std::unique_ptr<Machine>(std::make_unique<NativeMachine>(std::move(code)));
#endif
}

Kernel::Kernel(const Target& target, const KernelSpec& spec, const Schedule& schedule,
               const std::vector<KernelSpec>& neighbours) {
  const Family& family = family_of(spec);
  units_ = family.units(spec, schedule, target);
  scratch_.resize(static_cast<size_t>(family.scratch_bytes(spec, schedule, target)) + 2 * kScratchHeader);
  auto machine = load(target, [&](Emitter& e) {
    for (size_t i = 0; i < neighbours.size(); ++i)
      family.emit(e, neighbours[i], schedule, "neighbour" + std::to_string(i));
    const KernelCode code = code_of(spec, schedule);
    const Func inner = family.emit(e, code.spec, code.schedule, "kernel");
    const int params = 3 + num_operands(spec);
    e.begin_function("main", params, true);
    std::vector<Arg> args;
    for (int i = 0; i < params; ++i) args.emplace_back(e.param(i));
    for (int64_t size : sizes_of(spec, schedule, target)) args.emplace_back(size);
    e.call(inner, args);
    e.end_function();
  });
  if (machine.ok())
    machine_ = std::move(*machine);
  else
    loaded_ = machine.error();
}

Status Kernel::run_range(int64_t begin, int64_t end, const std::vector<void*>& operands) {
  if (!machine_) return loaded_;
  *static_cast<int32_t*>(scratch()) = kNothingLeft;
  return go_on(begin, end, operands);
}

Status Kernel::go_on(int64_t begin, int64_t end, const std::vector<void*>& operands) {
  std::vector<int64_t> args{begin, end, round_up(address(scratch_.data()), 64)};
  for (const void* p : operands) args.push_back(address(p));
  return machine_->call("main", args);
}

Status Kernel::run(const std::vector<void*>& operands, int parts) {
  for (int i = 0; i < parts; ++i) {
    const int64_t begin = units_ * i / parts, end = units_ * (i + 1) / parts;
    KILN_TRY(i ? go_on(begin, end, operands) : run_range(begin, end, operands));
  }
  return ok();
}

}  // namespace kiln::testing
