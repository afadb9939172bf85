// The machine of this process, and its wisdom file.
#pragma once

#include <optional>
#include <string>

#include "tuner/tuner.h"

namespace kiln {

/// CPU model, caches; `threads` as given.
Device host_device(int threads);
/// Cores that this process may use.
int host_threads();
/// The target of a name: "host" (the best of this CPU), "avx2", "avx512", "neon", "reference". Error: the name is
/// unknown, or this CPU lacks the target.
Result<Target> target_by_name(const std::string& name);

/// A wisdom file that several processes use. It is read, merged and replaced as a whole.
class WisdomFile {
 public:
  explicit WisdomFile(std::string path) : path_(std::move(path)) {}
  /// The one in $XDG_CACHE_HOME/wasmkiln (else ~/.cache/wasmkiln); none without a home.
  static std::optional<WisdomFile> of_device(const Device& device);
  const std::string& path() const { return path_; }
  Result<Wisdom> load() const;
  /// Adds to the file's entries. A file that cannot be used is replaced.
  Status merge(const Wisdom& learned) const;
  Status replace(const Wisdom& wisdom) const;

 private:
  std::string path_;
};

}  // namespace kiln
