// Which bytes of the data space are free: extents, and slots in carved extents.
//
// Invariants, for every shelf and for the store as a whole:
//   used + free + metadata = capacity;
//   an extent is free, part of one run, or carved into slots of one size for one shelf;
//   the extents of a shelf (runs and non-empty carved ones) are at most its capacity.
#pragma once

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pmshelf/result.h"
#include "server/store/extent.h"
#include "server/store/run_map.h"
#include "server/store/types.h"

namespace pmshelf::store {

inline constexpr std::array<uint32_t, 19> kSlabClassBytes = {
    64,  128,  192,  256,  320,  384,  448,  512,  640, 768,
    896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584};
inline constexpr uint32_t kSlabBytesMax = kSlabClassBytes.back();
inline constexpr uint32_t kClassCount = kSlabClassBytes.size() + 1;  // the last one is pages
inline constexpr uint32_t kPageClass = kClassCount - 1;
// Free slots are zeroed this much at a time, ahead of use, so that most small creations write
// nothing but their record.
inline constexpr uint32_t kZeroAheadBytes = 64 * 1024;

// What a region of this length takes (docs/format.md, "Space"). Precondition: bytes <= 2^62.
uint64_t footprint_for(uint64_t bytes);
// Class of a footprint below 2 MiB: index into kSlabClassBytes, kPageClass, or nothing when no
// region can have this footprint.
std::optional<uint32_t> class_of_footprint(uint64_t footprint_bytes);

// The space of one shelf. Bookkeeping of Space.
struct Account {
  ShelfId shelf = 0;
  uint64_t quota_extents = 0;
  uint64_t owned_extents = 0;     // runs and carved ones, retained ones as well
  uint64_t retained_extents = 0;  // carved but empty: free, yet keep what is known to be zero
  uint64_t closed_extents = 0;    // while shrinking: part of owned, to be surrendered
  uint64_t target_extents = UINT64_MAX;  // while shrinking: what will be left of the quota
  uint64_t used_bytes = 0;
  uint64_t overhead_bytes = 0;
  std::array<CarvedExtent*, kClassCount> slabs{};        // heads of lists of those with free slots
  absl::btree_set<std::pair<uint32_t, uint64_t>> pages;  // (longest free run, extent)
  std::array<CarvedExtent*, kClassCount> retained{};
};

struct Placed {
  uint64_t offset = 0;
  uint64_t footprint_bytes = 0;
  // To be zeroed and flushed before the footprint's bytes are zero; then told to mark_zero. Covers
  // free slots behind the footprint as well. Empty when the bytes are zero already.
  uint64_t zero_offset = 0;
  uint64_t zero_bytes = 0;
};

// Volatile; knows nothing about media. Owner: the store. Not thread-safe. Memory: two bits per
// slot of carved extents, and a few words per free run; nothing proportional to the data space.
class Space {
 public:
  // Ends are multiples of 2 MiB.
  Space(uint64_t data_begin, uint64_t data_end);
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;

  // ---- shelves. Precondition of both: capacity <= old capacity + assignable_bytes().
  void add_shelf(ShelfId shelf, uint64_t capacity_bytes);
  void set_capacity(ShelfId shelf, uint64_t capacity_bytes);
  // What is still taken goes to nobody, and is free when released.
  void remove_shelf(ShelfId shelf);
  bool has_shelf(ShelfId shelf) const { return accounts_.contains(shelf); }
  // Data space that is no shelf's capacity and holds nothing of removed ones.
  uint64_t assignable_bytes() const;
  // What the shelf's extents take; its capacity cannot be less.
  uint64_t owned_bytes(ShelfId shelf) const;

  // ---- ranges
  // Nothing when the shelf or the store has no room. The footprint may become larger than asked
  // when no extent is left for its class. Precondition: footprint_for(x) for some x.
  std::optional<Placed> allocate(ShelfId shelf, uint64_t footprint_bytes);
  // Takes exactly this range, as recovery does. kCorrupt says why not: outside, misaligned, no
  // footprint, taken, the extent has another use, or more than the shelf's capacity.
  Status occupy(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes);
  // Gives back a whole footprint or the tail of one. The shelf may be gone.
  void release(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes);
  // Makes a footprint larger where it is. False, changing nothing, when that is taken.
  bool extend(ShelfId shelf, uint64_t offset, uint64_t footprint_bytes, uint64_t new_bytes);
  // The free slots in this range now read as zero.
  void mark_zero(uint64_t offset, uint64_t bytes);
  // True when no footprint touches the range (which must be inside the data space).
  bool is_free(uint64_t offset, uint64_t bytes) const;
  // Called for extents that became free.
  std::function<void(uint64_t offset, uint64_t bytes)> on_extents_free;

