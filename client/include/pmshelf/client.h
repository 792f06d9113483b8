// libpmshelf: remote and same-host persistent memory as named regions. std types only.
//
//   auto client = pmshelf::Client::connect({.target = "localhost"});
//   auto shelf  = client->open_shelf("train");
//   auto region = shelf->create_region("w", 1 << 20, {}, {.open_existing = true});
//   region->write(0, bytes);            // durable when it returns ok
//
// Errors are values (pmshelf/result.h). Every call says what its errors mean for the caller.
//
// **A daemon that goes away and comes back** is met again by the call itself, which waits for it up
// to reconnect_timeout: a new session, new grants on the same regions, the call repeated. What may
// be repeated is repeated, and nothing is guessed:
//
// | call | after a connection lost in mid-call |
// |---|---|
// | everything that only reads; flush | repeated |
// | write, write_ranges | repeated: the same bytes to the same place |
// | put, transact, commit and all changes of shelves and regions | repeated under one request id:
// applied once | | atomic_write8, create_token, revoke_token, kick_session, drain | kUnknownOutcome
// |
//
// kUnavailable: nobody answers, and nothing was changed. kUnknownOutcome: it may have been applied.
// kDeadlineExceeded: the same, because one exchange took longer than call_timeout. kStaleGrant: the
// region is not there any more, or another one bears its name: open it again.
//
// **Waiting.** Blocking calls do their I/O on the caller's thread. Their `_async` twins return
// std::future: it needs nothing but std and goes with any event loop through a thread, and a
// blocked get() drives no I/O of its own. A callback form exists for those who must not block (see
// Completion). Buffers belong to the library until the call has ended.
//
// **fork().** A child may not use its parent's clients: every call says kUnavailable. It connects
// for itself. Mapped memory may be used by the child while the parent keeps the Mapping.
//
// The library logs nothing, installs a SIGBUS handler (which passes on what is not its own) to turn
// vanished memory into kIo, and runs one thread a client, and one a data connection when needed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pmshelf/result.h"

// Part of what libpmshelf.so offers, whatever the visibility of the rest.
#pragma GCC visibility push(default)
namespace pmshelf {

using Attributes = std::map<std::string, std::string>;

enum class Path : uint8_t { kAuto, kLocal, kTcp, kRdma };
enum class StorageClass : uint8_t { kPersistent = 1, kFile = 2, kVolatile = 3 };
enum class SameHostPolicy : uint8_t { kDirect = 1, kCopy = 2, kOff = 3 };
enum Right : uint32_t { kRead = 1, kWrite = 2, kAdmin = 4 };
enum class Durability : uint8_t { kDurable = 1, kVisible = 2 };

struct ConnectOptions {
  // "" : $PMSHELF_TARGET, else the daemon of this host (by its socket in a runtime folder);
  // "host", "host:port", "[v6]:port" (control port, 7200 when left out);
  // "unix:/path/to/data.sock";
  // "dir:/pool/directory": the daemon that serves the directory; a private one is started when
  // none does, and ends by itself after its last client.
  std::string target;
  // Who we are. In this order: token, token_file, $PMSHELF_TOKEN (not for "dir:"),
  // ~/.config/pmshelf/token (for hosts, when it exists). Without any of them a client on the
  // daemon's own host is who its user is, by the Unix socket; others need a certificate. A token
  // file must not be open to everybody.
  std::string token;
  std::string token_file;
  // TLS, required for addresses that are not loopback. No ca_file: the system's certificates.
  std::string ca_file, cert_file, key_file;
  // kAuto: local where the daemon is on this host and the shelf's policy allows, else tcp.
  Path path = Path::kAuto;
  std::chrono::milliseconds connect_timeout{5000};
  // Longest wait for one exchange: a control call, or one request of a larger data call.
  std::chrono::milliseconds call_timeout{30000};
  // After a lost daemon, calls wait this long for it to come back before kUnavailable.
  std::chrono::milliseconds reconnect_timeout{30000};
  std::string client_name;  // shown in lists of sessions; empty: program name and pid
  // pmshelfd for "dir:"; empty: beside this program, beside or in ../bin of the library, in $PATH.
  std::string daemon_path;
};

struct Space {
  uint64_t capacity_bytes = 0, used_bytes = 0, free_bytes = 0, metadata_bytes = 0, held_bytes = 0;
  uint64_t largest_free_bytes = 0, region_count = 0;
};

struct AccessEntry {
  std::string principal;
  uint32_t rights = 0;
};

struct ShelfStat {
  std::string name, pool, owner;
  std::vector<AccessEntry> access;
  SameHostPolicy same_host = SameHostPolicy::kDirect;
  StorageClass storage_class = StorageClass::kFile;
  Space space;
  uint64_t created_unix_ms = 0;
  bool read_only = false, offline = false;
  std::string trouble;
  uint32_t my_rights = 0;
};

struct RegionStat {
  uint64_t id = 0;
  std::string name;
  uint64_t bytes = 0, footprint_bytes = 0, modified_unix_ms = 0;
  Attributes attributes;
  uint32_t grants = 0, locks = 0;
};

struct Range {
  uint64_t offset = 0, length = 0;
};

// Memory of a region in this process (same host). Loads and stores go to the shelf itself.
// Keeps the mapping alive, and with it the bytes: the daemon gives them to nobody else meanwhile
// (an erase of the region by others is kBusy and names this client). Copies share it. Thread-safe
// as plain memory is. When the daemon restarts, the mapping stays as it is. Only if the region was
// erased or replaced before this client could come back, it becomes a private copy, and persist()
// says kStaleGrant.
class Mapping {
 public:
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  bool writable() const { return writable_; }
  // Durable when it returns ok. kOutOfRange, kIo, kStaleGrant (see above). Works after
  // Client::close, and in forked children.
  Status persist(uint64_t offset, uint64_t bytes) const;

