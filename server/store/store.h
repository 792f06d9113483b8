// The store engine: metadata log, space, catalogue, recovery (docs/format.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/media/media.h"
#include "pmshelf/result.h"
#include "server/store/types.h"

namespace pmshelf::store {

struct FormatOptions {
  bool device = false;          // metadata and data share one media (devdax)
  uint64_t metadata_bytes = 0;  // device: size of the metadata head; 0: 1/64 of it, >= 8 MiB
  uint64_t log_bytes = 256 << 10;  // of each copy of the first log; multiple of 4096
  uint64_t uuid_high = 0, uuid_low = 0;  // both 0: random
};

struct OpenOptions {
  bool read_only = false;
};

// What recovery found and did; logged, and shown by `pmshelf pool check`.
struct RecoveryReport {
  uint64_t records_replayed = 0;
  uint64_t records_repaired = 0;    // taken from one copy because the other was damaged or short
  uint64_t torn_bytes_dropped = 0;  // of one unacknowledged record at most
  uint64_t transactions_reapplied = 0;
  uint64_t unsafe_shutdowns = 0;
  bool superblock_was_bad = false;  // one of the two; the other one counted
  bool was_clean = false;
  bool read_only = false;
  std::string damage;  // empty, or why the store is read-only
  uint64_t elapsed_us = 0;
};

struct CheckReport {
  std::vector<std::string> problems;           // empty: all is well
  std::vector<std::string> bad_block_regions;  // "shelf/region: offset+bytes"
  uint64_t records_checked = 0;
  uint64_t regions_checked = 0;
  SpaceInfo space;
};

// Keeps the bytes of a region from being reused, whatever happens to its name. Movable; may be
// released in any thread; may outlive neither the Store nor its media.
class Pin {
 public:
  Pin() = default;
  explicit Pin(std::shared_ptr<void> hold) : hold_(std::move(hold)) {}
  explicit operator bool() const { return hold_ != nullptr; }

 private:
  std::shared_ptr<void> hold_;
};

struct Staged {
  StagedId id = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// One name for one staged region, as part of a commit.
struct Publish {
  StagedId staged = 0;
  std::string name;
  std::string attributes;  // encoded, see attributes.h
  bool replace = true;     // false: kAlreadyExists when the name is taken
  RegionId expected = 0;   // not 0: the name must now be this region, else kConflict
};

struct WriteRange {
  RegionId region = 0;
  uint64_t offset = 0;  // within the region
  std::span<const std::byte> bytes;
};

// A batch of staged operations on its way to the log. Made by take_batch, passed to write_batch
// (which may run outside the caller's lock), then to finish_batch.
class Batch;
struct BatchDeleter {
  void operator()(Batch* batch) const;
};
using BatchPtr = std::unique_ptr<Batch, BatchDeleter>;

// One store over its media. Made by format + open; one per file pair or device.
//
// Threads: none of its own; the owner serialises every call (pool/store_host.h), except that
// write_batch may run without the lock while other calls but take_batch and finish_batch go on.
//
// Mutations are *staged*: a mutating call checks, reserves space, zeroes and flushes new bytes,
// changes the catalogue at once (later calls see it) and queues one operation. The operations
// are durable, and may be acknowledged, only after sync(), or take_batch + write_batch +
// finish_batch, returned ok; all operations of a batch become durable together, in one log
// record with one fence. A failed mutation changes nothing. After a failed write_batch the store
// is offline: every call returns kIo, and only re-opening tells what is durable.
//
// Space that a batch frees can be reused only after that batch is durable and no Pin is left.
//
// Errors common to mutations: kReadOnly, kIo (offline), kNoSpace (shelf full, or "metadata space
// full": erase still works), kResourceExhausted (batch holds kBatchOpsMax), kNotFound, and
// kConflict for a request id already used with another digest. A request id already applied with
// the same digest is answered by find_request; callers ask it first.
class Store {
 public:
  // Writes an empty store. For directory pools `data` is NAME.data; for devices pass the same
  // media as `map` and nullptr as `data`. kNoSpace when too small, kIo. Existing contents of the
  // metadata space are destroyed. Durable on return.
  static Status format(media::Media& map, media::Media* data, const FormatOptions& options,
                       const Clock& clock);

  // Recovers and opens. kCorrupt: not a store, foreign, or both superblocks bad (the message
  // names the repair command); kUnsupported: made by a newer version (the message names both);
  // kIo. Damage inside the log opens read-only, with the reason in the report. The media are
  // owned by the store from here on. Locks are the caller's business.
  static Result<std::unique_ptr<Store>> open(std::unique_ptr<media::Media> map,
                                             std::unique_ptr<media::Media> data,
                                             const OpenOptions& options, const Clock& clock);
  virtual ~Store() = default;

  virtual const RecoveryReport& recovery() const = 0;
  virtual media::Media& data() = 0;  // where region bytes live
  virtual bool offline() const = 0;

