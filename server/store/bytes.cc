// Store: where the bytes of regions lie, and what is in them before anybody writes them.
#include <algorithm>
#include <string>

#include "server/store/mutant.h"
#include "server/store/store_impl.h"

namespace pmshelf::store {
namespace {
constexpr uint64_t kCopyChunkBytes = 1 << 20;
}

Result<Placed> StoreImpl::place(const ShelfEntry& shelf, uint64_t bytes) {
  limbo_->reclaim();
  if (bytes <= shelf.info.capacity_bytes) {
    if (auto placed = state_->space.allocate(shelf.info.id, footprint_for(bytes))) return *placed;
  }
  const SpaceInfo info = space(shelf.info.id);
  return Error(Code::kNoSpace, "shelf '" + shelf.info.name + "': " + std::to_string(bytes) +
                                   " bytes asked, " + std::to_string(info.free_bytes) + " free (" +
                                   std::to_string(info.largest_free_bytes) + " in one piece), " +
                                   std::to_string(info.held_bytes) + " still in use by others");
}

Status StoreImpl::flush_data(uint64_t offset, uint64_t bytes) {
  data_dirty_ = true;
  if (Status flushed = data_.flush(offset, bytes); !flushed.ok()) {
    return go_offline(std::move(flushed).error());
  }
  return {};
}

Status StoreImpl::zero_range(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return {};
  PMSHELF_TRY(data_.zero(offset, bytes));
  return flush_data(offset, bytes);
}

Status StoreImpl::zero_placed(const Placed& placed) {
  if (placed.zero_bytes == 0) return {};
  if (!mutant(Mutant::kSkipZeroOfReusedSlot)) {
    PMSHELF_TRY(zero_range(placed.zero_offset, placed.zero_bytes));
  }
  state_->space.mark_zero(placed.zero_offset, placed.zero_bytes);
  return {};
}

Status StoreImpl::copy_range(uint64_t from, uint64_t to, uint64_t bytes) {
  if (bytes == 0) return {};
  std::vector<std::byte> chunk(std::min(bytes, kCopyChunkBytes));
  for (uint64_t done = 0; done < bytes;) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(chunk.size(), bytes - done));
    PMSHELF_TRY(data_.read(from + done, part));
    PMSHELF_TRY(data_.store(to + done, part));
    done += part.size();
  }
  return flush_data(to, bytes);
}

}  // namespace pmshelf::store
