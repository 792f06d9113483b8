// Store: shelves grow and shrink, regions move out of the way.
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <string>

#include "common/base/units.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

bool is_run(uint64_t footprint_bytes) {
  return footprint_bytes > 0 && footprint_bytes % kExtentBytes == 0;
}

}  // namespace

Status StoreImpl::resize_shelf(ShelfId id, uint64_t capacity_bytes, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(ShelfEntry* const shelf, shelf_entry(id));
  if (capacity_bytes % kExtentBytes != 0 || capacity_bytes >= kCounterMax) {
    return Error(Code::kInvalidArgument, "shelf capacity: must be a multiple of 2 MiB");
  }
  limbo_->reclaim();
  if (capacity_bytes >= shelf->info.capacity_bytes) {
    return grow_shelf(*shelf, capacity_bytes, request);
  }
  return shrink_shelf(*shelf, capacity_bytes, request);
}

// One SHELF_PUT and, where the data space changes, one SPACE, in the order in which they make
// sense: the space is never less than the capacities.
void StoreImpl::queue_capacity(ShelfEntry& shelf, uint64_t capacity_bytes, uint64_t data_end,
                               const Request& request) {
  ShelfInfo info = shelf.info;
  info.capacity_bytes = capacity_bytes;
  const bool moves_end = data_end != state_->space.end_bytes();
  const bool grows = capacity_bytes >= shelf.info.capacity_bytes;
  if (moves_end && grows) queue({}, SpaceEnd{data_end});
  queue(request, ShelfPut{info}, info.id);
  if (moves_end && !grows) queue({}, SpaceEnd{data_end});
  state_->catalogue.update_shelf(shelf, std::move(info));
}

Status StoreImpl::grow_shelf(ShelfEntry& shelf, uint64_t capacity_bytes, const Request& request) {
  Space& space = state_->space;
  const uint64_t more = capacity_bytes - shelf.info.capacity_bytes;
  const uint64_t left = space.assignable_bytes();
  const bool device = superblocks_.current().kind == StoreKind::kDevice;
  uint64_t data_end = space.end_bytes();
  if (more > left) {
    const uint64_t room = device ? 0 : align_down(data_.bytes(), kExtentBytes) - data_end;
    if (more - left > room) {
      return Error(Code::kNoSpace, "shelf '" + shelf.info.name + "': " + std::to_string(more) +
                                       " bytes more asked, " + std::to_string(left + room) +
                                       " in " + data_.name() + " that no shelf has");
    }
    data_end += more - left;
    if (space.tail_waits()) {
      return Error(Code::kBusy, "shelf '" + shelf.info.name + "' is still being shrunk");
    }
  }
  PMSHELF_TRY(room_for(2, shelf_put_bytes(shelf.info) + kSpaceEndBytes, 0, request));
  queue_capacity(shelf, capacity_bytes, data_end, request);
  if (data_end != space.end_bytes()) space.grow_end(data_end);
  space.set_capacity(shelf.info.id, capacity_bytes);
  return {};
}

Status StoreImpl::shrink_shelf(ShelfEntry& shelf, uint64_t capacity_bytes, const Request& request) {
  Space& space = state_->space;
  const ShelfId id = shelf.info.id;
  const bool device = superblocks_.current().kind == StoreKind::kDevice;
  const uint64_t data_end =
      space.end_bytes() - (device ? 0 : shelf.info.capacity_bytes - capacity_bytes);
  space.begin_shrink(id, capacity_bytes, data_end);
  Status emptied = close_what_goes(shelf, capacity_bytes);
  if (emptied.ok()) emptied = empty_what_is_closed();
  const uint64_t op_bytes = shelf_put_bytes(shelf.info) + kSpaceEndBytes;
  if (emptied.ok()) emptied = room_or_sync(2, op_bytes, request);
  if (emptied.ok() && space.open_bytes(id) > capacity_bytes) {
    emptied = Error(Code::kNoSpace, "shelf '" + shelf.info.name + "': its regions do not fit " +
                                        std::to_string(capacity_bytes) + " bytes");
  }
  if (!emptied.ok()) {
    space.cancel_shrink(id);
    return emptied;
  }
  limbo_->for_each([&](const Limbo::Range& range, bool) {
    if (is_run(range.bytes)) space.surrender_run(range.shelf, range.offset, range.bytes);
  });
  queue_capacity(shelf, capacity_bytes, data_end, request);
  space.finish_shrink(id);
  space.set_capacity(id, capacity_bytes);
  return {};
}

