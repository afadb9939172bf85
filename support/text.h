// Text that others wrote: what of it may be shown, or become the name of a file.
#pragma once

#include <string>
#include <string_view>

namespace kiln {

/// Bytes of the character that `text` begins with; 0 where that is none to show: what is no UTF-8, control characters,
/// and those that turn the direction of writing.
size_t printable(std::string_view text);
/// All of it can be shown.
bool is_plain(std::string_view text);

}  // namespace kiln
