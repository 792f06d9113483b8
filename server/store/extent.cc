#include "server/store/extent.h"

#include <algorithm>
#include <bit>

#include "common/base/check.h"

namespace pmshelf::store {
namespace {

constexpr uint32_t kWordBits = 64;

// Calls f(word index, mask of the slots of [slot, slot + count) in it) for each word.
template <class F>
void for_words(uint32_t slot, uint32_t count, F&& f) {
  while (count > 0) {
    const uint32_t bit = slot % kWordBits;
    const uint32_t here = std::min(count, kWordBits - bit);
    const uint64_t mask = (here == kWordBits ? ~uint64_t{0} : (uint64_t{1} << here) - 1) << bit;
    f(slot / kWordBits, mask);
    slot += here;
    count -= here;
  }
}

}  // namespace

CarvedExtent::CarvedExtent(uint64_t extent, uint32_t slot_bytes, Account* account)
    : owner(account),
      extent_(extent),
      slot_bytes_(slot_bytes),
      slot_count_(static_cast<uint32_t>(kExtentBytes / slot_bytes)),
      word_count_((slot_count_ + kWordBits - 1) / kWordBits),
      bits_(new uint64_t[2 * word_count_]()) {
  const uint32_t past = word_count_ * kWordBits - slot_count_;
  if (past > 0) taken()[word_count_ - 1] = ~uint64_t{0} << (kWordBits - past);
}

bool CarvedExtent::all_free(uint32_t slot, uint32_t count) const {
  bool free = true;
  for_words(slot, count,
            [&](uint32_t w, uint64_t mask) { free = free && (taken()[w] & mask) == 0; });
  return free;
}

bool CarvedExtent::all_zero(uint32_t slot, uint32_t count) const {
  bool known = true;
  for_words(slot, count,
            [&](uint32_t w, uint64_t mask) { known = known && (zero()[w] & mask) == mask; });
  return known;
}

uint32_t CarvedExtent::free_run(uint32_t slot, uint32_t count_max) const {
  uint32_t run = 0;
  while (run < count_max && slot + run < slot_count_) {
    const uint32_t at = slot + run;
    const uint64_t word = taken()[at / kWordBits] >> (at % kWordBits);
    const uint32_t left = kWordBits - at % kWordBits;
    const uint32_t free = std::min<uint32_t>(std::countr_zero(word), left);
    run += free;
    if (free < left) break;
  }
  return std::min({run, count_max, slot_count_ - slot});
}

uint32_t CarvedExtent::find_slot() {
  for (; first_zero_word_ < word_count_; ++first_zero_word_) {
    const uint64_t both = ~taken()[first_zero_word_] & zero()[first_zero_word_];
    if (both != 0) return first_zero_word_ * kWordBits + std::countr_zero(both);
  }
  while (~taken()[first_free_word_] == 0) ++first_free_word_;
  return first_free_word_ * kWordBits + std::countr_one(taken()[first_free_word_]);
}

uint32_t CarvedExtent::find_run(uint32_t count) const {
  uint32_t slot = 0;
  while (true) {
    const uint32_t run = free_run(slot, count);
    if (run == count) return slot;
    slot += run + 1;
    PMSHELF_CHECK(slot < slot_count_);
  }
}

uint32_t CarvedExtent::longest_free_run() const {
  uint32_t longest = 0;
  for (uint32_t slot = 0; slot < slot_count_;) {
    const uint32_t run = free_run(slot, slot_count_);
    longest = std::max(longest, run);
    slot += run;
    while (slot < slot_count_ && is_taken(slot)) {  // skip the taken run a word's rest at a time
      const uint64_t word = taken()[slot / kWordBits] >> (slot % kWordBits);
      slot += std::min<uint32_t>(std::countr_one(word), kWordBits - slot % kWordBits);
    }
  }
  return longest;
}

void CarvedExtent::take(uint32_t slot, uint32_t count) {
  for_words(slot, count, [&](uint32_t w, uint64_t mask) {
    PMSHELF_CHECK((taken()[w] & mask) == 0);
    taken()[w] |= mask;
    zero()[w] &= ~mask;
  });
  taken_count_ += count;
}

void CarvedExtent::free(uint32_t slot, uint32_t count) {
  for_words(slot, count, [&](uint32_t w, uint64_t mask) {
    PMSHELF_CHECK((taken()[w] & mask) == mask);
    taken()[w] &= ~mask;
  });
  taken_count_ -= count;
  first_free_word_ = std::min(first_free_word_, slot / kWordBits);
}

void CarvedExtent::mark_zero(uint32_t slot, uint32_t count) {
  for_words(slot, count, [&](uint32_t w, uint64_t mask) { zero()[w] |= mask & ~taken()[w]; });
  first_zero_word_ = std::min(first_zero_word_, slot / kWordBits);
}

}  // namespace pmshelf::store
