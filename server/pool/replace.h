// Publishing over names that are taken: exactly which regions were replaced.
#pragma once

#include <span>
#include <vector>

#include "pmshelf/result.h"
#include "server/pool/pool.h"

namespace pmshelf::pool {

struct Published {
  std::vector<store::RegionId> ids;       // new ones, in the order of the items
  std::vector<store::RegionId> replaced;  // what bore those names until now
};

// The one way that Put (dataplane) and Commit (control) replace regions. As Shelf::publish, and
// names what it replaced. The caller then revokes each replaced region's grants with deadline 0 and
// goes on whatever that returns: from the answer on they are stale, while the old bytes stay pinned
// by who still reaches them, so nothing has to be waited for.
//
// Each name's present region is looked up and made a condition of the publish; when another
// publish came between, it is looked up again. kBusy: that happened kReplaceAttempts times.
inline constexpr int kReplaceAttempts = 64;
Result<Published> publish_replacing(Shelf& shelf, std::span<const store::Publish> items,
                                    const store::Request& request);

}  // namespace pmshelf::pool
