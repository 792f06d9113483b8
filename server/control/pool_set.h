// The pools that a daemon serves, by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pmshelf/result.h"
#include "server/pool/pool.h"

namespace pmshelf::control {

// Names to pools, and shelf names to shelves: a shelf is named without its pool, so a name is in
// one pool only. Owner: app, which owns the pools and adds them before anything is served; then
// any thread.
class PoolSet {
 public:
  struct Entry {
    std::string name;
    pool::Pool* pool = nullptr;
  };
  struct Found {
    const Entry* entry = nullptr;
    std::shared_ptr<pool::Shelf> shelf;
  };

  // The first one is the default. kAlreadyExists: the pool's name, or a shelf of it that another
  // pool has too (the message names both).
  Status add(pool::Pool& pool);
  // kNotFound.
  Status set_default(std::string_view name);

  // Empty name: the default pool. kNotFound, also when there is no pool at all.
  Result<const Entry*> find(std::string_view name) const;
  // kNotFound.
  Result<Found> find_shelf(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
  size_t default_index_ = 0;
};

}  // namespace pmshelf::control
