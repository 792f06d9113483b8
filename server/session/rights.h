// Access decisions: principal x access list -> rights.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "server/session/registry.h"

namespace pmshelf::session {

struct AccessRule {
  std::string principal;  // exact or glob ('*', '?')
  uint8_t rights = 0;
};

// '*' any run, '?' one (UTF-8) character; everything else literal. Never goes back further than the
// last
// '*': at most |pattern| x |text| steps, whatever the pattern.
bool glob_match(std::string_view pattern, std::string_view text);

// The owner and administrators have all rights; others the union of matching rules; the token's
// shelf glob and rights_max bound everybody.
uint8_t rights_of(const Principal& principal, std::string_view shelf_name, std::string_view owner,
                  std::span<const AccessRule> rules);

}  // namespace pmshelf::session
