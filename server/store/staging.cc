// Store: regions that are written first and named later.
#include <absl/container/flat_hash_set.h>

#include "server/store/store_impl.h"

namespace pmshelf::store {

Result<Staged> StoreImpl::reserve(ShelfId shelf, uint64_t bytes, bool zero) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const ShelfEntry* entry, shelf_entry(shelf));
  PMSHELF_TRY_ASSIGN(const Placed placed, place(*entry, bytes));
  const Status zeroed = zero ? zero_placed(placed)
                             : zero_range(placed.offset + bytes, placed.footprint_bytes - bytes);
  if (!zeroed.ok()) {
    state_->space.release(shelf, placed.offset, placed.footprint_bytes);
    return zeroed.error();
  }
  const StagedId id = next_staged_++;
  staged_.emplace(id, StagedRegion{shelf, placed.offset, bytes, placed.footprint_bytes});
  return Staged{id, placed.offset, bytes};
}

void StoreImpl::release(StagedId id) {
  const auto it = staged_.find(id);
  if (it == staged_.end()) return;
  const StagedRegion& staged = it->second;
  limbo_->free_unnamed(staged.shelf, staged.offset, staged.footprint_bytes);
  staged_.erase(it);
}

Status StoreImpl::check_publish(const ShelfEntry& shelf, std::span<const Publish> items) const {
  absl::flat_hash_set<StagedId> ids;
  absl::flat_hash_set<std::string_view> names;
  for (const Publish& item : items) {
    const std::string who = "'" + item.name + "'";
    if (!is_valid_name(item.name, kRegionNameBytesMax)) {
      return Error(Code::kInvalidArgument,
                   "region name: must be 1..4096 bytes of UTF-8 without NUL");
    }
    PMSHELF_TRY(check_attributes(item.attributes));
    if (!ids.insert(item.staged).second) {
      return Error(Code::kInvalidArgument, "staged region given twice, for " + who);
    }
    if (!names.insert(item.name).second) {
      return Error(Code::kInvalidArgument, "name given twice: " + who);
    }
    const auto staged = staged_.find(item.staged);
    if (staged == staged_.end() || staged->second.shelf != shelf.info.id) {
      return Error(Code::kNotFound, "no such staged region, for " + who);
    }
    const RegionEntry* old = state_->catalogue.region(shelf.info.id, item.name);
    if (old != nullptr && !item.replace) {
      return Error(Code::kAlreadyExists, "region " + who + " exists");
    }
    if (item.expected != 0 && (old == nullptr || old->id != item.expected)) {
      return Error(Code::kConflict, "region " + who + " is no longer the one expected");
    }
  }
  return {};
}

Result<std::vector<RegionId>> StoreImpl::publish(ShelfId shelf, std::span<const Publish> items,
                                                 const Request& request) {
  PMSHELF_TRY(writable());
  std::vector<RegionId> ids;
  if (items.empty()) return Error(Code::kInvalidArgument, "publish: nothing given");
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) {  // the ids of one publish follow each other
    for (size_t i = 0; i < items.size(); ++i) ids.push_back(*earlier + i);
    return ids;
  }
  PMSHELF_TRY_ASSIGN(const ShelfEntry* entry, shelf_entry(shelf));
  PMSHELF_TRY(check_publish(*entry, items));
  uint64_t op_bytes = 0;
  for (const Publish& item : items) {
    op_bytes += region_put_bytes(static_cast<uint32_t>(item.name.size()),
                                 static_cast<uint32_t>(item.attributes.size()));
  }
  PMSHELF_TRY(room_for(items.size(), op_bytes, static_cast<int64_t>(op_bytes), request));
  const uint64_t now = clock_.unix_ms();
  for (const Publish& item : items) {
    const auto it = staged_.find(item.staged);
    const StagedRegion staged = it->second;
    staged_.erase(it);
    RegionEntry* const old = state_->catalogue.region(shelf, item.name);
    if (old != nullptr) drop_region(*old);
    ids.push_back(put_region({0, shelf, staged.offset, staged.bytes, staged.footprint_bytes, now,
                              item.name, item.attributes},
                             ids.empty() ? request : Request{}));
  }
  return ids;
}

}  // namespace pmshelf::store
