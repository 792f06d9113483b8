// The one seam between pmshelf and pool memory (docs/design/0002-media-seam.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pmshelf/result.h"

namespace pmshelf::media {

// What a flush on this memory is worth; reported to users, never more than is true.
enum class StorageClass : uint8_t {
  kPersistent = 1,  // DAX: a CPU flush makes bytes durable
  kFile = 2,        // page cache: msync makes bytes durable
  kVolatile = 3,    // tmpfs, DRAM: nothing is durable
};
std::string_view storage_class_name(StorageClass storage_class);

// The bytes of one file or device as one contiguous range of addresses. Kept alive by whoever
// holds the shared_ptr: after Media::resize older mappings of the same bytes stay valid and
// coherent. `data` is written only by Media and by the receive path (transport and dataplane).
struct Mapping {
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  virtual ~Mapping() = default;
  std::byte* data = nullptr;
  uint64_t bytes = 0;
};

struct BadBlock {
  uint64_t offset;  // bytes from the start of this media
  uint64_t bytes;
};

// Memory of one store file or device.
//
// Owner: the store that uses it; one Media per file. Threads: store, store8, zero, flush, drain,
// read and mapping may be called from any thread at once on disjoint ranges; resize and discard
// need the caller's exclusion against each other, not against the rest.
//
// Visibility and durability: a store is visible to every mapping of the same bytes when the call
// returns, and durable after flush(range) returned and then a drain() that began later, in any
// thread, returned ok. Without flush + drain a store may or may not survive a crash, in units of
// 8 aligned bytes and in any order. store8 is never torn.
//
// Errors: every method that touches memory turns SIGBUS (truncated file, poisoned page) into
// kIo; ranges outside [0, bytes()) into kOutOfRange. A failed flush or drain means that the
// durability of everything since the last good drain is unknown: the caller takes the store
// offline. Lengths of 0 succeed and do nothing.
class Media {
 public:
  virtual ~Media() = default;

  virtual uint64_t bytes() const = 0;
  virtual StorageClass storage_class() const = 0;
  // Unit of flush: 8, 64 (cache line) or 4096 (page: flush and drain may block in the kernel).
  virtual uint32_t flush_granularity_bytes() const = 0;
  // True when the file can give ranges back to its file system and get zeros instead.
  virtual bool can_discard() const = 0;
  // For messages: the path, or a description.
  virtual const std::string& name() const = 0;

  virtual Status store(uint64_t offset, std::span<const std::byte> source) = 0;
  // offset is a multiple of 8.
  virtual Status store8(uint64_t offset, uint64_t value) = 0;
  // Makes the range read as zeros, by hole punching where that is cheaper than writing. Durable
  // after flush of the same range + drain, like a store.
  virtual Status zero(uint64_t offset, uint64_t bytes) = 0;
  // Copies bytes out. Guarded: the only way that the daemon's own code loads from pool memory.
  virtual Status read(uint64_t offset, std::span<std::byte> target) const = 0;

  virtual Status flush(uint64_t offset, uint64_t bytes) = 0;
  virtual Status drain() = 0;
  // Beyond the persistence domain's own promise (shutdown, unsafe platforms): pmem2_deep_flush.
  virtual Status deep_flush(uint64_t offset, uint64_t bytes) = 0;

  // Gives the range back to the file system; it reads as zeros afterwards. kUnsupported where
  // can_discard() is false. Not durable by itself; callers never rely on it for zeroing.
  virtual Status discard(uint64_t offset, uint64_t bytes) = 0;
  // Grows or shrinks the file (durably, preallocating if so configured; kNoSpace when the file
  // system is full, with the file as it was). kUnsupported on devices.
  virtual Status resize(uint64_t new_bytes) = 0;

  // Current mapping of [0, bytes()). Never null. For the receive path, for sends straight from
  // the mapping, and for registration with RDMA.
  virtual std::shared_ptr<Mapping> mapping() const = 0;
  // Descriptor for hand-over to same-host clients, or -1 when there is none. Not owned.
  virtual int fd() const = 0;
  // Known bad blocks (libpmem2), never cleared here. Empty where the kernel does not tell.
  virtual Result<std::vector<BadBlock>> bad_blocks() const = 0;
};

}  // namespace pmshelf::media
