// What a Region handle holds.
#pragma once

#include "client/src/grant.h"
#include "pmshelf/client.h"

namespace pmshelf {

struct Region::Impl {
  client::GrantPtr grant;
  static const Impl& of(const Region& region) { return *region.impl_; }
};

namespace client {

// A handle on a grant that the daemon has just given in that session. kInternal: the answer makes
// no sense. `name` is empty for staged regions.
Result<Region> make_region(CoreRef core, std::string shelf, std::string name,
                           const v1::Grant& grant, uint64_t generation);
const GrantPtr& grant_of(const Region& region);

}  // namespace client
}  // namespace pmshelf
