#include "runtime/cli/text.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "support/hex.h"
#include "support/text.h"

namespace kiln::cli {

std::string shown(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = text[0] == '\n' ? 1 : printable(text);
    if (size)
      out += text.substr(0, size);
    else
      out += "\\x" + hex(static_cast<uint8_t>(text[0])).substr(14);
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

std::string file_name(std::string_view text) {
  constexpr std::string_view kKept = "_.-~:";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool kept = byte < 0x80 && (std::isalnum(byte) || kKept.find(c) != std::string_view::npos);
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", unsigned{byte});
    out += kept ? std::string(1, c) : code;
  }
  return out;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string type_text(const Port& port) {
  return std::string(name_of(port.dtype)) + " " + to_string(Shape(port.shape.begin(), port.shape.end()));
}

void Table::print() const {
  std::vector<size_t> widths(rows_.front().size());
  std::vector<bool> numbers(widths.size(), rows_.size() > 1);
  for (size_t r = 0; r < rows_.size(); ++r)
    for (size_t c = 0; c < widths.size(); ++c) {
      const std::string& cell = rows_[r][c];
      widths[c] = std::max(widths[c], cell.size());
      if (r > 0 && !cell.empty() && !std::isdigit(static_cast<unsigned char>(cell.front()))) numbers[c] = false;
    }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - row[c].size(), ' ');
      line += (c ? "  " : "") + (numbers[c] ? padding + row[c] : row[c] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace kiln::cli