  struct Impl;
  explicit Mapping(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
  bool writable_ = false;
};

// An open region: a grant, kept alive by the session's keep-alive and re-acquired by name after a
// daemon restart (kStaleGrant when the region is gone, was replaced or renamed meanwhile). Handle
// type: copies share one grant; the last gives it back. Thread-safe: any method from any thread.
class Region {
 public:
  const std::string& name() const;  // staged regions: empty until they are committed
  uint64_t id() const;
  uint64_t bytes() const;  // length when opened
  uint32_t rights() const;
  StorageClass storage_class() const;
  // "local", "tcp": what reads and writes use now. Connects when nothing is connected; "" if that
  // fails.
  std::string_view path() const;

  // All of them: kOutOfRange is found here, before anything is sent; requests of any size are cut
  // into chunks. A write is atomic only up to 8 aligned bytes; after an error any part of it may
  // have been applied, and repeating it is safe. kPermissionDenied, kStaleGrant, kIo, kUnavailable,
  // kUnknownOutcome, kDeadlineExceeded; kInvalidArgument inside a Completion.
  Status read(uint64_t offset, std::span<std::byte> target) const;
  Status write(uint64_t offset, std::span<const std::byte> source,
               Durability durability = Durability::kDurable) const;
  // Makes durable what this handle (and its copies) wrote with kVisible. kUnknownOutcome, once:
  // the daemon restarted between those writes and the flush, so that they may be lost; write again.
  Status flush(uint64_t offset, uint64_t bytes) const;
  Status atomic_write8(uint64_t offset, uint64_t value) const;  // offset multiple of 8; durable
  // `target` and `source` are the ranges' bytes, in order. kInvalidArgument: not as many.
  Status read_ranges(std::span<const Range> ranges, std::span<std::byte> target) const;
  Status write_ranges(std::span<const Range> ranges, std::span<const std::byte> source,
                      Durability durability = Durability::kDurable) const;

  std::future<Status> read_async(uint64_t offset, std::span<std::byte> target) const;
  std::future<Status> write_async(uint64_t offset, std::span<const std::byte> source,
                                  Durability durability = Durability::kDurable) const;
  std::future<Status> flush_async(uint64_t offset, uint64_t bytes) const;
  // Callback forms: `done` runs inside the library, on its thread or on one that is blocked in a
  // call of the same client; it must not block, and may start further asynchronous calls.
  using Completion = std::function<void(Status)>;
  void read_then(uint64_t offset, std::span<std::byte> target, Completion done) const;
  void write_then(uint64_t offset, std::span<const std::byte> source, Durability durability,
                  Completion done) const;

