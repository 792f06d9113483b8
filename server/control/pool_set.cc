#include "server/control/pool_set.h"

#include <utility>

namespace pmshelf::control {

Status PoolSet::add(pool::Pool& pool) {
  const std::string name = pool.stat().name;
  for (const Entry& entry : entries_) {
    if (entry.name == name)
      return Error(Code::kAlreadyExists, "two pools are named '" + name + "'");
    for (const auto& shelf : pool.shelves()) {
      const std::string shelf_name = shelf->info().name;
      if (!entry.pool->shelf(shelf_name).ok()) continue;
      return Error(Code::kAlreadyExists, "shelf '" + shelf_name + "' is in pool '" + entry.name +
                                             "' and in pool '" + name +
                                             "': serve one of the pools only, or move the shelf");
    }
  }
  entries_.push_back({name, &pool});
  return {};
}

Status PoolSet::set_default(std::string_view name) {
  for (size_t index = 0; index < entries_.size(); ++index) {
    if (entries_[index].name != name) continue;
    default_index_ = index;
    return {};
  }
  return Error(Code::kNotFound, "no pool '" + std::string(name) + "'");
}

Result<const PoolSet::Entry*> PoolSet::find(std::string_view name) const {
  if (name.empty() && !entries_.empty()) return &entries_[default_index_];
  for (const Entry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return Error(Code::kNotFound, "no pool '" + std::string(name.substr(0, 200)) + "'");
}

Result<PoolSet::Found> PoolSet::find_shelf(std::string_view name) const {
  for (const Entry& entry : entries_) {
    auto shelf = entry.pool->shelf(name);
    if (shelf.ok()) return Found{&entry, *std::move(shelf)};
    if (shelf.code() != Code::kNotFound && shelf.code() != Code::kInvalidArgument) {
      return std::move(shelf).error();
    }
  }
  return Error(Code::kNotFound, "no such shelf");
}

}  // namespace pmshelf::control
