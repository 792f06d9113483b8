#include "server/session/rights.h"

namespace pmshelf::session {

namespace {

constexpr uint8_t kAllRights = 7;  // read, write, admin (server/store/types.h, Right)

// Position after the character at `at`: continuation bytes belong to the one before them.
size_t next_character(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  constexpr size_t kNone = std::string_view::npos;
  size_t p = 0, t = 0;
  size_t star = kNone, retry = 0;  // the last '*', and where the text after its run began
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      t = next_character(text, t);
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != kNone) {
      p = star + 1;
      t = retry = next_character(text, retry);
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

uint8_t rights_of(const Principal& principal, std::string_view shelf_name, std::string_view owner,
                  std::span<const AccessRule> rules) {
  if (!glob_match(principal.shelf_glob, shelf_name)) return 0;
  uint8_t rights = 0;
  if (principal.administrator || (!owner.empty() && principal.name == owner)) {
    rights = kAllRights;
  } else {
    for (const auto& rule : rules) {
      if (glob_match(rule.principal, principal.name)) rights |= rule.rights;
    }
  }
  return rights & principal.rights_max & kAllRights;
}

}  // namespace pmshelf::session
