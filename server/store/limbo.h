// Freed ranges on their way to being reused: after the batch that freed them is durable, and
// after the last pin on them is gone.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/store/space.h"
#include "server/store/store.h"
#include "server/store/types.h"

namespace pmshelf::store {

// Owner: the store. Not thread-safe, but for pins: those are released in any thread, and noticed
// here at the next reclaim().
class Limbo {
 public:
  explicit Limbo(Space& space);
  Limbo(const Limbo&) = delete;
  Limbo& operator=(const Limbo&) = delete;
  ~Limbo();

  // Holds whatever footprint begins at `offset`; 0 (an empty region) holds nothing.
  Pin pin(uint64_t offset);
  bool is_pinned(uint64_t offset);

  // The range is free once the batch now being staged is durable and no pin on the footprint that
  // begins (or began) at `pinned_offset` is left.
  void free_later(ShelfId shelf, uint64_t offset, uint64_t bytes, uint64_t pinned_offset);
  // The same for a range that no record names: pins alone count.
  void free_unnamed(ShelfId shelf, uint64_t offset, uint64_t bytes);

  // The staged batch is out: what is freed from now on belongs to the next one.
  void batch_taken();
  void batch_durable();
  // Frees what released pins held. Cheap when there is nothing.
  void reclaim() {
    if (board_->released.load(std::memory_order_relaxed) != nullptr) reclaim_released();
  }

  struct Range {
    ShelfId shelf = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t batch = 0;  // durable batches: 1, 2, ...; 0: needs none
  };
  // Every range that waits; `pinned` tells for what.
  template <class F>
  void for_each(F&& visit) const {
    for (const Range& range : staging_) visit(range, false);
    for (const Range& range : out_) visit(range, false);
    for (const auto& [offset, slot] : pins_) {
      for (const Range& range : slot.hold->ranges) visit(range, true);
    }
    for (const Hold* hold : orphans_) {
      for (const Range& range : hold->ranges) visit(range, true);
    }
  }

 private:
  // One per pinned footprint. Made and deleted under the store's lock; a release in another
  // thread only puts it on the board.
  struct Hold {
    uint64_t offset = 0;
    std::vector<Range> ranges;
    Hold* next_released = nullptr;
  };
  struct Board {
    std::atomic<Hold*> released{nullptr};
    ~Board();
  };
  struct Slot {
    Hold* hold = nullptr;
    std::weak_ptr<void> alive;
  };

  Hold* hold_of(uint64_t offset);
  void reclaim_released();
  void wait_for_batch(const Range& range);

  Space& space_;
  std::shared_ptr<Board> board_ = std::make_shared<Board>();
  absl::flat_hash_map<uint64_t, Slot> pins_;  // by offset of the footprint
  std::vector<Hold*> orphans_;                // released, replaced in pins_, not yet reclaimed
  std::vector<Range> staging_;
  std::vector<Range> out_;
  uint64_t staging_batch_ = 1;
  uint64_t durable_batch_ = 0;
};

}  // namespace pmshelf::store
