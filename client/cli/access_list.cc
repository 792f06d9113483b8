#include "client/cli/access_list.h"

#include <algorithm>

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

auto find_entry(std::vector<AccessEntry>& list, const std::string& principal) {
  return std::find_if(list.begin(), list.end(),
                      [&](const AccessEntry& entry) { return entry.principal == principal; });
}

}  // namespace

Result<std::vector<AccessEntry>> changed_access(std::vector<AccessEntry> list,
                                                const AccessChange& change) {
  for (const std::string& principal : change.revokes) {
    const auto found = find_entry(list, principal);
    if (found == list.end()) {
      return Error(Code::kNotFound, "the access list has no entry '" + principal + "'");
    }
    list.erase(found);
  }
  for (const std::string& text : change.grants) {
    PMSHELF_TRY_ASSIGN(AccessEntry entry, parse_access(text));
    const auto found = find_entry(list, entry.principal);
    if (found == list.end()) {
      list.push_back(std::move(entry));
    } else {
      found->rights = entry.rights;
    }
  }
  return list;
}

}  // namespace pmshelf::cli
