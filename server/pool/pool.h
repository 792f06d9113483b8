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

struct PoolOptions {
  std::string name = "default";
  std::string path;          // directory, or DAX device (or plain file standing in for one)
  bool preallocate = true;   // directory pools: ENOSPC at creation rather than at a store
  bool device = false;       // set by detection when path is a character device
  bool format = false;       // device: write an empty store when there is none (never over data)
  bool mirror_media = false; // test builds of the daemon only: common/media/mirror_media.h
  uint64_t mirror_seed = 1;
  std::string owner_note;    // written into the lock file beside the pid: the daemon's socket
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
  // Makes [offset, offset + bytes) durable. kOutOfRange, kIo. May block when host().blocking().
  Status flush(uint64_t offset, uint64_t bytes) const;
  // Guarded copies through Media, for small requests and the ring.
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
// may block as store_host.h says. Errors as in store/store.h.
class Shelf {
 public:
  virtual ~Shelf() = default;
  virtual const std::string& pool_name() const = 0;
  virtual store::ShelfInfo info() const = 0;
  virtual store::SpaceInfo space() const = 0;
  virtual media::StorageClass storage_class() const = 0;
  virtual bool blocking() const = 0;
  virtual std::string trouble() const = 0;  // empty, or why read-only or offline
  virtual bool read_only() const = 0;
  virtual bool offline() const = 0;
  // Unique among all shelves of this process, for keys of grants and locks.
  virtual uint64_t key() const = 0;
  virtual int data_fd() const = 0;          // for same-host hand-over; -1: none (devices)
  virtual std::string data_path() const = 0;

  virtual Result<store::RegionInfo> stat(std::string_view name) const = 0;
  virtual Result<std::string> attributes(store::RegionId id) const = 0;
  virtual Result<std::shared_ptr<RegionRef>> open(std::string_view name) = 0;
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
  virtual Result<StagedRegion> reserve(uint64_t bytes, bool zero) = 0;
  virtual void release(store::StagedId id) = 0;
  virtual Result<std::vector<store::RegionId>> publish(std::span<const store::Publish> items,
                                                       const store::Request&) = 0;
  virtual Status transact(std::span<const store::WriteRange> ranges, const store::Request&) = 0;
  // Already applied? Same id and digest: the outcome. Same id, other digest: kConflict.
  virtual Result<std::optional<store::RequestOutcome>> replay(const store::Request&) const = 0;
  virtual Result<store::CheckReport> check() = 0;
  virtual const store::RecoveryReport& recovery() const = 0;
};

struct PoolStat {
  std::string name, path;
  bool device = false;
  bool preallocate = true;
  media::StorageClass storage_class = media::StorageClass::kFile;
  uint64_t total_bytes = 0;      // of the file system or device
  uint64_t available_bytes = 0;
  uint64_t shelf_count = 0;
  std::vector<std::string> trouble;  // "shelf 'x': ..." for shelves that did not open
};

// A pool, open and locked. One daemon per pool: a second one gets kBusy with the first one's pid
// and socket. Opening recovers every shelf; a shelf that fails is listed in `trouble`, the others
// serve. Any thread.
class Pool {
 public:
  // kInvalidArgument: not a directory or device (FIFO, dangling link, ...); kBusy: locked;
  // kPermissionDenied, kIo.
  static Result<std::unique_ptr<Pool>> open(const PoolOptions& options, const Clock& clock);
  virtual ~Pool() = default;

  virtual PoolStat stat() const = 0;
  virtual std::vector<std::shared_ptr<Shelf>> shelves() const = 0;
  virtual Result<std::shared_ptr<Shelf>> shelf(std::string_view name) const = 0;

  // kInvalidArgument: name (1..200 of [A-Za-z0-9._-], not starting with '.') or capacity;
  // kAlreadyExists; kNoSpace. The files are complete and durable before the shelf exists.
  virtual Result<std::shared_ptr<Shelf>> create_shelf(store::ShelfInfo info,
                                                      const store::Request&) = 0;
  // kBusy while regions of it are held open (RegionRef): revoke grants first.
  virtual Status erase_shelf(std::string_view name, const store::Request&) = 0;
  virtual Status rename_shelf(std::string_view name, std::string_view new_name,
                              const store::Request&) = 0;
  virtual Status update_shelf(const store::ShelfInfo& info, const store::Request&) = 0;
  virtual Status resize_shelf(std::string_view name, uint64_t capacity_bytes,
                              const store::Request&) = 0;
  // Every store closed clean. The last call.
  virtual Status close() = 0;
};

}  // namespace pmshelf::pool
