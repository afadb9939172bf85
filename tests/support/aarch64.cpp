#include "tests/support/aarch64.h"

#ifndef __EMSCRIPTEN__
#include <unicorn/unicorn.h>

#include <cstring>
#include <memory>

namespace kiln::testing {
namespace {

constexpr uint64_t kStack = 1 << 20, kStackBytes = 1 << 20;  // where no process has memory
constexpr uint64_t kReturn = 4096;                           // the address that calls return to
constexpr uint64_t kCode = 16 << 20, kCodeBytes = 16 << 20;
constexpr uint64_t kChunk = 1 << 20;
constexpr int kMostLoads = 1000;

void check(uc_err error) {
  if (error != UC_ERR_OK) std::fprintf(stderr, "unicorn: %s\n", uc_strerror(error)), std::abort();
}

/// One processor for many modules. The running module has its code at kCode. Unicorn keeps some 40 KB of every module
/// that ever ran, until it is closed: so another processor takes over after so many.
class Processor {
 public:
  static Processor& get() {
    static auto processor = std::make_unique<Processor>();
    if (processor->loads_ >= kMostLoads) processor = std::make_unique<Processor>();
    return *processor;
  }
  ~Processor() { uc_close(uc_); }
  Processor(const Processor&) = delete;

  Status call(const Module& module, uint64_t offset, const std::vector<int64_t>& args) {
    if (&module != loaded_ || module.bytes.data() != bytes_) {
      if (module.bytes.size() > kCodeBytes) return Error{ErrorCode::internal, "the module is too large", ""};
      check(uc_mem_write(uc_, kCode, module.bytes.data(), module.bytes.size()));
      check(uc_ctl_remove_cache(uc_, kCode, kCode + kCodeBytes));
      loaded_ = &module, bytes_ = module.bytes.data();
      ++loads_;
    }
    const uint64_t pc = kCode + offset, lr = kReturn;
    const size_t on_stack = args.size() > 8 ? args.size() - 8 : 0;
    const uint64_t sp = kStack + kStackBytes - (on_stack * 8 + 15) / 16 * 16;
    for (size_t i = 0; i < args.size(); ++i) {
      if (i < 8)
        check(uc_reg_write(uc_, UC_ARM64_REG_X0 + static_cast<int>(i), &args[i]));
      else
        check(uc_mem_write(uc_, sp + 8 * (i - 8), &args[i], 8));
    }
    check(uc_reg_write(uc_, UC_ARM64_REG_SP, &sp));
    check(uc_reg_write(uc_, UC_ARM64_REG_LR, &lr));
    const uint64_t saved = 0x5a5a5a5a5a5a5a5a;  // what a function must give back: x19 and the low half of v8
    check(uc_reg_write(uc_, UC_ARM64_REG_X19, &saved));
    check(uc_reg_write(uc_, UC_ARM64_REG_D8, &saved));
    if (const uc_err error = uc_emu_start(uc_, pc, kReturn, 0, 0))
      return Error{ErrorCode::internal, uc_strerror(error), ""};
    uint64_t x19 = 0, d8 = 0, end = 0;
    check(uc_reg_read(uc_, UC_ARM64_REG_X19, &x19));
    check(uc_reg_read(uc_, UC_ARM64_REG_D8, &d8));
    check(uc_reg_read(uc_, UC_ARM64_REG_SP, &end));
    if (x19 == saved && d8 == saved && end == sp) return ok();
    return Error{ErrorCode::internal, "a register was not given back", ""};
  }
  void forget(const Module& module) {
    if (loaded_ == &module) loaded_ = nullptr;
  }

  Processor() {
    check(uc_open(UC_ARCH_ARM64, UC_MODE_ARM, &uc_));
    check(uc_ctl_set_cpu_model(uc_, UC_CPU_ARM64_MAX));
    check(uc_mem_map(uc_, kStack, kStackBytes, UC_PROT_READ | UC_PROT_WRITE));
    check(uc_mem_map(uc_, kCode, kCodeBytes, UC_PROT_ALL));
    uc_hook hook;
    check(uc_hook_add(uc_, &hook, UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED,
                      reinterpret_cast<void*>(&unmapped), nullptr, 1, 0));
  }

 private:
  /// Maps memory of this process when it is first touched. A forbidden access stops this process, as it would natively.
  static bool unmapped(uc_engine* uc, uc_mem_type, uint64_t address, int, int64_t, void*) {
    if (address < (uint64_t{1} << 32)) return false;
    const uint64_t start = address / kChunk * kChunk;
    return uc_mem_map_ptr(uc, start, kChunk, UC_PROT_READ | UC_PROT_WRITE, reinterpret_cast<void*>(start)) == UC_ERR_OK;
  }

  uc_engine* uc_ = nullptr;
  const Module* loaded_ = nullptr;
  const uint8_t* bytes_ = nullptr;
  int loads_ = 0;
};

class Aarch64Machine final : public Machine {
 public:
  explicit Aarch64Machine(Module module) : module_(std::move(module)) {}
  ~Aarch64Machine() override { Processor::get().forget(module_); }
  Status call(const std::string& name, const std::vector<int64_t>& args) override {
    for (const Module::Symbol& s : module_.symbols)
      if (s.exported && s.name == name) return Processor::get().call(module_, s.offset, args);
    return Error{ErrorCode::internal, "no such function", name};
  }
  void allow(const void*, int64_t) override {}

 private:
  Module module_;
};

}  // namespace

std::unique_ptr<Machine> emulate_aarch64(Module module) { return std::make_unique<Aarch64Machine>(std::move(module)); }

}  // namespace kiln::testing
#endif
