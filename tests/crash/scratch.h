// Memory to recover crash states in, put back afterwards at the cost of what was written.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/media/media.h"
#include "tests/crash/persistence.h"

namespace pmshelf::crash {

// Images that many short-lived stores run on, one after the other. Every write through media(i) and
// every poke is remembered and undone by rewind(). Single-threaded.
class Scratch {
 public:
  explicit Scratch(Images images);

  // A Media over image i for a store to own. At most one store at a time; it does not outlive this.
  std::unique_ptr<media::Media> media(uint8_t index);
  void poke(uint8_t media, uint64_t offset, uint64_t value);
  void rewind();
  // Changes for good: what became durable in the run that is explored.
  void settle(uint8_t media, uint64_t offset, uint64_t value);
  void settle_size(uint8_t media, uint64_t bytes);
  Images copy() const { return images_; }

 private:
  friend class ScratchMedia;
  struct Undo {
    uint8_t media;
    uint64_t offset;
    uint64_t bytes;
  };
  void write(uint8_t media, uint64_t offset, const std::byte* source, uint64_t bytes);

  Images images_;
  std::vector<uint64_t> sizes_;  // length of each image once rewound
  std::vector<Undo> undo_;
  std::vector<std::byte> undo_bytes_;  // what stood there before, in the same order
};

}  // namespace pmshelf::crash
