#include "runtime/native_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "support/dtype.h"

namespace kiln {
namespace {
int64_t page_bytes() { return sysconf(_SC_PAGESIZE); }
}  // namespace

Result<NativeMemory> NativeMemory::allocate(int64_t bytes) {
  const int64_t page = page_bytes();
  NativeMemory m;
  m.bytes_ = round_up(bytes, page);
  m.mapped_ = m.bytes_ + 2 * page;
  void* whole = mmap(nullptr, static_cast<size_t>(m.mapped_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole != MAP_FAILED) m.data_ = static_cast<char*>(whole) + page;
  if (!m.data_ || mprotect(m.data_, static_cast<size_t>(m.bytes_), PROT_READ | PROT_WRITE) != 0)
    return Error{ErrorCode::out_of_memory,
                 "the model needs " + std::to_string((bytes >> 20) + 1) + " MB in one piece and the system refuses",
                 ""};
#ifdef MADV_HUGEPAGE
  madvise(m.data_, static_cast<size_t>(m.bytes_), MADV_HUGEPAGE);  // fewer misses of the TLB; a wish, not a need
#endif
  return m;
}

NativeMemory::NativeMemory(NativeMemory&& other) noexcept { *this = std::move(other); }

NativeMemory& NativeMemory::operator=(NativeMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

NativeMemory::~NativeMemory() {
  if (data_) munmap(data_ - page_bytes(), static_cast<size_t>(mapped_));
}

}  // namespace kiln
