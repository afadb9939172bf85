// Specs by their lists of fields: random ones, ones with a single change, and ones read from their text.
#pragma once

#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "jit/fields.h"

namespace kiln::testing {

/// An empty spec of every family.
std::vector<KernelSpec> empty_specs();
/// Any values, without regard to what the family can do with them.
void fill(KernelSpec& spec, std::mt19937& random);
/// The spec with one part of one field changed, for every part of every field that its text has.
std::vector<KernelSpec> changed(const KernelSpec& spec);
/// What to_string() wrote.
std::optional<KernelSpec> parse_spec(std::string_view text);

}  // namespace kiln::testing
