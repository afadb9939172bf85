// Errors are values: a Result<T> holds a T or an Error. It is cheap to pass on and cannot be ignored.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace kiln {

/// What went wrong, as the SDKs see it (`KilnError.code`). Names are stable; see error_code_name().
enum class ErrorCode {
  bad_file,              ///< not a model file, truncated, or inconsistent
  unsupported_version,   ///< a newer file, or a required feature this runtime does not have
  unsupported_operator,  ///< an operator (or a form of it) that no row of ir/ops covers
  bad_input,             ///< wrong name, type, shape or value of a run input
  bad_option,            ///< an option that is out of range or contradicts another
  bad_wisdom,            ///< a wisdom file that cannot be used
  out_of_memory,         ///< or what else the system or a budget has no more of
  internal,              ///< our own bug
  aborted,               ///< a run that was cancelled
  incomplete,  ///< what the compiler of plain networks lacks, and the full one may have; the SDK asks that then
};

const char* error_code_name(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  ///< one sentence: what is wrong, and what to do
  std::string where;    ///< node, operand or byte that it concerns; may be empty
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}
  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return *std::get_if<0>(&state_); }
  const T& value() const { return *std::get_if<0>(&state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok() { return Unit{}; }

}  // namespace kiln

#define KILN_CONCAT_(a, b) a##b
#define KILN_CONCAT(a, b) KILN_CONCAT_(a, b)
/// KILN_TRY(expr): returns the error of a Result to the caller, if it has one.
#define KILN_TRY(expr)                             \
  do {                                             \
    auto&& kiln_try_ = (expr);                     \
    if (!kiln_try_.ok()) return kiln_try_.error(); \
  } while (0)
/// KILN_ASSIGN(auto x, expr): x = the value of a Result, or return its error.
#define KILN_ASSIGN(decl, expr) KILN_ASSIGN_(KILN_CONCAT(kiln_result_, __LINE__), decl, expr)
#define KILN_ASSIGN_(tmp, decl, expr) \
  auto tmp = (expr);                  \
  if (!tmp.ok()) return tmp.error();  \
  decl = std::move(*tmp)
