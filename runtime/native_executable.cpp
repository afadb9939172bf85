#include "runtime/native_executable.h"

#include "jit/backends/native_code.h"
#include "jit/backends/reference.h"
#include "runtime/compile.h"
#include "runtime/native_perf.h"

namespace kiln {
namespace {

struct EntryRow {
  const char* name;
  size_t params;
};
constexpr EntryRow kEntries[] = {{"run", 5}, {"init", 2}, {"bench", 3}, {"peak", 2}};

Error missing(Entry entry) {
  return {ErrorCode::internal, "the module has no such function", kEntries[static_cast<size_t>(entry)].name};
}

class MachineCode final : public NativeExecutable {
 public:
  MachineCode(Module module, std::unique_ptr<NativeCode> code)
      : NativeExecutable(std::move(module)), code_(std::move(code)) {
    for (size_t i = 0; i < entries_.size(); ++i)
      entries_[i] = reinterpret_cast<Function>(code_->find(kEntries[i].name));
  }
  Status call(Entry entry, const std::array<int64_t, 5>& a) const override {
    const Function f = entries_[static_cast<size_t>(entry)];
    if (!f) return missing(entry);
    f(a[0], a[1], a[2], a[3], a[4]);  // arguments travel in registers: those beyond the last parameter go unread
    return ok();
  }

  Status register_for_perf() const override { return perf_register(*code_); }

 private:
  using Function = void (*)(int64_t, int64_t, int64_t, int64_t, int64_t);
  std::unique_ptr<NativeCode> code_;
  std::array<Function, std::size(kEntries)> entries_{};
};

class Interpreted final : public NativeExecutable {
 public:
  Interpreted(Module module, std::unique_ptr<ReferenceEmitter> code)
      : NativeExecutable(std::move(module)), code_(std::move(code)) {}
  Status call(Entry entry, const std::array<int64_t, 5>& args) const override {
    const EntryRow& row = kEntries[static_cast<size_t>(entry)];
    return code_->call(row.name, {args.begin(), args.begin() + static_cast<std::ptrdiff_t>(row.params)});
  }

 private:
  std::unique_ptr<ReferenceEmitter> code_;
};

}  // namespace

Result<std::unique_ptr<NativeExecutable>> load_executable(const Target& target, FunctionRef<Status(Emitter&)> emit) {
  if (target.isa == Isa::reference) {
    auto code = make_reference_emitter(target);
    KILN_TRY(emit(*code));
    KILN_ASSIGN(Module module, code->finish());
    return std::unique_ptr<NativeExecutable>(std::make_unique<Interpreted>(std::move(module), std::move(code)));
  }
  const std::unique_ptr<ModuleEmitter> emitter = make_emitter(target);
  if (!emitter) return Error{ErrorCode::bad_option, "this build has no code generator for " + to_string(target), ""};
  KILN_TRY(emit(*emitter));
  KILN_ASSIGN(Module module, emitter->finish());
  KILN_ASSIGN(auto code, NativeCode::load(module));
  return std::unique_ptr<NativeExecutable>(std::make_unique<MachineCode>(std::move(module), std::move(code)));
}

}  // namespace kiln
