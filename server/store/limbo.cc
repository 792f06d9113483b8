#include "server/store/limbo.h"

#include <algorithm>
#include <utility>

#include "server/store/mutant.h"

namespace pmshelf::store {

Limbo::Board::~Board() {
  Hold* hold = released.load(std::memory_order_acquire);
  while (hold != nullptr) delete std::exchange(hold, hold->next_released);
}

Limbo::Limbo(Space& space) : space_(space) {}
Limbo::~Limbo() = default;

Pin Limbo::pin(uint64_t offset) {
  if (offset == 0) return Pin(std::make_shared<char>());
  reclaim();
  Slot& slot = pins_[offset];
  if (auto alive = slot.alive.lock()) return Pin(std::move(alive));
  if (slot.hold != nullptr) orphans_.push_back(slot.hold);  // released a moment ago
  slot.hold = new Hold{offset, {}, nullptr};
  std::shared_ptr<void> alive(slot.hold, [board = board_](void* released) {
    Hold* hold = static_cast<Hold*>(released);
    hold->next_released = board->released.load(std::memory_order_relaxed);
    while (!board->released.compare_exchange_weak(
        hold->next_released, hold, std::memory_order_release, std::memory_order_relaxed)) {
    }
  });
  slot.alive = alive;
  return Pin(std::move(alive));
}

// The hold on this footprint, whose memory stays until reclaim() even if it is released now.
Limbo::Hold* Limbo::hold_of(uint64_t offset) {
  reclaim();
  const auto it = pins_.find(offset);
  return it == pins_.end() ? nullptr : it->second.hold;
}

bool Limbo::is_pinned(uint64_t offset) { return hold_of(offset) != nullptr; }

void Limbo::free_later(ShelfId shelf, uint64_t offset, uint64_t bytes, uint64_t pinned_offset) {
  if (bytes == 0) return;
  if (mutant(Mutant::kFreeBeforeDurable)) return space_.release(shelf, offset, bytes);
  const Range range{shelf, offset, bytes, staging_batch_};
  if (Hold* hold = hold_of(pinned_offset)) {
    hold->ranges.push_back(range);
  } else {
    staging_.push_back(range);
  }
}

void Limbo::free_unnamed(ShelfId shelf, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  if (Hold* hold = hold_of(offset)) {
    hold->ranges.push_back({shelf, offset, bytes, 0});
  } else {
    space_.release(shelf, offset, bytes);
  }
}

void Limbo::batch_taken() {
  ++staging_batch_;
  out_.swap(staging_);
}

void Limbo::batch_durable() {
  durable_batch_ = staging_batch_ - 1;
  for (const Range& range : out_) space_.release(range.shelf, range.offset, range.bytes);
  out_.clear();
}

// The pin is gone; the batch may not be durable yet.
void Limbo::wait_for_batch(const Range& range) {
  if (range.batch <= durable_batch_) {
    space_.release(range.shelf, range.offset, range.bytes);
  } else if (range.batch == staging_batch_) {
    staging_.push_back(range);
  } else {
    out_.push_back(range);
  }
}

void Limbo::reclaim_released() {
  Hold* hold = board_->released.exchange(nullptr, std::memory_order_acquire);
  while (hold != nullptr) {
    for (const Range& range : hold->ranges) wait_for_batch(range);
    const auto it = pins_.find(hold->offset);
    if (it != pins_.end() && it->second.hold == hold) {
      pins_.erase(it);
    } else {
      std::erase(orphans_, hold);
    }
    delete std::exchange(hold, hold->next_released);
  }
}

}  // namespace pmshelf::store
