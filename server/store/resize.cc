// Store: regions change their length.
#include <algorithm>

#include "common/base/units.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {

constexpr uint64_t kResizeOpBytes = kOperationHeaderBytes + 40;

// What a footprint can be cut to, in place, for fewer bytes.
uint64_t trimmed(uint64_t footprint_bytes, uint64_t bytes) {
  if (bytes == 0) return 0;
  if (footprint_bytes < kPageBytes) return footprint_bytes;
  return align_up(bytes, footprint_bytes < kExtentBytes ? kPageBytes : kExtentBytes);
}

}  // namespace

Status StoreImpl::resize(RegionId id, uint64_t bytes, const Request& request) {
  PMSHELF_TRY(writable());
  PMSHELF_TRY_ASSIGN(const auto earlier, applied(request));
  if (earlier) return {};
  PMSHELF_TRY_ASSIGN(RegionEntry* const region, region_entry(id));
  PMSHELF_TRY(room_for(1, kResizeOpBytes, 0, request));
  if (bytes <= region->bytes) {
    shrink_region(*region, bytes, request);
    return {};
  }
  PMSHELF_TRY_ASSIGN(const bool done, grow_in_place(*region, bytes, request));
  if (done) return {};
  if (limbo_->is_pinned(region->offset)) {
    return Error(Code::kBusy, "region '" + std::string(region->name()) +
                                  "' has to move to grow, and is still open");
  }
  return move_region(*region, bytes, clock_.unix_ms(), request);
}

void StoreImpl::queue_resize(RegionEntry& region, const RegionResize& op, const Request& request) {
  queue(request, op);
  state_->catalogue.set_place(region, op.offset, op.bytes, op.footprint_bytes);
  region.modified_unix_ms = op.modified_unix_ms;
}

void StoreImpl::shrink_region(RegionEntry& region, uint64_t bytes, const Request& request) {
  const uint64_t footprint = trimmed(region.footprint_bytes, bytes);
  limbo_->free_later(region.shelf, region.offset + footprint, region.footprint_bytes - footprint,
                     region.offset);
  if (bytes < region.bytes) shortened_[region.id] = staging_batch_;
  const uint64_t offset = footprint == 0 ? 0 : region.offset;
  queue_resize(region, {region.id, offset, bytes, footprint, clock_.unix_ms()}, request);
}

// False when it cannot grow where it is.
Result<bool> StoreImpl::grow_in_place(RegionEntry& region, uint64_t bytes, const Request& request) {
  // Zeroing now what an operation not yet durable cut off would lose it in a crash.
  if (shortened_.contains(region.id)) return false;
  uint64_t footprint = region.footprint_bytes;
  if (bytes > footprint) {
    const ShelfEntry& shelf = *state_->catalogue.shelf(region.shelf);
    const uint64_t unit = footprint < kExtentBytes ? kPageBytes : kExtentBytes;
    if (footprint < kPageBytes || bytes > shelf.info.capacity_bytes) return false;
    const uint64_t longer = align_up(bytes, unit);
    if (footprint < kExtentBytes && longer >= kExtentBytes) return false;
    limbo_->reclaim();
    if (!state_->space.extend(region.shelf, region.offset, footprint, longer)) return false;
    footprint = longer;
  }
  const uint64_t zero_end = std::min(footprint, align_up(bytes, kPageBytes));
  if (Status zeroed = zero_range(region.offset + region.bytes, zero_end - region.bytes);
      !zeroed.ok()) {
    state_->space.release(region.shelf, region.offset + region.footprint_bytes,
                          footprint - region.footprint_bytes);
    return std::move(zeroed).error();
  }
  queue_resize(region, {region.id, region.offset, bytes, footprint, clock_.unix_ms()}, request);
  return true;
}

// Precondition: not pinned. Copies what both lengths have.
Status StoreImpl::move_region(RegionEntry& region, uint64_t bytes, uint64_t modified_unix_ms,
                              const Request& request) {
  const ShelfEntry& shelf = *state_->catalogue.shelf(region.shelf);
  PMSHELF_TRY_ASSIGN(Placed placed, place(shelf, bytes));
  const uint64_t kept = std::min(region.bytes, bytes);
  if (placed.footprint_bytes >= kExtentBytes) {  // a run: no need to zero what is copied over
    placed.zero_offset += kept;
    placed.zero_bytes -= kept;
  }
  Status filled = zero_placed(placed);
  if (filled.ok()) filled = copy_range(region.offset, placed.offset, kept);
  if (!filled.ok()) {
    state_->space.release(region.shelf, placed.offset, placed.footprint_bytes);
    return filled;
  }
  limbo_->free_later(region.shelf, region.offset, region.footprint_bytes, region.offset);
  queue_resize(region, {region.id, placed.offset, bytes, placed.footprint_bytes, modified_unix_ms},
               request);
  return {};
}

}  // namespace pmshelf::store
