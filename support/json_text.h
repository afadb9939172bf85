// Writes JSON directly, where a page waits for it. A tree of values would cost time: code that runs once runs in an
// engine's baseline tier.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kiln {

class JsonText {
 public:
  const std::string& str() const { return text_; }

  JsonText& open(char bracket) {
    separate();
    text_ += bracket;
    return *this;
  }
  JsonText& close(char bracket) {
    text_ += bracket;
    return *this;
  }
  /// `name` needs no escapes.
  JsonText& key(const char* name) {
    separate();
    text_ += '"';
    text_ += name;
    text_ += "\":";
    return *this;
  }
  /// Digits, true, false.
  JsonText& raw(const std::string& value) {
    separate();
    text_ += value;
    return *this;
  }
  JsonText& number(int64_t value) { return raw(std::to_string(value)); }
  JsonText& number(double value) { return raw(std::to_string(value)); }
  JsonText& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonText& numbers(const std::vector<int64_t>& values) {
    open('[');
    for (int64_t v : values) number(v);
    return close(']');
  }
  /// Bytes that are not UTF-8 pass unchanged. Whoever decodes the text replaces them.
  JsonText& string(const std::string& value) {
    constexpr const char* kHex = "0123456789abcdef";
    separate();
    text_ += '"';
    for (char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20) {
        text_ += "\\u00";
        text_ += kHex[byte >> 4];
        text_ += kHex[byte & 15];
        continue;
      }
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c;
    }
    text_ += '"';
    return *this;
  }

 private:
  void separate() {
    const char last = text_.empty() ? '[' : text_.back();
    if (last != '{' && last != '[' && last != ':') text_ += ',';
  }
  std::string text_;
};

}  // namespace kiln
