#include "server/store/space.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/units.h"

namespace pmshelf::store {
namespace {

uint64_t extent_of(uint64_t offset) { return offset / kExtentBytes; }
uint32_t slot_bytes_of(uint32_t size_class) {
  return size_class == kPageClass ? kPageBytes : kSlabClassBytes[size_class];
}
uint32_t class_of(const CarvedExtent& carved) { return *class_of_footprint(carved.slot_bytes()); }

Error corrupt(const char* what) { return Error(Code::kCorrupt, what); }

}  // namespace

uint64_t footprint_for(uint64_t bytes) {
  if (bytes == 0) return 0;
  if (bytes <= kSlabBytesMax) {
    return *std::lower_bound(kSlabClassBytes.begin(), kSlabClassBytes.end(), bytes);
  }
  const uint64_t pages = align_up(bytes, kPageBytes);
  return pages < kExtentBytes ? pages : align_up(bytes, kExtentBytes);
}

std::optional<uint32_t> class_of_footprint(uint64_t footprint_bytes) {
  if (footprint_bytes > 0 && footprint_bytes <= kSlabBytesMax) {
    const auto at =
        std::lower_bound(kSlabClassBytes.begin(), kSlabClassBytes.end(), footprint_bytes);
    if (*at == footprint_bytes) return static_cast<uint32_t>(at - kSlabClassBytes.begin());
    return std::nullopt;
  }
  if (footprint_bytes > 0 && footprint_bytes < kExtentBytes && footprint_bytes % kPageBytes == 0) {
    return kPageClass;
  }
  return std::nullopt;
}

Space::Space(uint64_t data_begin, uint64_t data_end)
    : begin_(extent_of(data_begin)), end_(extent_of(data_end)) {
  free_.give(begin_, end_ - begin_);
}

// ---- shelves

Account* Space::find(ShelfId shelf) const {
  const auto it = accounts_.find(shelf);
  return it == accounts_.end() ? nullptr : it->second.get();
}

void Space::add_shelf(ShelfId shelf, uint64_t capacity_bytes) {
  PMSHELF_CHECK(capacity_bytes <= assignable_bytes() && !has_shelf(shelf));
  auto account = std::make_unique<Account>();
  account->shelf = shelf;
  account->quota_extents = extent_of(capacity_bytes);
  quota_extents_ += account->quota_extents;
  accounts_.emplace(shelf, std::move(account));
}

void Space::set_capacity(ShelfId shelf, uint64_t capacity_bytes) {
  Account& account = *find(shelf);
  const uint64_t extents = extent_of(capacity_bytes);
  PMSHELF_CHECK(extents <= account.quota_extents + extent_of(assignable_bytes()));
  if (account.owned_extents > extents) drop_retained(account);
  PMSHELF_CHECK(account.owned_extents <= extents);
  quota_extents_ += extents - account.quota_extents;
  account.quota_extents = extents;
}

void Space::remove_shelf(ShelfId shelf) {
  Account& account = *find(shelf);
  drop_retained(account);
  for (auto& [extent, carved] : carved_) {
    if (carved->owner == &account) move_carved(*carved, nobody_);
  }
  nobody_.owned_extents += account.owned_extents;  // what is left: runs
  nobody_.used_bytes += account.used_bytes;
  quota_extents_ -= account.quota_extents;
  accounts_.erase(shelf);
}

uint64_t Space::assignable_bytes() const {
  const uint64_t total = end_ - begin_;
  const uint64_t assigned = quota_extents_ + nobody_.owned_extents;
  return assigned < total ? (total - assigned) * kExtentBytes : 0;
}

uint64_t Space::owned_bytes(ShelfId shelf) const {
  const Account& account = *find(shelf);
  return (account.owned_extents - account.retained_extents) * kExtentBytes;
}

// ---- extents

bool Space::has_quota(Account& account, uint64_t extents) {
  const uint64_t quota = std::min(account.quota_extents, account.target_extents);
  const auto fits = [&] {
    return account.owned_extents - account.closed_extents + extents <= quota;
  };
  if (!fits()) drop_retained(account);
  return fits();
}

std::optional<uint64_t> Space::take_extents(Account& account, uint64_t count) {
  if (!has_quota(account, count)) return std::nullopt;
  auto first = free_.take(count);
  if (!first) {
    drop_all_retained();
    first = free_.take(count);
  }
  if (first) account.owned_extents += count;
  return first;
}

void Space::give_extents(uint64_t first, uint64_t count) {
  if (first >= end_) return;  // no longer part of the store
  if (first < limit_ && first + count > limit_) {
    give_extents(limit_, first + count - limit_);
    count = limit_ - first;
  }
  (first >= limit_ ? parked_ : free_).give(first, count);
  if (on_extents_free) on_extents_free(first * kExtentBytes, count * kExtentBytes);
}

CarvedExtent& Space::carve(Account& account, uint64_t extent, uint32_t slot_bytes) {
  auto carved = std::make_unique<CarvedExtent>(extent, slot_bytes, &account);
  CarvedExtent& out = *carved;
  carved_.emplace(extent, std::move(carved));
  // Empty as yet: the first slot ends that.
  account.retained[class_of(out)] = &out;
  ++account.retained_extents;
  return out;
}

void Space::destroy(CarvedExtent& carved) {
  unlist(carved);
  const uint64_t extent = carved.extent();
  carved_.erase(extent);
  give_extents(extent, 1);
}

void Space::take_slots(CarvedExtent& carved, uint32_t slot, uint32_t count) {
  Account& account = *carved.owner;
  if (carved.empty()) {
    const uint32_t size_class = class_of(carved);
    PMSHELF_CHECK(account.retained[size_class] == &carved);
    account.retained[size_class] = nullptr;
    --account.retained_extents;
    account.overhead_bytes += carved.overhead_bytes();
  }
  carved.take(slot, count);
  account.used_bytes += uint64_t{count} * carved.slot_bytes();
  list(carved);
}

void Space::emptied(CarvedExtent& carved) {
  Account& account = *carved.owner;
  account.overhead_bytes -= carved.overhead_bytes();
  CarvedExtent*& retained = account.retained[class_of(carved)];
  const bool keep = account.shelf != 0 && !carved.closed && retained == nullptr;
  if (!keep) {
    if (carved.closed && account.shelf != 0) --account.closed_extents;
    --account.owned_extents;
    destroy(carved);
    return;
  }
  retained = &carved;
  ++account.retained_extents;
  list(carved);
}

void Space::list(CarvedExtent& carved) {
  Account& account = *carved.owner;
  const bool open = !carved.closed && account.shelf != 0;
  if (carved.slot_bytes() == kPageBytes) {
    const uint32_t run = open ? carved.longest_free_run() : 0;
    if (carved.listed && run == carved.listed_run) return;
    unlist(carved);
    if (run == 0) return;
    carved.listed = true;
    carved.listed_run = run;
    account.pages.emplace(run, carved.extent());
    return;
  }
  if (!open || carved.full()) {
    unlist(carved);
  } else if (!carved.listed) {
    CarvedExtent*& head = account.slabs[class_of(carved)];
    carved.listed = true;
    carved.previous = nullptr;
    carved.next = head;
    if (head != nullptr) head->previous = &carved;
    head = &carved;
  }
}

void Space::unlist(CarvedExtent& carved) {
  if (!carved.listed) return;
  carved.listed = false;
  Account& account = *carved.owner;
  if (carved.slot_bytes() == kPageBytes) {
    account.pages.erase({carved.listed_run, carved.extent()});
    return;
  }
  (carved.previous != nullptr ? carved.previous->next : account.slabs[class_of(carved)]) =
      carved.next;
  if (carved.next != nullptr) carved.next->previous = carved.previous;
}

void Space::drop_retained(Account& account) {
  for (CarvedExtent*& retained : account.retained) {
    if (retained == nullptr) continue;
    destroy(*std::exchange(retained, nullptr));
    --account.retained_extents;
    --account.owned_extents;
  }
}

void Space::drop_all_retained() {
  for (auto& [shelf, account] : accounts_) drop_retained(*account);
}

// ---- ranges

std::optional<Placed> Space::allocate(ShelfId shelf, uint64_t footprint_bytes) {
  Account* account = find(shelf);
  PMSHELF_CHECK(account != nullptr);
  if (footprint_bytes == 0) return Placed{};
  if (auto size_class = class_of_footprint(footprint_bytes)) {
    const auto count = static_cast<uint32_t>(footprint_bytes / slot_bytes_of(*size_class));
    auto placed = allocate_slots(*account, *size_class, count);
    // No extent left for this class: a larger slot is better than none.
    while (!placed && *size_class < kPageClass) placed = allocate_slots(*account, ++*size_class, 1);
    return placed;
  }
  PMSHELF_CHECK(footprint_bytes % kExtentBytes == 0);
  const auto first = take_extents(*account, extent_of(footprint_bytes));
  if (!first) return std::nullopt;
  account->used_bytes += footprint_bytes;
  const uint64_t offset = *first * kExtentBytes;
  return Placed{offset, footprint_bytes, offset, footprint_bytes};
}

std::optional<Placed> Space::allocate_slots(Account& account, uint32_t size_class, uint32_t count) {
  CarvedExtent* carved = account.slabs[size_class];
  if (size_class == kPageClass) {
    const auto it = account.pages.lower_bound({count, 0});
    if (it != account.pages.end()) carved = carved_.find(it->second)->second.get();
  }
  if (carved == nullptr) {
    const auto extent = take_extents(account, 1);
    if (!extent) return std::nullopt;
    // One retained extent of a class at most: an empty one of this class would have had room.
    carved = &carve(account, *extent, slot_bytes_of(size_class));
  }
  const uint32_t slot = size_class == kPageClass ? carved->find_run(count) : carved->find_slot();
  const Placed placed = place(*carved, slot, count);
  take_slots(*carved, slot, count);
  return placed;
}

// Describes free slots that are about to be taken, and what to zero for them.
Placed Space::place(const CarvedExtent& carved, uint32_t slot, uint32_t count) const {
  const uint64_t base = carved.extent() * kExtentBytes;
  Placed placed;
  placed.offset = base + uint64_t{slot} * carved.slot_bytes();
  placed.footprint_bytes = uint64_t{count} * carved.slot_bytes();
  if (carved.all_zero(slot, count)) return placed;
  const uint32_t ahead = std::max(count, kZeroAheadBytes / carved.slot_bytes());
  placed.zero_offset = placed.offset;
  placed.zero_bytes = uint64_t{carved.free_run(slot, ahead)} * carved.slot_bytes();
  return placed;
}

void Space::mark_zero(uint64_t offset, uint64_t bytes) {
  const auto it = carved_.find(extent_of(offset));
  if (it == carved_.end() || bytes == 0) return;  // a run
  CarvedExtent& carved = *it->second;
  const auto slot = static_cast<uint32_t>(offset % kExtentBytes / carved.slot_bytes());
  carved.mark_zero(slot, static_cast<uint32_t>(bytes / carved.slot_bytes()));
}

Status Space::occupy(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes) {
  Account* account = find(shelf);
  PMSHELF_CHECK(account != nullptr);
  if (footprint_bytes == 0) {
    if (offset != 0) return corrupt("an empty region has an offset");
    return {};
  }
  if (offset < begin_bytes() || !range_inside(offset, footprint_bytes, end_bytes())) {
    return corrupt("outside the data space");
  }
  if (const auto size_class = class_of_footprint(footprint_bytes)) {
    return occupy_slots(*account, offset, *size_class, footprint_bytes);
  }
  if (footprint_bytes % kExtentBytes != 0 || offset % kExtentBytes != 0) {
    return corrupt("no footprint that a region can have");
  }
  const uint64_t count = extent_of(footprint_bytes);
  if (!has_quota(*account, count)) return corrupt("more than the shelf's capacity");
  if (!free_.take_at(extent_of(offset), count)) {
    drop_all_retained();
    if (!free_.take_at(extent_of(offset), count)) return corrupt("overlaps another region");
  }
  account->owned_extents += count;
  account->used_bytes += footprint_bytes;
  return {};
}

Status Space::occupy_slots(Account& account, uint64_t offset, uint32_t size_class,
                           uint64_t footprint_bytes) {
  const uint32_t slot_bytes = slot_bytes_of(size_class);
  const uint64_t within = offset % kExtentBytes;
  const uint64_t extent = extent_of(offset);
  auto it = carved_.find(extent);
  if (it != carved_.end() && it->second->empty() &&
      (it->second->owner != &account || it->second->slot_bytes() != slot_bytes)) {
    drop_retained(*it->second->owner);  // empty: free for another use
    it = carved_.end();
  }
  if (within % slot_bytes != 0 || within + footprint_bytes > kExtentBytes) {
    return corrupt("misaligned for its size");
  }
  const auto slot = static_cast<uint32_t>(within / slot_bytes);
  const auto count = static_cast<uint32_t>(footprint_bytes / slot_bytes);
  if (it != carved_.end()) {
    CarvedExtent& carved = *it->second;
    if (carved.owner != &account || carved.slot_bytes() != slot_bytes) {
      return corrupt("its extent has another use");
    }
    if (!carved.all_free(slot, count)) return corrupt("overlaps another region");
    take_slots(carved, slot, count);
    return {};
  }
  if (!has_quota(account, 1)) return corrupt("more than the shelf's capacity");
  if (!free_.take_at(extent, 1)) return corrupt("overlaps another region");
  if (account.retained[size_class] != nullptr) drop_retained(account);
  ++account.owned_extents;
  CarvedExtent& carved = carve(account, extent, slot_bytes);
  take_slots(carved, slot, count);
  return {};
}

Account& Space::run_owner(ShelfId shelf, uint64_t extent) {
  if (extent >= end_) return outside_;
  Account* account = find(shelf);
  return account == nullptr ? nobody_ : *account;
}

void Space::release(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes) {
  if (footprint_bytes == 0) return;
  const uint64_t extent = extent_of(offset);
  if (footprint_bytes % kExtentBytes == 0) {
    if (extent < end_ && offset + footprint_bytes > end_bytes()) {  // a part was surrendered
      release(shelf, end_bytes(), offset + footprint_bytes - end_bytes());
      footprint_bytes = end_bytes() - offset;
    }
    Account& account = run_owner(shelf, extent);
    account.used_bytes -= footprint_bytes;
    account.owned_extents -= extent_of(footprint_bytes);
    if (account.closed_extents > 0 && extent_of(offset + footprint_bytes) > limit_) {
      account.closed_extents -= extent_of(offset + footprint_bytes) - std::max(extent, limit_);
    }
    give_extents(extent, extent_of(footprint_bytes));
    return;
  }
  const auto it = carved_.find(extent);
  PMSHELF_CHECK(it != carved_.end());
  CarvedExtent& carved = *it->second;
  const auto slot = static_cast<uint32_t>(offset % kExtentBytes / carved.slot_bytes());
  carved.free(slot, static_cast<uint32_t>(footprint_bytes / carved.slot_bytes()));
  carved.owner->used_bytes -= footprint_bytes;
  if (carved.empty()) {
    emptied(carved);
  } else {
    list(carved);
  }
}

bool Space::extend(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes, uint64_t new_bytes) {
  Account& account = *find(shelf);
  const uint64_t more = new_bytes - footprint_bytes;
  const uint64_t after = offset + footprint_bytes;
  if (footprint_bytes >= kExtentBytes) {
    if (!has_quota(account, extent_of(more)) || !free_.take_at(extent_of(after), extent_of(more))) {
      return false;
    }
    account.owned_extents += extent_of(more);
    account.used_bytes += more;
    return true;
  }
  CarvedExtent& carved = *carved_.find(extent_of(offset))->second;
  const auto slot = static_cast<uint32_t>((offset % kExtentBytes + footprint_bytes) / kPageBytes);
  const auto count = static_cast<uint32_t>(more / kPageBytes);
  if (carved.closed || slot + count > carved.slot_count() || !carved.all_free(slot, count)) {
    return false;
  }
  take_slots(carved, slot, count);
  return true;
}

bool Space::is_free(uint64_t offset, uint64_t bytes) const {
  for (uint64_t at = offset; at < offset + bytes;) {
    const uint64_t extent = extent_of(at);
    const uint64_t part_end = std::min(offset + bytes, (extent + 1) * kExtentBytes);
    const auto it = carved_.find(extent);
    if (it == carved_.end()) {
      if (!free_.contains(extent, 1)) return false;
    } else {
      const uint32_t slot_bytes = it->second->slot_bytes();
      const auto first = static_cast<uint32_t>(at % kExtentBytes / slot_bytes);
      const auto last = static_cast<uint32_t>(((part_end - 1) % kExtentBytes) / slot_bytes);
      const uint32_t end = std::min(last + 1, it->second->slot_count());
      if (first < end && !it->second->all_free(first, end - first)) return false;
    }
    at = part_end;
  }
  return true;
}

}  // namespace pmshelf::store
