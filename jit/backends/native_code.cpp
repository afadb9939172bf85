#include "jit/backends/native_code.h"

#include <asmjit/core.h>

#include <cstring>

namespace kiln {

using asmjit::VirtMem::MemoryFlags;
namespace VirtMem = asmjit::VirtMem;

Result<std::unique_ptr<NativeCode>> NativeCode::load(const Module& module) {
  if (module.bytes.empty()) return Error{ErrorCode::internal, "the module holds no machine code", ""};
  std::unique_ptr<NativeCode> code(new NativeCode);
  const auto page = static_cast<int64_t>(VirtMem::info().pageSize);
  const auto size = static_cast<size_t>(round_up(static_cast<int64_t>(module.bytes.size()), page));
  if (VirtMem::alloc(&code->base_, size, MemoryFlags::kAccessRW) != asmjit::kErrorOk)
    return Error{ErrorCode::out_of_memory, "there is no memory for " + std::to_string(size) + " bytes of code", ""};
  code->size_ = size;
  std::memcpy(code->base_, module.bytes.data(), module.bytes.size());
  if (VirtMem::protect(code->base_, size, MemoryFlags::kAccessRX) != asmjit::kErrorOk)
    return Error{ErrorCode::internal, "the system refuses to make memory executable", ""};
  VirtMem::flushInstructionCache(code->base_, size);
  code->symbols_ = module.symbols;
  return code;
}

NativeCode::~NativeCode() {
  if (base_) VirtMem::release(base_, size_);
}

void* NativeCode::find(std::string_view exported) const {
  for (const Module::Symbol& s : symbols_)
    if (s.exported && s.name == exported) return static_cast<uint8_t*>(base_) + s.offset;
  return nullptr;
}

std::vector<Target> host_targets() {
#if defined(__x86_64__)
  const auto& has = asmjit::CpuInfo::host().features().x86();
  std::vector<Target> targets;
  if (has.hasAVX512_F() && has.hasAVX512_BW() && has.hasAVX512_DQ() && has.hasAVX512_VL() && has.hasBMI2())
    targets.push_back(avx512_target());
  if (has.hasAVX2() && has.hasFMA() && has.hasBMI2()) targets.push_back(avx2_target());
  return targets;
#elif defined(__aarch64__)
  return {neon_target()};
#else
  return {};
#endif
}

Target host_target() {
  const std::vector<Target> targets = host_targets();
  return targets.empty() ? reference_target(4) : targets.front();
}

}  // namespace kiln
