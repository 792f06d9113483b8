// Pools of persistent memory and the shelves in them (docs/architecture.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/media/media.h"
#include "pmshelf/result.h"
#include "server/pool/store_host.h"
#include "server/store/types.h"

namespace pmshelf::pool {

inline constexpr uint64_t kCapacityBytesMax = uint64_t{1} << 56;
inline constexpr size_t kErasuresKept = 1024;

struct PoolOptions {
  std::string name = "default";
  std::string path;  // directory, or DAX device (or plain file standing in for one)
  // Directory pools: ENOSPC at creation rather than at a store. Metadata always is preallocated.
  bool preallocate = true;
  bool device = false;        // set by detection when path is a character device
  bool format = false;        // device: write an empty store when there is none (never over data)
  bool mirror_media = false;  // test builds of the daemon only: common/media/mirror_media.h
  uint64_t mirror_seed = 1;
  std::string owner_note;  // second line of the lock file, after the pid: the daemon's socket
};

// A region held open: its bytes stay where they are and are not reused while this lives.
// Immutable; shared between grants and running operations; any thread.
class RegionRef {
 public:
  RegionRef(std::shared_ptr<StoreHost> host, store::Pin pin, uint64_t offset, uint64_t bytes,
            store::RegionId id);
  store::RegionId id() const { return id_; }  // 0 while only staged
  uint64_t bytes() const { return bytes_; }
  uint64_t file_offset() const { return offset_; }
  // Address of byte 0 in the daemon. For the receive path and sends; see media.h, Mapping.
  std::byte* data() const { return mapping_->data + offset_; }
  // Makes [offset, offset + bytes) durable. kOutOfRange; kIo, and the shelf is offline from then
  // on. May block when host().blocking().
  Status flush(uint64_t offset, uint64_t bytes) const;
  // Guarded copies through Media, for small requests and the ring. kOutOfRange; kIo, and the
  // shelf is offline if a page could not be read or the file was cut; store8: kInvalidArgument
  // for an offset that is no multiple of 8.
  Status store(uint64_t offset, std::span<const std::byte> source) const;
  Status store8(uint64_t offset, uint64_t value) const;
  Status read(uint64_t offset, std::span<std::byte> target) const;
  StoreHost& host() const { return *host_; }

 private:
  std::shared_ptr<StoreHost> host_;
  store::Pin pin_;
  std::shared_ptr<media::Mapping> mapping_;
  uint64_t offset_;
  uint64_t bytes_;
  store::RegionId id_;
};

struct StagedRegion {
  store::StagedId id = 0;
  std::shared_ptr<RegionRef> ref;
};

// One shelf, open. Every mutating call is durable when it returns ok. Any thread; mutating calls
// may block as store_host.h says. Errors as in store/store.h; besides: kNotFound (erased),
// kUnavailable (being erased, or the pool is closed: try again), kIo (offline). Region ids of
// other shelves are kNotFound. A request that was applied before is answered as it was then,
// once that is durable.
//
// Offline: a flush failed, a page could not be read, or the file was cut. Then every call here
// and every flush is kIo until the pool is opened again; other shelves go on. Region references
// still read what can be read.
class Shelf {
 public:
  virtual ~Shelf() = default;
  virtual const std::string& pool_name() const = 0;
  virtual store::ShelfInfo info() const = 0;
  virtual store::SpaceInfo space() const = 0;
  virtual media::StorageClass storage_class() const = 0;
  virtual bool blocking() const = 0;
  virtual std::string trouble() const = 0;  // empty, or why read-only or offline, or a warning
  virtual bool read_only() const = 0;
  virtual bool offline() const = 0;
  // Unique among all shelves of this process, for keys of grants and locks.
  virtual uint64_t key() const = 0;
  // For same-host hand-over; -1: none (devices). A region's bytes are [file_offset, file_offset +
  // bytes) in it. Not owned; good until the shelf is erased or the pool closed.
  virtual int data_fd() const = 0;
  virtual int data_fd_read_only() const { return -1; }  // a second one, opened O_RDONLY
  virtual std::string data_path() const = 0;

  virtual Result<store::RegionInfo> stat(std::string_view name) const = 0;
  virtual Result<std::string> attributes(store::RegionId id) const = 0;
  virtual Result<std::shared_ptr<RegionRef>> open(std::string_view name) = 0;
  // As Store::scan, a few hundred regions at a time: `visit` runs without locks, and regions made
  // or erased meanwhile may be seen or not.
  virtual void scan(std::string_view prefix, std::string_view after, bool from_start,
                    const std::function<bool(const store::RegionInfo&)>& visit) const = 0;

