// Where what the system refuses becomes a status. Nothing of ours throws, but the standard library does when memory or
// threads cannot be had; natively that unwinds to here, and what was built so far is freed on the way.
#pragma once

#include <exception>
#include <new>

#include "support/result.h"

namespace kiln {

/// What `work` returns, a Result or Status, or the error that stopped it.
template <class Work>
auto guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory, "out of memory", ""};  // short: no string that is allocated
  } catch (const std::exception& thrown) {
    return Error{ErrorCode::internal, thrown.what(), ""};
  }
}

}  // namespace kiln
