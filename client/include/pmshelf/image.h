// A local image of a remote region: plain memory to work in, and persist() for what changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "pmshelf/client.h"
#include "pmshelf/result.h"

#pragma GCC visibility push(default)  // offered by libpmshelf.so

namespace pmshelf {

// DRAM image of one open region, for paths that cannot map it. Changed pages are found by digest
// (XXH3-128 of each 4 KiB page), so any way of writing to the memory is noticed.
//
// Owner: the caller; move-only. Memory: the region's bytes + 16 bytes a page. Threads: data() is
// plain memory; refresh and persist may be called from any thread and serialise among
// themselves. A page that is written to while persist runs is sent as it was at some moment during
// the call, and counts as changed again if it was written to after that moment.
// Durability: bytes in [offset, offset + bytes) as they were when persist() began, or later, are
// durable when it returns ok, in the sense of the region's storage class. Before that nothing has
// left this process.
class Image {
 public:
  // Fetches the whole region. Errors of Region::read; kResourceExhausted when memory is short.
  static Result<Image> open(Region region);
  Image(Image&&) noexcept;
  Image& operator=(Image&&) noexcept;
  ~Image();

  std::byte* data() const;
  uint64_t bytes() const;
  const Region& region() const;

  // Fetches again every page that was not changed here; locally changed pages stay as they are.
  Status refresh();
  // Sends and flushes the changed pages that overlap the range; returns how many bytes were sent.
  // kOutOfRange; errors of Region::write_ranges, after which unsent pages still count as changed.
  Result<uint64_t> persist(uint64_t offset, uint64_t bytes);

 private:
  struct Impl;
  explicit Image(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmshelf

#pragma GCC visibility pop
