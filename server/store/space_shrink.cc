// Space: growing and shrinking the data space and the shelves in it.
#include <algorithm>

#include "common/base/check.h"
#include "server/store/space.h"

namespace pmshelf::store {

void Space::grow_end(uint64_t data_end) {
  const uint64_t end = data_end / kExtentBytes;
  PMSHELF_CHECK(end >= end_ && limit_ == UINT64_MAX && !tail_waits());
  free_.give(end_, end - end_);
  end_ = end;
}

bool Space::cut_end(uint64_t data_end) {
  const uint64_t end = data_end / kExtentBytes;
  if (end < begin_ || end > end_) return false;
  if (end == end_) return true;
  drop_all_retained();
  if (!free_.take_at(end, end_ - end)) return false;
  end_ = end;
  return true;
}

void Space::begin_shrink(ShelfId shelf, uint64_t target_bytes, uint64_t data_end) {
  PMSHELF_CHECK(limit_ == UINT64_MAX);
  drop_all_retained();
  Account& account = *find(shelf);
  account.target_extents = target_bytes / kExtentBytes;
  limit_ = data_end / kExtentBytes;
  if (limit_ >= end_) return;
  parked_ = free_.split_off(limit_);
  for (auto& [extent, carved] : carved_) {
    if (extent < limit_) continue;
    carved->closed = true;
    if (carved->owner->shelf != 0) ++carved->owner->closed_extents;
    list(*carved);
  }
}

void Space::close_run(ShelfId shelf, uint64_t offset, uint64_t bytes) {
  const uint64_t first = std::max(offset / kExtentBytes, limit_);
  const uint64_t end = (offset + bytes) / kExtentBytes;
  if (first >= end) return;
  if (Account* account = find(shelf)) account->closed_extents += end - first;
}

bool Space::close_emptiest(ShelfId shelf, const std::function<bool(uint64_t)>& may_close) {
  Account& account = *find(shelf);
  CarvedExtent* best = nullptr;
  const auto used = [](const CarvedExtent& c) {
    return uint64_t{c.taken_count()} * c.slot_bytes();
  };
  for (auto& [extent, carved] : carved_) {
    if (carved->owner != &account || carved->closed) continue;
    if (best != nullptr && used(*best) <= used(*carved)) continue;
    if (may_close(extent)) best = carved.get();
  }
  if (best == nullptr) return false;
  best->closed = true;
  ++account.closed_extents;
  list(*best);
  return true;
}

bool Space::is_closed(uint64_t offset) const {
  const uint64_t extent = offset / kExtentBytes;
  if (extent >= limit_) return true;
  const auto it = carved_.find(extent);
  return it != carved_.end() && it->second->closed;
}

uint64_t Space::open_bytes(ShelfId shelf) const {
  const Account& account = *find(shelf);
  return (account.owned_extents - account.retained_extents - account.closed_extents) * kExtentBytes;
}

void Space::cancel_shrink(ShelfId shelf) {
  for (const auto& [first, count] : parked_.runs()) free_.give(first, count);
  parked_ = RunMap();
  limit_ = UINT64_MAX;
  for (auto& [id, account] : accounts_) account->closed_extents = 0;
  find(shelf)->target_extents = UINT64_MAX;
  for (auto& [extent, carved] : carved_) {
    if (!std::exchange(carved->closed, false)) continue;
    list(*carved);
  }
}

void Space::move_carved(CarvedExtent& carved, Account& to) {
  unlist(carved);
  Account& from = *carved.owner;
  const uint64_t used = uint64_t{carved.taken_count()} * carved.slot_bytes();
  from.used_bytes -= used;
  from.overhead_bytes -= carved.overhead_bytes();
  --from.owned_extents;
  to.used_bytes += used;
  to.overhead_bytes += carved.overhead_bytes();
  ++to.owned_extents;
  carved.owner = &to;
}

void Space::finish_shrink(ShelfId shelf) {
  for (auto& [extent, carved] : carved_) {
    if (!carved->closed || carved->owner == &outside_) continue;
    move_carved(*carved, extent >= limit_ ? outside_ : nobody_);
  }
  for (auto& [id, account] : accounts_) account->closed_extents = 0;
  find(shelf)->target_extents = UINT64_MAX;
  if (limit_ < end_) end_ = limit_;
  limit_ = UINT64_MAX;
  parked_ = RunMap();
}

void Space::surrender_run(ShelfId shelf, uint64_t offset, uint64_t bytes) {
  const uint64_t first = std::max(offset / kExtentBytes, limit_);
  const uint64_t end = (offset + bytes) / kExtentBytes;
  if (first >= end) return;
  Account* account = find(shelf);
  Account& from = account == nullptr ? nobody_ : *account;
  from.used_bytes -= (end - first) * kExtentBytes;
  from.owned_extents -= end - first;
  outside_.used_bytes += (end - first) * kExtentBytes;
  outside_.owned_extents += end - first;
}

}  // namespace pmshelf::store
