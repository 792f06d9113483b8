#include <array>
#include <cstdint>
#include <cstdio>

#include "common/base/logging.h"
#include "common/base/utf8.h"

namespace pmshelf {
std::string json_escape(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = utf8_sequence_bytes(text);
    const char letter = text.front();
    if (length == 0) {
      escaped += "\xef\xbf\xbd";  // U+FFFD
    } else if (letter == '"' || letter == '\\') {
      escaped += '\\';
      escaped += letter;
    } else if (letter == '\n') {
      escaped += "\\n";
    } else if (letter == '\t') {
      escaped += "\\t";
    } else if (static_cast<uint8_t>(letter) < 0x20 || letter == 0x7f) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<uint8_t>(letter));
      escaped += code.data();
    } else {
      escaped += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

}  // namespace pmshelf
