#include "jit/schedule.h"

#include <cstdlib>

namespace kiln {
namespace {

/// Calls f(name, field) for every numeric field, in the order of the text.
template <class S, class F>
void each_field(S& s, F f) {
  f("mr", s.mr);
  f("nv", s.nv);
  f("unroll", s.unroll);
  f("tile_h", s.tile_h);
  f("tile_w", s.tile_w);
  f("mc", s.mc);
  f("nc", s.nc);
  f("any_size", s.any_size);
}

constexpr std::string_view kAlgorithms[] = {"", "winograd2 ", "winograd4 ", "strassen ", "int16 "};

}  // namespace

bool Schedule::operator==(const Schedule& o) const { return to_string(*this) == to_string(o); }

std::string to_string(const Schedule& s) {
  std::string text(kAlgorithms[static_cast<size_t>(s.algorithm)]);
  text += s.order == LoopOrder::panels_outer ? "panels" : "rows";
  each_field(s, [&](const char* name, auto value) {
    if (value) text += std::string(" ") + name + std::to_string(value);
  });
  return text;
}

std::optional<Schedule> parse_schedule(std::string_view text) {
  Schedule s;
  for (const Algorithm a : {Algorithm::winograd2, Algorithm::winograd4, Algorithm::strassen, Algorithm::int16})
    if (const std::string_view name = kAlgorithms[static_cast<size_t>(a)]; text.substr(0, name.size()) == name)
      s.algorithm = a;
  if (text.substr(kAlgorithms[static_cast<size_t>(s.algorithm)].size(), 6) == "panels")
    s.order = LoopOrder::panels_outer;
  each_field(s, [&](const char* name, auto& field) {
    const std::string key = std::string(" ") + name;
    for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
      const std::string digits(text.substr(at + key.size(), 6));
      if (digits.empty() || digits[0] < '0' || digits[0] > '9') continue;
      field = static_cast<std::remove_reference_t<decltype(field)>>(std::strtol(digits.c_str(), nullptr, 10));
    }
  });
  if (to_string(s) != text) return std::nullopt;
  return s;
}

}  // namespace kiln
