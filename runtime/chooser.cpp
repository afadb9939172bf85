#include "runtime/chooser.h"

namespace kiln {

Chooser::Chooser(const Planned& planned, Target target, Device device)
    : planned_(planned),
      target_(std::move(target)),
      device_(std::move(device)),
      scope_(Wisdom::scope(target_, device_)),
      searched_of_(planned.specs.size(), -1) {}

const std::vector<Search::Candidate>& Chooser::next_batch(int max_candidates) {
  if (!search_) {
    for (size_t i = 0; i < planned_.specs.size(); ++i) {
      const KernelSpec& spec = planned_.specs[i];
      if (wisdom_.find(scope_, spec) || candidates(spec, target_).size() < 2) continue;
      searched_of_[i] = static_cast<int>(searched_.size());
      searched_.push_back(spec);
    }
    search_ = std::make_unique<Search>(searched_, target_, device_);
  }
  batch_ = search_->next_batch(max_candidates);
  return batch_;
}

std::vector<Choice> Chooser::choices() const {
  std::vector<Choice> out;
  for (size_t i = 0; i < planned_.specs.size(); ++i) {
    const KernelSpec& spec = planned_.specs[i];
    const auto known = wisdom_.find(scope_, spec);
    Choice choice;
    if (searched_of_[i] >= 0) choice = search_->best(searched_of_[i]);
    if (choice.origin != Origin::measured)
      choice = known ? *known : Choice{prior(spec, target_, device_), Origin::prior, 0};
    out.push_back(choice);
  }
  return out;
}

Wisdom Chooser::learned() const {
  Wisdom out;
  for (size_t i = 0; i < searched_.size(); ++i) {
    const Choice choice = search_->best(static_cast<int>(i));
    if (choice.origin == Origin::measured) out.put(scope_, searched_[i], choice);
  }
  return out;
}

}  // namespace kiln
