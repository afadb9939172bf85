// Included ahead of every source of Binaryen that goes into a page: its diagnostics print nowhere. One use of a
// standard stream links every locale, number and date format of the C++ library, a tenth of the compiler.
#pragma once

#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

namespace std {

struct NoStream {
  NoStream() = default;
  template <class T>
  explicit NoStream(const T&) {}
  template <class T, class = enable_if_t<is_arithmetic_v<T> || is_pointer_v<T>>>
  NoStream& operator<<(T) {
    return *this;
  }
  NoStream& operator<<(string_view) { return *this; }
  NoStream& operator<<(const string&) { return *this; }
  NoStream& operator<<(decltype(setw(0))) { return *this; }
  NoStream& operator<<(decltype(setfill(' '))) { return *this; }
  NoStream& operator<<(decltype(setprecision(0))) { return *this; }
  NoStream& operator<<(ios_base& (*)(ios_base&)) { return *this; }
  NoStream& operator<<(ostream& (*)(ostream&)) { return *this; }
  NoStream& write(const char*, streamsize) { return *this; }
  NoStream& put(char) { return *this; }
  void flush() {}
  void close() {}
  bool is_open() const { return false; }
  string str() const { return {}; }
};
inline NoStream no_stream;

}  // namespace std

#define ostream NoStream
#define stringstream NoStream
#define ostringstream NoStream
#define ofstream NoStream
#define cerr no_stream
#define cout no_stream
