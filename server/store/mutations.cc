// Store: shelves and regions change.
#include "common/base/crc32c.h"
#include "common/base/units.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

Status check_region_name(std::string_view name) {
  if (is_valid_name(name, kRegionNameBytesMax)) return {};
  return Error(Code::kInvalidArgument, "region name of " + std::to_string(name.size()) +
                                           " bytes: must be 1..4096 bytes of UTF-8 without NUL");
}

Error name_taken(std::string_view name) {
  return Error(Code::kAlreadyExists, "region '" + std::string(name) + "' exists");
}

int64_t put_bytes(const RegionEntry& region) {
  return region_put_bytes(region.name_bytes, region.attribute_bytes);
}

}  // namespace

// ---- shelves

Result<ShelfId> StoreImpl::create_shelf(ShelfInfo info, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY(validate_shelf_info(info));
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return static_cast<ShelfId>(*earlier);
  if (state_->catalogue.shelf(info.name) != nullptr) {
    return Error(Code::kAlreadyExists, "shelf '" + info.name + "' exists");
  }
  limbo_->reclaim();
  if (const uint64_t left = state_->space.assignable_bytes(); info.capacity_bytes > left) {
    return Error(Code::kNoSpace, "shelf '" + info.name + "': capacity " +
                                     std::to_string(info.capacity_bytes) + " asked, " +
                                     std::to_string(left) + " bytes of the data space left");
  }
  if (state_->next_shelf > UINT32_MAX) {
    return Error(Code::kResourceExhausted, "this store has used up all shelf numbers");
  }
  const uint64_t bytes = shelf_put_bytes(info);
  PMSHELF_TRY(room_for(1, bytes, static_cast<int64_t>(bytes), request));
  info.id = static_cast<ShelfId>(state_->next_shelf++);
  info.created_unix_ms = clock_.unix_ms();
  queue(request, ShelfPut{info}, info.id);
  state_->space.add_shelf(info.id, info.capacity_bytes);
  return state_->catalogue.add_shelf(std::move(info)).info.id;
}

Status StoreImpl::update_shelf(const ShelfInfo& info, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(ShelfEntry* const shelf, shelf_entry(info.id));
  ShelfInfo changed = info;
  changed.capacity_bytes = shelf->info.capacity_bytes;
  changed.created_unix_ms = shelf->info.created_unix_ms;
  PMSHELF_TRY(validate_shelf_info(changed));
  const ShelfEntry* same_name = state_->catalogue.shelf(changed.name);
  if (same_name != nullptr && same_name != shelf) {
    return Error(Code::kAlreadyExists, "shelf '" + changed.name + "' exists");
  }
  const int64_t bytes = shelf_put_bytes(changed);
  PMSHELF_TRY(room_for(1, bytes, bytes - int64_t{shelf_put_bytes(shelf->info)}, request));
  queue(request, ShelfPut{changed}, changed.id);
  state_->catalogue.update_shelf(*shelf, std::move(changed));
  return {};
}

Status StoreImpl::erase_shelf(ShelfId id, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(ShelfEntry* const shelf, shelf_entry(id));
  PMSHELF_TRY(
      room_for(1, kOperationHeaderBytes + 8, -int64_t{shelf_put_bytes(shelf->info)}, request));
  std::vector<RegionEntry*> regions;
  regions.reserve(shelf->region_count);
  state_->catalogue.for_each_region([&](RegionEntry& region) {
    if (region.shelf == id) regions.push_back(&region);
  });
  queue(request, ShelfDel{id});
  for (RegionEntry* region : regions) drop_region(*region);
  state_->space.remove_shelf(id);
  state_->catalogue.remove_shelf(*shelf);
  return {};
}

// ---- regions

RegionId StoreImpl::put_region(RegionPut op, const Request& request) {
  op.region = state_->next_region++;
  const uint64_t position = queue(request, op, op.region);
  RegionEntry fields;
  fields.id = op.region;
  fields.shelf = op.shelf;
  fields.offset = op.offset;
  fields.bytes = op.bytes;
  fields.footprint_bytes = op.footprint_bytes;
  fields.modified_unix_ms = op.modified_unix_ms;
  fields.attribute_bytes = static_cast<uint16_t>(op.attributes.size());
  fields.attribute_crc = crc32c(std::as_bytes(std::span(op.attributes)));
  fields.attribute_position = position + kOperationHeaderBytes +
                              (request.id ? kOperationRequestBytes : 0) + kRegionPutFixedBytes +
                              op.name.size();
  state_->catalogue.add_region(fields, op.name);
  return op.region;
}