  virtual Result<store::RegionId> create(std::string_view name, uint64_t bytes,
                                         std::string_view attributes, const store::Request&) = 0;
  virtual Status erase(store::RegionId id, const store::Request&) = 0;
  virtual Status rename(store::RegionId id, std::string_view new_name, bool replace,
                        const store::Request&) = 0;
  virtual Status swap(store::RegionId a, store::RegionId b, const store::Request&) = 0;
  virtual Status resize(store::RegionId id, uint64_t bytes, const store::Request&) = 0;
  virtual Status set_attributes(store::RegionId id, std::string_view attributes,
                                const store::Request&) = 0;
  // Durably zero when `zero`. Erasing the shelf is kBusy while `ref` lives.
  virtual Result<StagedRegion> reserve(uint64_t bytes, bool zero) = 0;
  virtual void release(store::StagedId id) = 0;
  virtual Result<std::vector<store::RegionId>> publish(std::span<const store::Publish> items,
                                                       const store::Request&) = 0;
  virtual Status transact(std::span<const store::WriteRange> ranges, const store::Request&) = 0;
  // Already applied? Same id and digest: the outcome, durable. Same id, other digest: kConflict.
  virtual Result<std::optional<store::RequestOutcome>> replay(const store::Request&) const = 0;
  virtual Result<store::CheckReport> check() = 0;
  virtual const store::RecoveryReport& recovery() const = 0;
};

struct PoolStat {
  std::string name, path;
  bool device = false;
  bool preallocate = true;
  media::StorageClass storage_class = media::StorageClass::kFile;
  uint64_t total_bytes = 0;  // of the file system or device
  uint64_t available_bytes = 0;
  uint64_t shelf_count = 0;
  // "shelf 'x': ..." for shelves that did not open; files in the directory that are in the way.
  std::vector<std::string> trouble;
};

// A pool, open and locked. One daemon per pool: a second one gets kBusy with the first one's pid
// and socket. Opening recovers every shelf; a shelf that fails is listed in `trouble`, the others
// serve. Any thread; the calls that change shelves run one at a time and block for the file system.
// Where the directory cannot be written, everything opens read-only.
class Pool {
 public:
  // kInvalidArgument: not a directory or device (FIFO, dangling link, ...), or a device without a
  // store and without `format`; kBusy: locked; kPermissionDenied, kResourceExhausted (descriptors),
  // kCorrupt (device), kIo.
  static Result<std::unique_ptr<Pool>> open(const PoolOptions& options, const Clock& clock);
  virtual ~Pool() = default;

  virtual PoolStat stat() const = 0;
  virtual std::vector<std::shared_ptr<Shelf>> shelves() const = 0;  // by name
  // kNotFound; for a shelf that did not open, the error that it did not open with.
  virtual Result<std::shared_ptr<Shelf>> shelf(std::string_view name) const = 0;

  // ---- All of these: kNotFound, kReadOnly, kIo, kConflict (request id with another body). A
  // replayed request is answered as it was applied, also across restarts, with one exception:
  // erase_shelf of a directory pool is remembered (kErasuresKept, kRequestKeepMs) in memory
  // only, because the store that would remember it is gone. After a restart its replay is
  // kNotFound: whoever *retries* an erase takes that as done.

  // kInvalidArgument: name (1..200 of [A-Za-z0-9._-], not starting with '.') or capacity (rounded
  // up to 2 MiB, at most kCapacityBytesMax); kAlreadyExists, also for files in the way; kNoSpace.
  // The files are complete and durable before the shelf exists; after an error nothing is left.
  virtual Result<std::shared_ptr<Shelf>> create_shelf(store::ShelfInfo info,
                                                      const store::Request&) = 0;
  // kBusy while regions of it are held open (RegionRef): revoke grants first.
  virtual Status erase_shelf(std::string_view name, const store::Request&) = 0;
  // kAlreadyExists; kUnsupported: the file system has no hard links. Open regions stay open.
  virtual Status rename_shelf(std::string_view name, std::string_view new_name,
                              const store::Request&) = 0;
  // Owner, access list and policy of the shelf called info.name; nothing else of `info`.
  virtual Status update_shelf(const store::ShelfInfo& info, const store::Request&) = 0;
  // Rounds up to 2 MiB. kNoSpace; kBusy names a region in the way that is held open.
  virtual Status resize_shelf(std::string_view name, uint64_t capacity_bytes,
                              const store::Request&) = 0;
  // Every store closed clean, every shelf's calls kUnavailable from then on. The last call. The
  // locks on a shelf's files end with its last Shelf and RegionRef.
  virtual Status close() = 0;
};

}  // namespace pmshelf::pool
