#include "support/result.h"

namespace kiln {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::bad_file:
      return "bad-file";
    case ErrorCode::unsupported_version:
      return "unsupported-version";
    case ErrorCode::unsupported_operator:
      return "unsupported-operator";
    case ErrorCode::bad_input:
      return "bad-input";
    case ErrorCode::bad_option:
      return "bad-option";
    case ErrorCode::bad_wisdom:
      return "bad-wisdom";
    case ErrorCode::out_of_memory:
      return "out-of-memory";
    case ErrorCode::internal:
      return "internal";
    case ErrorCode::aborted:
      return "aborted";
    case ErrorCode::incomplete:
      return "incomplete";
  }
  return "internal";
}

}  // namespace kiln
