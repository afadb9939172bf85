// A page's options for the compiler: `key=value` lines.
#pragma once

#include <string_view>

#include "runtime/compile.h"

namespace kiln {

struct WebOptions {
  CompileOptions compile;
  bool dump = false;  ///< keep a dump of every stage
};

/// device, precision, threads, shared, relaxedSimd, memory64, l1, l2, dump, dim.<name>. Each may be absent.
Result<WebOptions> parse_web_options(std::string_view text);

}  // namespace kiln
