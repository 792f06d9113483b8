// UTF-8 validity, for names, keys and log lines that come from outside.
#pragma once

#include <cstddef>
#include <string_view>

namespace pmshelf {

// Length of the well-formed sequence at the start of `text`; 0 when there is none (overlong forms,
// surrogates and values beyond U+10FFFF are none). Precondition: not empty.
size_t utf8_sequence_bytes(std::string_view text);
// True when all of `text` is well-formed UTF-8.
bool is_valid_utf8(std::string_view text);

}  // namespace pmshelf