  // Same host only: kUnsupported says why not (remote, policy copy or off, device pool, file not
  // ours to open). Read-only without the write right.
  Result<Mapping> map() const;

  struct Impl;
  explicit Region(std::shared_ptr<Impl> impl);

 private:
  friend class Shelf;
  friend class Client;
  std::shared_ptr<Impl> impl_;
};

struct CreateOptions {
  bool open_existing = false;  // an existing region of the same size is opened instead
};
struct ListOptions {
  std::string prefix;
  std::string match;  // glob over whole names
  std::string after;  // names strictly after this one
  uint32_t limit = 1000;
  bool with_attributes = false;
};
struct ListPage {
  std::vector<RegionStat> regions;
  bool more = false;
};

// Several new values that become visible and durable together (see Shelf::stage).
struct StagedItem {
  Region region;  // from Shelf::stage, written and flushed
  std::string name;
  Attributes attributes;
  bool must_be_new = false;
  uint64_t expected_id = 0;
};
struct RangeWrite {
  Region region;
  uint64_t offset = 0;
  std::span<const std::byte> bytes;
};

// Dropping the last copy unlocks, in the background.
class Lock {
 public:
  // Idempotent. kSessionExpired: the lock had been lost before, with the session that held it
  // (daemon restart, or this process was stopped for too long).
  Status unlock();
  struct Impl;
  explicit Lock(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

// A shelf, opened by name. Handle type; thread-safe.
class Shelf {
 public:
  const std::string& name() const;
  Result<ShelfStat> stat() const;

  // Zero-filled and durable. kAlreadyExists, kNoSpace, kPermissionDenied.
  Result<Region> create_region(std::string_view name, uint64_t bytes,
                               const Attributes& attributes = {},
                               const CreateOptions& options = {}) const;
  Result<Region> open_region(std::string_view name, uint32_t rights = kRead | kWrite) const;
  // kBusy names a holder that would not let go in time.
  Status erase_region(std::string_view name) const;
  Result<ListPage> list(const ListOptions& options = {}) const;
  Result<RegionStat> stat_region(std::string_view name) const;
  Status rename_region(std::string_view name, std::string_view new_name,
                       bool replace = false) const;
  Status swap_regions(std::string_view a, std::string_view b) const;
  Status resize_region(std::string_view name, uint64_t bytes) const;
  Status set_attributes(std::string_view name, const Attributes& attributes) const;
  // kLocked names the holder, after waiting up to `wait` (at most 60 s). Advisory.
  Result<Lock> lock(std::string_view name, bool exclusive,
                    std::chrono::milliseconds wait = {}) const;

  // Whole values: put replaces atomically and durably (the old value or the new one, never a
  // mix), get returns one consistent value (kBusy: it is being replaced faster than it can be
  // read). One exchange up to 8 MiB; larger values are staged, and read under a grant; in the
  // background each of those takes a thread of its own.
  Status put(std::string_view name, std::span<const std::byte> value,
             const Attributes& attributes = {}, bool must_be_new = false) const;
  Result<std::vector<std::byte>> get(std::string_view name, Attributes* attributes = nullptr) const;
  // Into the caller's buffer; returns the value's length, kOutOfRange when it does not fit.
  Result<uint64_t> get_into(std::string_view name, std::span<std::byte> target,
                            Attributes* attributes = nullptr) const;
  std::future<Status> put_async(std::string_view name, std::span<const std::byte> value,
                                const Attributes& attributes = {}) const;
  std::future<Result<uint64_t>> get_into_async(std::string_view name,
                                               std::span<std::byte> target) const;

  // An unnamed region, gone with the session unless committed. Not `zero`: the caller writes all of
  // it before commit.
  Result<Region> stage(uint64_t bytes, bool zero = false) const;
  // All names or none, durably; returns the new region ids. The staged handles stay good, under
  // their names. kAlreadyExists (must_be_new), kConflict (expected_id), kStaleGrant: the session
  // ended, and the staged regions with it: nothing was committed.
  Result<std::vector<uint64_t>> commit(std::span<const StagedItem> items) const;
  // In-place writes to several regions of this shelf: all or nothing, durable. At most 8 MiB.
  Status transact(std::span<const RangeWrite> writes) const;

  struct Impl;
  explicit Shelf(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

struct ShelfOptions {
  std::string pool;  // empty: the daemon's default
  SameHostPolicy same_host = SameHostPolicy::kDirect;
  std::vector<AccessEntry> access;
};

struct PoolStat {
  std::string name, path, kind;
  StorageClass storage_class = StorageClass::kFile;
  uint64_t total_bytes = 0, available_bytes = 0, shelf_count = 0;
  bool preallocate = false;
  std::vector<std::string> trouble;
};
struct ShelfCheck {
  std::string shelf;
  std::vector<std::string> problems, bad_block_regions;
  uint64_t records_checked = 0, regions_checked = 0;
  Space space;
};
struct SessionStat {
  std::string id;  // 32 hex digits
  std::string principal, client_name, peer;
  uint64_t idle_ms = 0, age_ms = 0;
  uint32_t grants = 0, locks = 0;
  std::vector<std::string> paths;
};
struct DaemonStatus {
  std::string version, principal;
  uint64_t boot_epoch = 0, uptime_ms = 0, sessions = 0, grants = 0, shelves = 0, recovery_us = 0;
  bool draining = false, administrator = false;
  std::map<std::string, uint64_t> counters;
};
struct TokenStat {
  std::string name, principal, shelves, created_by;
  uint32_t rights = 0;
  uint64_t expires_unix_ms = 0, created_unix_ms = 0;
};
struct TokenOptions {
  std::string name, principal;
  std::string shelves = "*";
  uint32_t rights = kRead | kWrite | kAdmin;
  uint64_t lifetime_ms = 0;
};

// One session with one daemon: a control channel and at most one connection per data path, made
// when needed. Survives daemon restarts (see the head of this file); locks and staged regions do
// not. Handle type; thread-safe. Shelves, regions, locks and mappings keep what they need of it.
class Client {
 public:
  // kUnavailable (nothing there, with the address and what to start), kUnauthenticated,
  // kUnsupported (version), kInvalidArgument (target), kPermissionDenied.
  static Result<Client> connect(const ConnectOptions& options = {});

  Result<Shelf> open_shelf(std::string_view name) const;
  Result<Shelf> create_shelf(std::string_view name, uint64_t capacity_bytes,
                             const ShelfOptions& options = {}) const;
  Status erase_shelf(std::string_view name, bool only_if_empty = false) const;
  Status rename_shelf(std::string_view name, std::string_view new_name) const;
  Result<ShelfStat> resize_shelf(std::string_view name, uint64_t capacity_bytes) const;
  Result<ShelfStat> set_access(std::string_view name, const std::vector<AccessEntry>& access,
                               std::string_view owner = {}) const;
  Result<ShelfStat> set_same_host(std::string_view name, SameHostPolicy policy) const;
  Result<std::vector<ShelfStat>> list_shelves(std::string_view match = {},
                                              std::string_view pool = {}) const;

  Result<DaemonStatus> status() const;
  Result<std::chrono::nanoseconds> ping() const;  // one exchange on the data path in use
  std::string_view path() const;                  // data path in use
  Result<std::vector<PoolStat>> list_pools() const;
  Result<PoolStat> stat_pool(std::string_view name) const;
  Status check_pool(std::string_view name,
                    const std::function<void(const ShelfCheck&)>& each) const;
  Result<std::vector<SessionStat>> list_sessions() const;
  Status kick_session(std::string_view id_hex) const;
  Result<uint32_t> drain(std::chrono::milliseconds deadline, bool stop) const;
  Result<std::string> create_token(const TokenOptions& options) const;
  Result<std::vector<TokenStat>> list_tokens() const;
  Status revoke_token(std::string_view name) const;

  // Ends the session, as dropping the last handle does. Outstanding calls fail (kUnavailable, or
  // kUnknownOutcome where they may have been applied); live Mappings stay mapped, their bytes
  // protected from reuse until they are dropped or the process ends. Idempotent; waits at most a
  // few seconds.
  void close();

  struct Impl;
  explicit Client(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

// "0.1.0"
std::string_view version();

}  // namespace pmshelf
#pragma GCC visibility pop
