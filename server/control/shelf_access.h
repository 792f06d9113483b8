// A shelf as one caller may see it, and the rules for taking bytes away from others.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "server/control/caller.h"
#include "server/pool/pool.h"

namespace pmshelf::control {

struct ShelfView {
  const PoolSet::Entry* pool = nullptr;
  std::shared_ptr<pool::Shelf> shelf;
  store::ShelfInfo info;
  uint8_t rights = 0;  // of the caller
};

uint8_t rights_on(const session::Principal& principal, const store::ShelfInfo& info);

// The shelf, when the caller has at least one of the rights `any_of`. kNotFound: no such shelf, or
// none that the caller has any right on; kPermissionDenied names the missing right.
Result<ShelfView> find_shelf(ControlState& state, const Caller& caller, std::string_view name,
                             uint8_t any_of);

// kInvalidArgument names the field: empty, over 4096 bytes, NUL, not UTF-8.
Status check_region_name(std::string_view field, std::string_view name);

// kInvalidArgument: over 256 bytes, which bounds the time of a match.
Status check_glob(std::string_view field, std::string_view glob);

// Keys in the registry. Locks belong to the name, not to the region, so that a lock keeps its
// meaning when a commit puts another region under the name.
session::RegionKey region_key(const pool::Shelf& shelf, store::RegionId id);
session::RegionKey lock_key(const pool::Shelf& shelf, std::string_view name);

// Revokes the grants on a region and waits, 2 s at most, until nobody reaches its bytes. kBusy
// names the holder; kResourceExhausted: too many calls wait so already.
Status end_grants(ControlState& state, const Caller& caller, const session::RegionKey& key);
Status end_grants_on_shelf(ControlState& state, const Caller& caller, uint64_t shelf_key);

// Erase and resize: ends the grants, makes the change, and ends those given in between.
Status change_alone(ControlState& state, const Caller& caller, const session::RegionKey& key,
                    const std::function<Status()>& change);

// A mutation of a shelf that its store remembers: applied before a restart or not at all.
// Returns what Shelf::replay or `change` says was made.
Result<uint64_t> apply_once(const pool::Shelf& shelf, const store::Request& request,
                            const std::function<Result<uint64_t>()>& change);

}  // namespace pmshelf::control
