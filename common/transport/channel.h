// The data-path contract, client side: one authenticated data connection of one session.
// Implementations: tcp (TCP and TLS), local (Unix socket, with mapping and ring), rdma (later),
// fake (in memory, for tests). tests/conformance runs one suite over all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/wire/frame.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

enum class Durability : uint8_t { kDurable = 1, kVisible = 2 };

// What a path can do; callers ask before they call, tests skip by it.
struct Capabilities {
  bool write_only_grants = true;
  bool map = false;  // grants can be mapped into this process
  bool put_get = true;
  bool transact = true;
  uint64_t request_bytes_max =
      wire::kFramePayloadBytesMax;  // larger requests are the caller's to cut
  uint32_t in_flight_max = 128;     // sent and not answered; further submits are queued
  uint32_t queued_requests_max = 65536;
};

struct GetResult {
  uint64_t region_id = 0;
  uint64_t total_bytes = 0;   // of the value
  uint64_t copied_bytes = 0;  // into the target: min(total, target, payload limit)
  std::string attributes;     // encoded
};

struct MappedRange {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  bool writable = false;
  std::shared_ptr<void> keep_alive;  // unmaps; the channel tells the daemon when the last copy goes
};

// One connection. Owner: client session (libpmshelf). Thread-safe: any thread may submit; a
// completion runs on whichever thread drives the connection then, must not block, and may submit.
// Buffers stay valid and unchanged until the completion ran. Completions come in any order; each
// submit completes exactly once, also when the connection breaks: with kUnknownOutcome for
// mutations (and flushes) that may have been applied, kUnavailable for the rest. A completion
// never runs inside the submit itself.
//
// Durability: a write with kDurable is durable when it completed ok, in the sense of the shelf's
// storage class; with kVisible, only visible to other readers.
// Errors: kStaleGrant, kPermissionDenied, kOutOfRange, kInvalidArgument (over request_bytes_max),
// kIo, kUnavailable, kUnknownOutcome. Submits over in_flight_max wait their turn, in order;
// kResourceExhausted: more than queued_requests_max are waiting.
class Channel {
 public:
  using Done = std::function<void(Status)>;
  using GetDone = std::function<void(Result<GetResult>)>;

  virtual ~Channel() = default;

  virtual const Capabilities& capabilities() const = 0;
  virtual std::string_view path() const = 0;  // "tcp", "local", "rdma", "fake"
  virtual bool connected() const = 0;

  virtual void read(wire::GrantId grant, uint64_t offset, std::span<std::byte> target,
                    Done done) = 0;
  virtual void write(wire::GrantId grant, uint64_t offset, std::span<const std::byte> source,
                     Durability durability, Done done) = 0;
  virtual void flush(wire::GrantId grant, uint64_t offset, uint64_t bytes, Done done) = 0;
  virtual void atomic_write8(wire::GrantId grant, uint64_t offset, uint64_t value, Done done) = 0;
  // `target` and `source` are the ranges' bytes, concatenated in order.
  virtual void read_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                           std::span<std::byte> target, Done done) = 0;
  virtual void write_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                            std::span<const std::byte> source, Durability durability,
                            Done done) = 0;
  virtual void transact(const wire::TransactMeta& meta, std::span<const std::byte> source,
                        Done done) = 0;
  virtual void put(uint64_t shelf_handle, const wire::PutMeta& meta, bool if_absent,
                   std::span<const std::byte> value, Done done) = 0;
  virtual void get(uint64_t shelf_handle, std::string_view name, std::span<std::byte> target,
                   GetDone done) = 0;
  virtual void ping(Done done) = 0;

  // Blocking; kUnsupported where capabilities().map is false or the shelf's policy refuses.
  virtual Result<MappedRange> map(wire::GrantId grant) = 0;

  // Drives the connection on the calling thread until `finished` returns true or `deadline_ms`
  // passed since the call (kDeadlineExceeded; 0: none). `finished` is called on this thread, often,
  // and without locks; completions may run on other threads meanwhile. kUnavailable: the connection
  // is gone, nothing is left to complete, and `finished` is still false. kInvalidArgument: called
  // from a completion. Blocking calls are DriveScope + submit + drive: no thread switch is paid.
  // While nobody drives, the channel's own thread completes what is in flight.
  virtual Status drive_until(const std::function<bool()>& finished, uint64_t deadline_ms) = 0;

  // Called (on any thread) for server notices: revoked grants, draining. Set it before the first
  // submit. While a grant is mapped, notices arrive also when nobody drives.
  std::function<void(wire::NoticeKind, wire::GrantId)> on_notice;
  // Fails everything in flight and closes. Idempotent. Completions have run when it returns,
  // unless it is called from one of them: then they run right after that one. The destructor
  // closes; it must not run inside a completion.
  virtual void close() = 0;

 private:
  friend class DriveScope;
  virtual void enter_drive_scope() = 0;
  virtual void leave_drive_scope() = 0;
};

// Held by a thread from before its submits until its drive_until returned. Submits are then sent
// together by drive_until, and the channel's own thread is not woken for them. Without one
// everything works as well, for a system call per submit and a thread switch.
//   DriveScope scope(channel);
//   channel.read(..., done);
//   channel.drive_until(...);
class DriveScope {
 public:
  explicit DriveScope(Channel& channel) : channel_(channel) { channel_.enter_drive_scope(); }
  DriveScope(const DriveScope&) = delete;
  DriveScope& operator=(const DriveScope&) = delete;
  ~DriveScope() { channel_.leave_drive_scope(); }

 private:
  Channel& channel_;
};

}  // namespace pmshelf::transport