void StoreImpl::drop_region(RegionEntry& region) {
  limbo_->free_later(region.shelf, region.offset, region.footprint_bytes, region.offset);
  if (!shortened_.empty()) shortened_.erase(region.id);
  state_->catalogue.remove_region(region);
}

Result<RegionId> StoreImpl::create(ShelfId shelf, std::string_view name, uint64_t bytes,
                                   std::string_view attributes, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY(check_region_name(name));
  PMSHELF_TRY(check_attributes(attributes));
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return *earlier;
  PMSHELF_TRY_ASSIGN(const ShelfEntry* entry, shelf_entry(shelf));
  if (state_->catalogue.region(shelf, name) != nullptr) return name_taken(name);
  const auto op_bytes = region_put_bytes(static_cast<uint32_t>(name.size()),
                                         static_cast<uint32_t>(attributes.size()));
  PMSHELF_TRY(room_for(1, op_bytes, op_bytes, request));
  PMSHELF_TRY_ASSIGN(const Placed placed, place(*entry, bytes));
  if (Status zeroed = zero_placed(placed); !zeroed.ok()) {
    state_->space.release(shelf, placed.offset, placed.footprint_bytes);
    return std::move(zeroed).error();
  }
  return put_region(
      {0, shelf, placed.offset, bytes, placed.footprint_bytes, clock_.unix_ms(), name, attributes},
      request);
}

Status StoreImpl::erase(RegionId id, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(RegionEntry* const region, region_entry(id));
  PMSHELF_TRY(room_for(1, kOperationHeaderBytes + 8, -put_bytes(*region), request));
  queue(request, RegionDel{id});
  drop_region(*region);
  return {};
}

Status StoreImpl::rename(RegionId id, std::string_view new_name, bool replace,
                         const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY(check_region_name(new_name));
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(RegionEntry* const region, region_entry(id));
  RegionEntry* const old = state_->catalogue.region(region->shelf, new_name);
  if (old != nullptr && old != region && !replace) return name_taken(new_name);
  const uint64_t op_bytes = kOperationHeaderBytes + 24 + align_up(new_name.size(), 8);
  PMSHELF_TRY(room_for(1, op_bytes, static_cast<int64_t>(new_name.size()) - region->name_bytes + 8,
                       request));
  region->modified_unix_ms = clock_.unix_ms();
  queue(request, RegionRename{id, region->modified_unix_ms, replace, new_name});
  if (old != nullptr && old != region) drop_region(*old);
  state_->catalogue.rename(*region, new_name);
  return {};
}

Status StoreImpl::swap(RegionId a, RegionId b, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(RegionEntry* const first, region_entry(a));
  PMSHELF_TRY_ASSIGN(RegionEntry* const second, region_entry(b));
  if (first->shelf != second->shelf) {
    return Error(Code::kInvalidArgument, "swap: the two regions are on different shelves");
  }
  PMSHELF_TRY(room_for(1, kOperationHeaderBytes + 24, 8, request));
  first->modified_unix_ms = second->modified_unix_ms = clock_.unix_ms();
  queue(request, RegionSwap{a, b, first->modified_unix_ms});
  if (first != second) state_->catalogue.swap_names(*first, *second);
  return {};
}

Status StoreImpl::set_attributes(RegionId id, std::string_view attributes, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY(check_attributes(attributes));
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(RegionEntry* const region, region_entry(id));
  const uint64_t op_bytes =
      align_up(kOperationHeaderBytes + kRegionAttributesFixedBytes + attributes.size(), 8);
  PMSHELF_TRY(room_for(
      1, op_bytes, static_cast<int64_t>(attributes.size()) - region->attribute_bytes + 8, request));
  region->modified_unix_ms = clock_.unix_ms();
  const uint64_t position =
      queue(request, RegionAttributes{id, region->modified_unix_ms, attributes});
  state_->catalogue.set_attributes(
      *region,
      position + kOperationHeaderBytes + (request.id ? kOperationRequestBytes : 0) +
          kRegionAttributesFixedBytes,
      static_cast<uint16_t>(attributes.size()), crc32c(std::as_bytes(std::span(attributes))));
  return {};
}

}  // namespace pmshelf::store
