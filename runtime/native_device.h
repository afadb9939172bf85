// The machine under this process, and where what was measured on it is kept.
#pragma once

#include <optional>
#include <string>

#include "tuner/tuner.h"

namespace kiln {

/// CPU model, caches; `threads` as given.
Device host_device(int threads);
/// Cores that this process may use.
int host_threads();
/// The target that `name` means here: "host" (the best), "avx2", "avx512", "neon", "reference". Error: unknown, or not
/// of this CPU.
Result<Target> target_by_name(const std::string& name);

/// A wisdom file that processes share: read, merged and replaced as a whole, never half.
class WisdomFile {
 public:
  explicit WisdomFile(std::string path) : path_(std::move(path)) {}
  /// The one in $XDG_CACHE_HOME/wasmkiln (else ~/.cache/wasmkiln); none without a home.
  static std::optional<WisdomFile> of_device(const Device& device);
  const std::string& path() const { return path_; }
  Result<Wisdom> load() const;
  /// Adds to what the file has (what it has is dropped when it cannot be used).
  Status merge(const Wisdom& learned) const;
  Status replace(const Wisdom& wisdom) const;

 private:
  std::string path_;
};

}  // namespace kiln
