// The oracle backend: every operation becomes a closure that plain scalar C++ interprets on real addresses. It finds
// accesses outside of a test's memory, which hardware does not. Registers start with a pattern that no right answer
// contains.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jit/emitter.h"

namespace kiln {

class ReferenceEmitter : public ModuleEmitter {
 public:
  using Emitter::call;
  using ModuleEmitter::ModuleEmitter;
  /// Calls a function by name, after finish(). Several threads may do so at once.
  virtual Status call(const std::string& name, const std::vector<int64_t>& args) const = 0;
  /// From now on an access outside of the allowed ranges ends the call with an error. Without any range all
  /// are allowed.
  virtual void allow(const void* start, int64_t bytes) = 0;
};

/// Any target of width 1…16. Its module has symbols and no bytes.
std::unique_ptr<ReferenceEmitter> make_reference_emitter(const Target& target);

}  // namespace kiln
