#include <nlohmann/json.hpp>

#include "tuner/tuner.h"

namespace kiln {
namespace {

constexpr int kWisdomVersion = 1;

Error refuse(const std::string& why) {
  return {ErrorCode::bad_wisdom, why + "; delete it or make it again by tuning", ""};
}

}  // namespace

std::string Wisdom::scope(const Target& target, const Device& device) {
  return "g" + std::to_string(kGeneratorVersion) + " " + to_string(target) + " " + device.id + " t" +
         std::to_string(device.threads) + (device.fast_dots ? "" : " without dots");
}

std::optional<Choice> Wisdom::find(const std::string& scope, const KernelSpec& spec) const {
  const auto entries = entries_.find(scope);
  if (entries == entries_.end()) return std::nullopt;
  const auto entry = entries->second.find(to_string(spec));
  if (entry == entries->second.end()) return std::nullopt;
  Choice choice = entry->second;
  choice.origin = Origin::wisdom;
  return choice;
}

void Wisdom::put(const std::string& scope, const KernelSpec& spec, const Choice& choice) {
  entries_[scope][to_string(spec)] = choice;
}

void Wisdom::merge(const Wisdom& other) {
  for (const auto& [scope, entries] : other.entries_) {
    auto& mine = entries_[scope];
    for (const auto& [spec, choice] : entries) {
      const auto found = mine.find(spec);
      if (found == mine.end() || choice.nanoseconds < found->second.nanoseconds) mine[spec] = choice;
    }
  }
}

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
    const std::string scope = text_of("scope"), spec = text_of("spec"), schedule = text_of("schedule");
    const std::optional<Schedule> parsed = parse_schedule(schedule);
    const auto ns = entry.is_object() ? entry.find("ns") : entry.end();
    if (scope.empty() || spec.empty() || !parsed || !entry.is_object() || ns == entry.end() || !ns->is_number())
      return refuse("the wisdom has a malformed entry");
    Choice choice;
    choice.schedule = *parsed;
    choice.origin = Origin::wisdom;
    choice.nanoseconds = ns->get<double>();
    wisdom.entries_[scope][spec] = choice;
  }
  return wisdom;
}

std::string Wisdom::to_json() const {
  nlohmann::json root;
  root["wasmkiln-wisdom"] = kWisdomVersion;
  root["entries"] = nlohmann::json::array();
  for (const auto& [scope, entries] : entries_)
    for (const auto& [spec, choice] : entries)
      root["entries"].push_back(
          {{"scope", scope}, {"spec", spec}, {"schedule", to_string(choice.schedule)}, {"ns", choice.nanoseconds}});
  return root.dump();
}

}  // namespace kiln