  // ---- queries: see staged mutations; kNotFound when missing
  virtual std::vector<ShelfInfo> shelves() const = 0;
  virtual Result<ShelfInfo> shelf(ShelfId id) const = 0;
  virtual Result<RegionInfo> find(ShelfId shelf, std::string_view name) const = 0;
  virtual Result<RegionInfo> region(RegionId id) const = 0;
  // Encoded attributes, read from media and verified. kCorrupt when both copies are damaged.
  virtual Result<std::string> attributes(RegionId id) const = 0;
  // Calls `visit` in byte order of names for names > `after` (or from the first when
  // `from_start`) that start with `prefix`, until it returns false.
  virtual void scan(ShelfId shelf, std::string_view prefix, std::string_view after, bool from_start,
                    const std::function<bool(const RegionInfo&)>& visit) const = 0;
  virtual SpaceInfo space(ShelfId shelf) const = 0;
  virtual SpaceInfo space() const = 0;  // of the whole store
  virtual std::optional<RequestOutcome> find_request(const RequestId& id) const = 0;
  virtual Result<Pin> pin(RegionId id) = 0;
  virtual Pin pin_staged(StagedId id) = 0;

  // ---- mutations: staged
  // `info.id` and created_unix_ms are filled in here. kAlreadyExists; kNoSpace when the sum of
  // capacities would pass the data space.
  virtual Result<ShelfId> create_shelf(ShelfInfo info, const Request& request) = 0;
  // Name, owner, access list, policy. Capacity changes go through resize_shelf.
  virtual Status update_shelf(const ShelfInfo& info, const Request& request) = 0;
  // Grows or shrinks. The owner has already grown the data media (directory pools) and shrinks
  // it after the batch is durable. Shrinking moves regions out of the way where nothing pins
  // them; kBusy names the region that cannot move, kNoSpace when it cannot fit.
  virtual Status resize_shelf(ShelfId id, uint64_t capacity_bytes, const Request& request) = 0;
  virtual Status erase_shelf(ShelfId id, const Request& request) = 0;

  // Zero-filled. kInvalidArgument: name empty, > kRegionNameBytesMax, NUL or invalid UTF-8.
  virtual Result<RegionId> create(ShelfId shelf, std::string_view name, uint64_t bytes,
                                  std::string_view attributes, const Request& request) = 0;
  virtual Status erase(RegionId id, const Request& request) = 0;
  // kAlreadyExists unless `replace`, which erases the region of that name in the same record.
  virtual Status rename(RegionId id, std::string_view new_name, bool replace,
                        const Request& request) = 0;
  // Exchanges the names of two regions of one shelf.
  virtual Status swap(RegionId a, RegionId b, const Request& request) = 0;
  // Keeps the first min(old, new) bytes; new bytes are zero. In place where possible; otherwise
  // moves (copy, flush, one record): kBusy when it has to move and is pinned.
  virtual Status resize(RegionId id, uint64_t bytes, const Request& request) = 0;
  virtual Status set_attributes(RegionId id, std::string_view attributes,
                                const Request& request) = 0;

  // Volatile reservation of `bytes` on a shelf; freed by release, publish or the end of the
  // process. Not zeroed when `zero` is false: then the caller writes all of it before publish
  // (slack up to the footprint is zeroed here).
  virtual Result<Staged> reserve(ShelfId shelf, uint64_t bytes, bool zero) = 0;
  virtual void release(StagedId id) = 0;
  // Names several staged regions in one record, replacing what bore those names. The bytes were
  // written and flushed by any path before. All or nothing. Returns the new ids, in order.
  virtual Result<std::vector<RegionId>> publish(ShelfId shelf, std::span<const Publish> items,
                                                const Request& request) = 0;
  // In-place write of several ranges, all or nothing, through redo images. Unlike the other
  // mutations it syncs by itself: everything staged before and the writes are durable on return.
  virtual Status transact(std::span<const WriteRange> ranges, const Request& request) = 0;

  // ---- durability
  virtual bool has_staged_operations() const = 0;
  // May compact the log first. Null when nothing is staged. At most one batch is out at a time.
  virtual Result<BatchPtr> take_batch() = 0;
  virtual Status write_batch(Batch& batch) = 0;
  virtual void finish_batch(BatchPtr batch) = 0;
  Status sync();  // the three in one; not while a batch is out

  // Marks the superblock clean. The last call; pins and staged regions are gone by now.
  virtual Status close() = 0;

  // ---- administration
  // Reads everything again and compares: superblocks, both log copies, catalogue against log,
  // extents inside and disjoint, space accounted, bad blocks. Changes nothing.
  virtual Result<CheckReport> check() = 0;
  // Rewrites the log with live records only; sync() first. Also done by take_batch when due.
  virtual Status compact() = 0;
};

}  // namespace pmshelf::store
