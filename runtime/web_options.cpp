#include "runtime/web_options.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace kiln {
namespace {

/// WebAssembly does not say which processor it runs on. But the processor chooses the sign of a NaN that arithmetic
/// makes: an x86 sets it, an ARM does not.
bool is_x86() {
  volatile float infinity = std::numeric_limits<float>::infinity();
  volatile float nan = infinity - infinity;
  return std::signbit(nan);
}

Status set_option(std::string_view key, std::string_view value, WebOptions& web) {
  CompileOptions& o = web.compile;
  Target& t = o.target;
  const std::string text(value);
  char* end = nullptr;
  const long long number = std::strtoll(text.c_str(), &end, 10);
  const bool is_number = !text.empty() && *end == 0 && number >= 0;
  const auto bad = [&] {
    return Error{ErrorCode::bad_option, "option " + std::string(key) + " cannot be '" + text + "'", ""};
  };
  if (key == "device") {
    o.device.id = text;
    return ok();
  }
  if (key == "precision") {
    KILN_ASSIGN(o.precision, precision_by_name(text));
    return ok();
  }
  if (!is_number) return bad();
  if (key == "threads") {
    if (number < 1 || number > 256) return bad();
    o.threads = o.device.threads = static_cast<int>(number);
  } else if (key == "shared") {
    t.threads = number != 0;
  } else if (key == "relaxedSimd") {
    t.fma = number != 0;
  } else if (key == "memory64") {
    t.memory64 = number != 0;
  } else if (key == "l1") {
    if (number) o.device.l1_bytes = number;
  } else if (key == "l2") {
    if (number) o.device.l2_bytes = number;
  } else if (key == "dump") {
    web.dump = number != 0;
  } else if (key.substr(0, 4) == "dim.") {
    o.dims[std::string(key.substr(4))] = number;
  } else {
    return Error{ErrorCode::bad_option, "there is no option '" + std::string(key) + "'", ""};
  }
  return ok();
}

}  // namespace

Result<WebOptions> parse_web_options(std::string_view text) {
  WebOptions web;
  web.compile.target = wasm_target(false, false);
  web.compile.device.fast_dots = is_x86();
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos)
      return Error{ErrorCode::bad_option, "options are key=value lines", std::string(line)};
    KILN_TRY(set_option(line.substr(0, equals), line.substr(equals + 1), web));
  }
  return web;
}

}  // namespace kiln