  // ---- end of the data space
  uint64_t begin_bytes() const { return begin_ * kExtentBytes; }
  uint64_t end_bytes() const { return end_ * kExtentBytes; }
  void grow_end(uint64_t data_end);
  // False when something lies there. For recovery: live stores go through Shrink.
  bool cut_end(uint64_t data_end);

  // ---- shrinking a live store (space_shrink.cc). One shelf at a time.
  // The shelf is to take no more than `target_bytes`; nothing is placed at or behind `data_end`.
  void begin_shrink(ShelfId shelf, uint64_t target_bytes, uint64_t data_end);
  // A run of some shelf, live or waiting to be released, lies at or behind the end: that part is
  // to be surrendered.
  void close_run(ShelfId shelf, uint64_t offset, uint64_t bytes);
  // Closes the least used carved extent of the shelf for which `may_close` is true.
  bool close_emptiest(ShelfId shelf, const std::function<bool(uint64_t extent)>& may_close);
  bool is_closed(uint64_t offset) const;
  // What the shelf would still take when all that is closed were surrendered.
  uint64_t open_bytes(ShelfId shelf) const;
  void cancel_shrink(ShelfId shelf);
  // What is closed leaves the accounts: what still waits there to be released is nobody's, and,
  // behind the end, no part of the store. Precondition: no live region is in it.
  void finish_shrink(ShelfId shelf);
  // Before finish_shrink, for every run of any shelf that waits to be released.
  void surrender_run(ShelfId shelf, uint64_t offset, uint64_t bytes);
  // True while ranges behind the end wait to be released: it cannot grow.
  bool tail_waits() const { return outside_.used_bytes > 0; }
  uint64_t outside_bytes() const { return outside_.used_bytes; }
  const absl::flat_hash_map<uint64_t, std::unique_ptr<CarvedExtent>>& carved() const {
    return carved_;
  }

  // held_bytes and region_count are 0 here: the catalogue knows them.
  SpaceInfo info(ShelfId shelf) const;
  SpaceInfo info() const;
  // Recounts everything; appends a sentence for each broken invariant.
  void verify(std::vector<std::string>& problems) const;

 private:
  Account* find(ShelfId shelf) const;
  Account& run_owner(ShelfId shelf, uint64_t extent);
  bool has_quota(Account& account, uint64_t extents);
  std::optional<uint64_t> take_extents(Account& account, uint64_t count);
  void give_extents(uint64_t first, uint64_t count);
  CarvedExtent& carve(Account& account, uint64_t extent, uint32_t slot_bytes);
  void destroy(CarvedExtent& carved);
  void take_slots(CarvedExtent& carved, uint32_t slot, uint32_t count);
  void emptied(CarvedExtent& carved);
  void list(CarvedExtent& carved);
  void unlist(CarvedExtent& carved);
  void drop_retained(Account& account);
  void drop_all_retained();
  std::optional<Placed> allocate_slots(Account& account, uint32_t size_class, uint32_t count);
  Placed place(const CarvedExtent& carved, uint32_t slot, uint32_t count) const;
  Status occupy_slots(Account& account, uint64_t offset, uint32_t size_class, uint64_t footprint);
  uint64_t longest_run() const;
  uint64_t largest_free(const Account& account) const;
  void move_carved(CarvedExtent& carved, Account& to);

  uint64_t begin_;
  uint64_t end_;
  uint64_t limit_ = UINT64_MAX;  // while shrinking: nothing is placed at or behind this extent
  RunMap free_;
  RunMap parked_;  // free, but at or behind limit_
  absl::flat_hash_map<uint64_t, std::unique_ptr<CarvedExtent>> carved_;  // by extent number
  absl::flat_hash_map<ShelfId, std::unique_ptr<Account>> accounts_;
  Account nobody_;              // waits to be released; no shelf's
  Account outside_;             // waits to be released, behind the end
  uint64_t quota_extents_ = 0;  // sum over accounts_
};

}  // namespace pmshelf::store
