// Store: what is there.
#include <algorithm>

#include "common/base/crc32c.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {

std::vector<ShelfInfo> StoreImpl::shelves() const {
  std::vector<ShelfInfo> out;
  for (const auto& [id, shelf] : state_->catalogue.shelves()) out.push_back(shelf->info);
  std::sort(out.begin(), out.end(),
            [](const ShelfInfo& a, const ShelfInfo& b) { return a.id < b.id; });
  return out;
}

Result<ShelfInfo> StoreImpl::shelf(ShelfId id) const {
  PMSHELF_TRY(usable());
  PMSHELF_TRY_ASSIGN(const ShelfEntry* entry, shelf_entry(id));
  return entry->info;
}

Result<RegionInfo> StoreImpl::find(ShelfId shelf, std::string_view name) const {
  PMSHELF_TRY(usable());
  PMSHELF_TRY(shelf_entry(shelf));
  const RegionEntry* region = state_->catalogue.region(shelf, name);
  if (region == nullptr) return Error(Code::kNotFound, "no region '" + std::string(name) + "'");
  return region->info();
}

Result<RegionInfo> StoreImpl::region(RegionId id) const {
  PMSHELF_TRY(usable());
  PMSHELF_TRY_ASSIGN(const RegionEntry* entry, region_entry(id));
  return entry->info();
}

Result<std::string> StoreImpl::attributes(RegionId id) const {
  PMSHELF_TRY(usable());
  PMSHELF_TRY_ASSIGN(const RegionEntry* entry, region_entry(id));
  return read_attributes(*entry);
}

Result<std::string> StoreImpl::read_attributes(const RegionEntry& region) const {
  std::string out(region.attribute_bytes, '\0');
  if (out.empty()) return out;
  const uint64_t position = region.attribute_position;
  const auto target = std::as_writable_bytes(std::span(out));
  // Not on media yet: in the batch being staged, or in the one being written.
  const OpBuffer* buffer = position >= tail_                               ? &pending_
                           : out_ != nullptr && position >= out_->position ? &out_->record
                                                                           : nullptr;
  if (buffer != nullptr) {
    const uint64_t begin = buffer == &pending_ ? tail_ : out_->position;
    std::copy_n(buffer->data() + (position - begin), target.size(), target.data());
    return out;
  }
  for (const uint64_t copy : log_.offsets) {
    if (map_.read(copy + position, target).ok() && crc32c(target) == region.attribute_crc) {
      return out;
    }
  }
  return Error(Code::kCorrupt, map_.name() + ": attributes of region '" +
                                   std::string(region.name()) +
                                   "' are damaged in both copies; see `pmshelf pool check`");
}

void StoreImpl::scan(ShelfId shelf, std::string_view prefix, std::string_view after,
                     bool from_start, const std::function<bool(const RegionInfo&)>& visit) const {
  ShelfEntry* entry = state_->catalogue.shelf(shelf);
  if (entry == nullptr || offline()) return;
  const OrderedIndex& ordered = state_->catalogue.ordered(*entry);
  auto it = from_start || after < prefix ? ordered.lower_bound(prefix) : ordered.upper_bound(after);
  for (; it != ordered.end() && (*it)->name().starts_with(prefix); ++it) {
    if (!visit((*it)->info())) return;
  }
}

SpaceInfo StoreImpl::space(ShelfId shelf) const {
  const ShelfEntry* entry = state_->catalogue.shelf(shelf);
  if (entry == nullptr) return {};
  limbo_->reclaim();
  SpaceInfo info = state_->space.info(shelf);
  info.held_bytes = info.used_bytes - entry->live_bytes;
  info.region_count = entry->region_count;
  return info;
}

SpaceInfo StoreImpl::space() const {
  limbo_->reclaim();
  SpaceInfo info = state_->space.info();
  uint64_t live_bytes = 0;
  for (const auto& [id, shelf] : state_->catalogue.shelves()) live_bytes += shelf->live_bytes;
  info.held_bytes = info.used_bytes - live_bytes;
  info.region_count = state_->catalogue.region_count();
  return info;
}

std::optional<RequestOutcome> StoreImpl::find_request(const RequestId& id) const {
  const RememberedRequest* request = state_->requests.find(id);
  if (request == nullptr) return std::nullopt;
  return request->outcome;
}

Result<Pin> StoreImpl::pin(RegionId id) {
  PMSHELF_TRY(usable());
  PMSHELF_TRY_ASSIGN(const RegionEntry* entry, region_entry(id));
  return limbo_->pin(entry->offset);
}

Pin StoreImpl::pin_staged(StagedId id) {
  const auto it = staged_.find(id);
  return it == staged_.end() ? Pin() : limbo_->pin(it->second.offset);
}

}  // namespace pmshelf::store
