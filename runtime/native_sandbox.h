// A process that gives up what compiling and running a model does not need, before it reads a file that nobody vouches
// for. docs/security.md says what is left to one that breaks out of the model.
#pragma once

#include <string>
#include <vector>

#include "support/result.h"

namespace kiln {

struct Sandbox {
  int64_t memory_bytes = int64_t{4} << 30;  ///< of addresses, also for code and the stacks of threads
  int64_t cpu_seconds = 60;                 ///< of all threads together; then the system ends the process
  int64_t file_bytes = int64_t{1} << 30;    ///< that any file which it writes may hold
  std::vector<std::string> read;            ///< files that stay readable
  std::string write;                        ///< a folder in which files may be made; empty: none
};

/// For ever, for this process and its threads: no other files, no network, no other programs or processes, no more
/// rights; open files but the three standard ones are closed. To be called by the first thread before there are others.
/// An error where the system cannot do all of it: then nothing of what follows is to be trusted.
Status enter_sandbox(const Sandbox& sandbox);

}  // namespace kiln
