#include "jit/backends/native_common.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <thread>
#endif

#include "jit/backends/native.h"
#include "jit/backends/native_neon.h"
#include "jit/backends/native_x86.h"

namespace kiln {
namespace native {

#ifdef __linux__
void wait_on(int32_t* word, int32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void wake_all(int32_t* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0); }
#else  // nobody really sleeps, which a wait may do
void wait_on(int32_t*, int32_t) { std::this_thread::yield(); }
void wake_all(int32_t*) {}
#endif

}  // namespace native

std::unique_ptr<ModuleEmitter> make_native_emitter(const Target& target) {
  switch (target.isa) {
    case Isa::avx2:
      return native::make_avx2_emitter(target);
    case Isa::avx512:
      return native::make_avx512_emitter(target);
    case Isa::neon:
      return native::make_neon_emitter(target);
    default:
      return nullptr;
  }
}

}  // namespace kiln
