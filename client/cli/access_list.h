// Changes to a shelf's access list as they are given on the command line.
#pragma once

#include <string>
#include <vector>

#include "pmshelf/client.h"

namespace pmshelf::cli {

struct AccessChange {
  std::vector<std::string> grants;   // "unix:bob=rw": sets the principal's rights
  std::vector<std::string> revokes;  // "unix:bob": removes its entry
  std::string owner;                 // empty: unchanged
  bool any() const { return !grants.empty() || !revokes.empty() || !owner.empty(); }
};

// The whole new list; order is kept, new principals come last. kInvalidArgument for malformed
// grants, kNotFound for a principal to revoke that has no entry: then nothing is to be changed.
Result<std::vector<AccessEntry>> changed_access(std::vector<AccessEntry> list,
                                                const AccessChange& change);

}  // namespace pmshelf::cli
