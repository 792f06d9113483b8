// The two superblocks of a store: which one counts, and how the next one is written.
#pragma once

#include "common/media/media.h"
#include "pmshelf/result.h"
#include "server/store/format.h"

namespace pmshelf::store {

// Value type, owned by the store.
//
// Durability: write_both returns after both copies are durable, one after the other, so that a
// crash at any moment leaves at least one whole, and afterwards the loss of either loses nothing.
class Superblocks {
 public:
  // Takes the valid copy with the higher generation. kCorrupt: neither is valid, or the metadata
  // space is shorter than it says; kUnsupported: one is of a newer version.
  static Result<Superblocks> read(const media::Media& map);
  // For format: nothing on media counts yet.
  explicit Superblocks(const Superblock& first) : current_(first) {}

  const Superblock& current() const { return current_; }
  // Changed fields take effect with the next write_both. The generation is set there.
  Superblock& next() { return current_; }
  // True when one of the copies had to be given up at read().
  bool one_was_bad() const { return one_was_bad_; }

  // After an error nothing is known about what is on media.
  Status write_both(media::Media& map);

 private:
  Superblocks() = default;
  Status write_one(media::Media& map);

  Superblock current_;
  int newer_ = 0;  // index of the copy that current_ was read from or written to
  bool one_was_bad_ = false;
};

}  // namespace pmshelf::store
