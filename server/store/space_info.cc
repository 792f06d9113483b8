// Space: what it tells about itself.
#include <algorithm>

#include "server/store/space.h"

namespace pmshelf::store {

// The longest run of free extents, with the retained ones of all shelves counted as free.
uint64_t Space::longest_run() const {
  std::vector<uint64_t> retained;
  for (const auto& [shelf, account] : accounts_) {
    for (const CarvedExtent* carved : account->retained) {
      if (carved != nullptr) retained.push_back(carved->extent());
    }
  }
  std::sort(retained.begin(), retained.end());
  uint64_t longest = free_.longest();
  for (size_t i = 0; i < retained.size();) {
    const uint64_t begin = free_.start_of_run_ending_at(retained[i]);
    uint64_t end = retained[i];
    while (i < retained.size() && retained[i] == end) {
      end = free_.end_of_run_starting_at(end + 1);
      ++i;
    }
    longest = std::max(longest, end - begin);
  }
  return longest;
}

uint64_t Space::largest_free(const Account& account) const {
  const uint64_t quota = account.quota_extents - (account.owned_extents - account.retained_extents);
  if (const uint64_t run = std::min(quota, longest_run()); run > 0) return run * kExtentBytes;
  if (!account.pages.empty()) return uint64_t{account.pages.rbegin()->first} * kPageBytes;
  for (size_t size_class = kSlabClassBytes.size(); size_class-- > 0;) {
    if (account.slabs[size_class] != nullptr) return kSlabClassBytes[size_class];
  }
  return 0;
}

SpaceInfo Space::info(ShelfId shelf) const {
  const Account& account = *find(shelf);
  SpaceInfo info;
  info.capacity_bytes = account.quota_extents * kExtentBytes;
  info.used_bytes = account.used_bytes;
  info.metadata_bytes = account.overhead_bytes;
  info.free_bytes = info.capacity_bytes - info.used_bytes - info.metadata_bytes;
  info.largest_free_bytes = largest_free(account);
  return info;
}

SpaceInfo Space::info() const {
  SpaceInfo info;
  info.capacity_bytes = (end_ - begin_) * kExtentBytes;
  info.used_bytes = nobody_.used_bytes;
  info.metadata_bytes = nobody_.overhead_bytes;
  for (const auto& [shelf, account] : accounts_) {
    info.used_bytes += account->used_bytes;
    info.metadata_bytes += account->overhead_bytes;
    info.largest_free_bytes = std::max(info.largest_free_bytes, largest_free(*account));
  }
  info.free_bytes = info.capacity_bytes - info.used_bytes - info.metadata_bytes;
  return info;
}

namespace {

// Counted again from the carved extents.
struct Recount {
  uint64_t carved_extents = 0;
  uint64_t empty_extents = 0;
  uint64_t slot_bytes = 0;
  uint64_t overhead_bytes = 0;
};

void verify_account(const Account& account, const Recount& count, const std::string& who,
                    std::vector<std::string>& problems) {
  const auto expect = [&](bool holds, const char* what) {
    if (!holds) problems.push_back("space of " + who + ": " + what);
  };
  const uint64_t run_extents = account.owned_extents - count.carved_extents;
  expect(count.carved_extents <= account.owned_extents, "more extents in use than counted");
  expect(count.empty_extents == account.retained_extents, "empty extents miscounted");
  expect(count.overhead_bytes == account.overhead_bytes, "slab overhead miscounted");
  expect(count.slot_bytes + run_extents * kExtentBytes == account.used_bytes,
         "used bytes miscounted");
}

}  // namespace

void Space::verify(std::vector<std::string>& problems) const {
  absl::flat_hash_map<const Account*, Recount> counts;
  for (const auto& [extent, carved] : carved_) {
    Recount& count = counts[carved->owner];
    ++count.carved_extents;
    count.slot_bytes += uint64_t{carved->taken_count()} * carved->slot_bytes();
    if (carved->empty()) {
      ++count.empty_extents;
    } else {
      count.overhead_bytes += carved->overhead_bytes();
    }
    if (free_.contains(extent, 1) || parked_.contains(extent, 1)) {
      problems.push_back("space: extent " + std::to_string(extent) + " is free and in use");
    }
  }
  uint64_t owned = nobody_.owned_extents;
  uint64_t quota = 0;
  for (const auto& [shelf, account] : accounts_) {
    verify_account(*account, counts[account.get()], "shelf " + std::to_string(shelf), problems);
    owned += account->owned_extents;
    quota += account->quota_extents;
    if (account->owned_extents > account->quota_extents) {
      problems.push_back("space of shelf " + std::to_string(shelf) + ": more than its capacity");
    }
  }
  verify_account(nobody_, counts[&nobody_], "erased shelves", problems);
  verify_account(outside_, counts[&outside_], "the cut tail", problems);
  if (quota != quota_extents_) problems.push_back("space: capacities miscounted");
  if (quota + nobody_.owned_extents > end_ - begin_) {
    problems.push_back("space: capacities are more than the data space");
  }
  if (free_.total() + parked_.total() + owned != end_ - begin_) {
    problems.push_back("space: extents leaked or counted twice");
  }
}

}  // namespace pmshelf::store
