// One 2 MiB extent that is divided into slots of one size: slab slots or pages.
#pragma once

#include <cstdint>
#include <memory>

#include "server/store/types.h"

namespace pmshelf::store {

struct Account;

// Which slots are taken, and which free ones are known to read as zero on media. Volatile.
// Owner: Space. Slots are numbered from the extent's start. Not thread-safe.
class CarvedExtent {
 public:
  // Precondition: slot_bytes is a multiple of 64, 64..4096.
  CarvedExtent(uint64_t extent, uint32_t slot_bytes, Account* owner);

  uint64_t extent() const { return extent_; }
  uint32_t slot_bytes() const { return slot_bytes_; }
  uint32_t slot_count() const { return slot_count_; }
  uint32_t taken_count() const { return taken_count_; }
  bool full() const { return taken_count_ == slot_count_; }
  bool empty() const { return taken_count_ == 0; }
  // Bytes behind the last slot, which nothing can use.
  uint32_t overhead_bytes() const {
    return static_cast<uint32_t>(kExtentBytes - uint64_t{slot_count_} * slot_bytes_);
  }

  bool is_taken(uint32_t slot) const { return test(taken(), slot); }
  bool all_free(uint32_t slot, uint32_t count) const;
  bool all_zero(uint32_t slot, uint32_t count) const;  // free ones known to read as zero
  // Number of free slots from `slot` on, at most `count_max`.
  uint32_t free_run(uint32_t slot, uint32_t count_max) const;

  // A free slot, one known to be zero if there is any. Precondition: not full.
  uint32_t find_slot();
  // The first run of `count` free slots. Precondition: longest_free_run() >= count.
  uint32_t find_run(uint32_t count) const;
  // Length of the longest run of free slots. Linear in the slots.
  uint32_t longest_free_run() const;

  // Preconditions: all free; all taken.
  void take(uint32_t slot, uint32_t count);
  void free(uint32_t slot, uint32_t count);
  // Remembers that the free slots among these read as zero.
  void mark_zero(uint32_t slot, uint32_t count);

  // Bookkeeping of Space.
  Account* owner;
  CarvedExtent* previous = nullptr;  // list of the account's extents of this class with free slots
  CarvedExtent* next = nullptr;
  bool listed = false;
  bool closed = false;      // being emptied: no allocation goes here
  uint32_t listed_run = 0;  // pages: longest_free_run() under which it is listed

 private:
  uint64_t* taken() const { return bits_.get(); }
  uint64_t* zero() const { return bits_.get() + word_count_; }
  static bool test(const uint64_t* bits, uint32_t slot) {
    return (bits[slot / 64] >> (slot % 64) & 1) != 0;
  }

  uint64_t extent_;
  uint32_t slot_bytes_;
  uint32_t slot_count_;
  uint32_t taken_count_ = 0;
  uint32_t word_count_;
  uint32_t first_free_word_ = 0;      // no word before it has a free slot
  uint32_t first_zero_word_ = 0;      // no word before it has a free slot known to be zero
  std::unique_ptr<uint64_t[]> bits_;  // taken, then zero; bits past the last slot count as taken
};

}  // namespace pmshelf::store
