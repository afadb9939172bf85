// Wisdom as JSON. A page's SDK reads that itself, and gives the compiler lines (wisdom.cpp).
#include <nlohmann/json.hpp>

#include "tuner/tuner.h"

namespace kiln {
namespace {

Error refuse(const std::string& why) {
  return {ErrorCode::bad_wisdom, why + "; delete it or make it again by tuning", ""};
}

}  // namespace

Result<Wisdom> Wisdom::parse(std::string_view text) {
  const nlohmann::json root = nlohmann::json::parse(text, nullptr, false);
  if (root.is_discarded() || !root.is_object()) return refuse("the wisdom is not JSON of the expected form");
  const auto version = root.find("wasmkiln-wisdom");
  if (version == root.end() || !version->is_number_integer()) return refuse("this is not a wisdom file");
  if (*version != kWisdomVersion) return refuse("the wisdom is of another version");
  const auto list = root.find("entries");
  if (list == root.end() || !list->is_array()) return refuse("the wisdom has no entries");
  Wisdom wisdom;
  for (const auto& entry : *list) {
    const auto text_of = [&](const char* key) -> std::string {
      if (!entry.is_object()) return "";
      const auto v = entry.find(key);
      return v != entry.end() && v->is_string() ? v->get<std::string>() : "";
    };
    const auto ns = entry.is_object() ? entry.find("ns") : entry.end();
    if (!entry.is_object() || ns == entry.end() || !ns->is_number() ||
        !wisdom.put(text_of("scope"), text_of("spec"), text_of("schedule"), ns->get<double>()))
      return refuse("the wisdom has a malformed entry");
  }
  return wisdom;
}

}  // namespace kiln