// Closes the tail, then as many of the least used extents as the shelf has too many. kBusy names
// what cannot move.
Status StoreImpl::close_what_goes(ShelfEntry& shelf, uint64_t capacity_bytes) {
  Space& space = state_->space;
  Status status;
  absl::flat_hash_set<uint64_t> stuck;  // extents that cannot be emptied
  const auto sticks = [&](uint64_t offset, uint64_t bytes, const std::string& who) {
    stuck.insert(offset / kExtentBytes);
    if (bytes > 0 && space.is_closed(offset + bytes - 1) && status.ok()) {
      status = Error(Code::kBusy, "shelf '" + shelf.info.name + "' cannot shrink: " + who);
    }
  };
  for (const auto& [id, staged] : staged_) {
    sticks(staged.offset, staged.footprint_bytes, "a staged region lies at its end");
  }
  limbo_->for_each([&](const Limbo::Range& range, bool pinned) {
    if (is_run(range.bytes)) space.close_run(range.shelf, range.offset, range.bytes);
    if (pinned) sticks(range.offset, range.bytes, "an erased region at its end is still open");
  });
  state_->catalogue.for_each_region([&](const RegionEntry& region) {
    if (is_run(region.footprint_bytes)) {
      space.close_run(region.shelf, region.offset, region.footprint_bytes);
    }
    if (limbo_->is_pinned(region.offset)) {
      sticks(region.offset, region.footprint_bytes,
             "region '" + std::string(region.name()) + "' is open");
    }
  });
  PMSHELF_TRY(std::move(status));
  const auto may_close = [&](uint64_t extent) { return !stuck.contains(extent); };
  while (space.open_bytes(shelf.info.id) > capacity_bytes) {
    if (space.close_emptiest(shelf.info.id, may_close)) continue;
    return Error(Code::kNoSpace, "shelf '" + shelf.info.name + "': its regions take " +
                                     std::to_string(space.open_bytes(shelf.info.id)) +
                                     " bytes that cannot be given up");
  }
  return {};
}

// As room_for, but writes what is staged when that is what takes the room and nobody else is at it.
Status StoreImpl::room_or_sync(uint64_t op_count, uint64_t op_bytes, const Request& request) {
  Status room = room_for(op_count, op_bytes, 0, request);
  if (room.code() != Code::kResourceExhausted || out_ != nullptr || pending_count_ == 0) {
    return room;
  }
  PMSHELF_TRY(sync());
  return room_for(op_count, op_bytes, 0, request);
}

Status StoreImpl::empty_what_is_closed() {
  std::vector<RegionEntry*> regions;
  state_->catalogue.for_each_region([&](RegionEntry& region) {
    if (region.footprint_bytes > 0 &&
        state_->space.is_closed(region.offset + region.footprint_bytes - 1)) {
      regions.push_back(&region);
    }
  });
  // Large ones first: the small ones fill what is left.
  std::sort(regions.begin(), regions.end(), [](const RegionEntry* a, const RegionEntry* b) {
    return a->footprint_bytes > b->footprint_bytes;
  });
  for (RegionEntry* region : regions) {
    PMSHELF_TRY(room_or_sync(1, kOperationHeaderBytes + 40, {}));
    PMSHELF_TRY(move_region(*region, region->bytes, region->modified_unix_ms, {}));
  }
  return {};
}

}  // namespace pmshelf::store
