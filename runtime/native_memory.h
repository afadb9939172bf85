// The model's memory: zeros, page-aligned, with a guard page on either side.
#pragma once

#include <cstdint>

#include "support/result.h"

namespace kiln {

class NativeMemory {
 public:
  static Result<NativeMemory> allocate(int64_t bytes);
  NativeMemory() = default;
  NativeMemory(NativeMemory&& other) noexcept;
  NativeMemory& operator=(NativeMemory&& other) noexcept;
  ~NativeMemory();

  char* at(int64_t address) const { return data_ + address; }
  /// What emitted code takes as its base.
  int64_t base() const { return static_cast<int64_t>(reinterpret_cast<intptr_t>(data_)); }
  int64_t bytes() const { return bytes_; }

 private:
  char* data_ = nullptr;
  int64_t bytes_ = 0, mapped_ = 0;
};

}  // namespace kiln
