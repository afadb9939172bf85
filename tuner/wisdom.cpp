#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "support/json_text.h"
#include "tuner/tuner.h"

namespace kiln {

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

bool Wisdom::put(const std::string& scope, const std::string& spec, std::string_view schedule, double nanoseconds) {
  const std::optional<Schedule> parsed = parse_schedule(schedule);
  if (scope.empty() || spec.empty() || !parsed) return false;
  entries_[scope][spec] = {*parsed, Origin::wisdom, nanoseconds};
  return true;
}

Result<Wisdom> Wisdom::parse_lines(std::string_view text) {
  Wisdom wisdom;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string fields[3];
    for (std::string& field : fields) {
      const size_t tab = std::min(line.find('\t'), line.size());
      field = line.substr(0, tab);
      line.remove_prefix(std::min(tab + 1, line.size()));
    }
    const std::string ns(line);
    char* rest = nullptr;
    const double nanoseconds = std::strtod(ns.c_str(), &rest);
    if (ns.empty() || *rest || !wisdom.put(fields[0], fields[1], fields[2], nanoseconds))
      return Error{ErrorCode::bad_wisdom, "the wisdom has a malformed entry; delete it or make it again by tuning", ""};
  }
  return wisdom;
}

std::string Wisdom::to_json() const {
  JsonText out;
  out.open('{').key("wasmkiln-wisdom").number(int64_t{kWisdomVersion}).key("entries").open('[');
  for (const auto& [scope, entries] : entries_)
    for (const auto& [spec, choice] : entries) {
      if (!std::isfinite(choice.nanoseconds)) continue;
      out.open('{').key("scope").string(scope).key("spec").string(spec);
      out.key("schedule").string(to_string(choice.schedule)).key("ns").number(choice.nanoseconds).close('}');
    }
  return out.close(']').close('}').str();
}

}  // namespace kiln
