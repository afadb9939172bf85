// Numbers and tables for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/native_session.h"

namespace kiln::cli {

/// What others wrote, for a terminal: lines stay, of what cannot be shown the bytes in hexadecimal.
std::string shown(std::string_view text);
/// What others wrote, as part of a file's name that leads nowhere else: ASCII letters, digits and "_.-~:" stay, other
/// bytes are %XX, as in a URL (RFC 3986).
std::string file_name(std::string_view text);
/// printf's %.*f
std::string fixed(double value, int digits);
/// "float32 1x3x224x224"
std::string type_text(const Port& port);
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// Columns padded to their widest cell; those that start with a digit in every row but the first align right.
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace kiln::cli
