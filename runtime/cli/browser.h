// Measuring in a browser's engine instead of natively.
#pragma once

#include "runtime/cli/flags.h"

namespace kiln::cli {

/// Opens the model in a headless browser ("chromium", "firefox") with a budget for measuring. Returns the wisdom that
/// it found. It runs tools/tune and js-sdk of the checkout in which this command was built.
Result<Wisdom> tune_in_browser(const ModelFlags& flags, const std::string& browser, double budget_ms);

}  // namespace kiln::cli
