// Measuring in a browser's engine instead of natively.
#pragma once

#include "runtime/cli/flags.h"

namespace kiln::cli {

/// Opens the model in a headless browser ("chromium", "firefox") with a budget for measuring; the wisdom it found. Runs
/// tools/tune of the checkout that this command was built in, with js-sdk as it was built there.
Result<Wisdom> tune_in_browser(const ModelFlags& flags, const std::string& browser, double budget_ms);

}  // namespace kiln::cli
