// The data-path contract, server side, for stream transports (tcp, tls, local).
// A connection parses and checks frames, asks the Handler what each may touch, moves payloads
// straight between the socket and pool memory, and sends the answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/wire/frame.h"
#include "common/wire/handshake.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

// A piece of pool memory that a request may touch, held for as long as the request runs: neither
// revocation nor reuse completes while one lives.
struct Window {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
};

// What the handler decided for one request. Made when header and meta have arrived, before the
// payload has; destroyed after the answer was handed to the kernel (reads) or finished (others).
class Operation {
 public:
  virtual ~Operation() = default;
  // Receive targets (writes) or send sources (reads), in payload order; their sum is
  // payload_bytes of the request (writes: kWrite, kWriteRanges, kPut, kTransact) or of the answer
  // (reads: kRead, kReadRanges, kGet). Stable from begin() on; empty for all other ops.
  virtual std::span<const Window> windows() const = 0;
  // Called once the payload is in place (at once for requests without one): flush, commit, ...
  // Calls `done` exactly once, now or later, from any thread; `this` may be gone when done
  // returns, if that was not inside run. The reply header's op, tag, flags and byte counts are set
  // by the connection.
  struct Reply {
    Status status;
    wire::FrameHeader header;  // offset, length, grant as the op defines them
    std::string meta;
    int fd = -1;  // local stream: descriptor to pass along, not owned
  };
  virtual void run(std::function<void(Reply)> done) = 0;
};

// Who the peer of a connection is, as far as the transport itself can tell.
struct PeerInfo {
  std::string address;  // "127.0.0.1:4711" or "unix:pid=12,uid=1000"
  bool local = false;   // by Unix socket: uid, gid, pid are the kernel's word
  uint32_t uid = 0, gid = 0;
  int32_t pid = 0;
  bool encrypted = false;
};

// One connection's business logic. Lives on the connection's thread.
class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  // The challenge to send first.
  virtual wire::Challenge challenge() = 0;
  // Verifies; on success the connection is bound to the session. Any error closes it (after the
  // answer), with the reason logged once.
  virtual Result<wire::HelloReply> hello(const wire::Hello& hello) = 0;
  // Before hello, local streams only: a one-time bearer token for the peer.
  virtual Result<std::string> peer_token() = 0;
  // After hello, for kPing..kTransact, and on local streams kMap, kUnmap and kRing (where an ok
  // reply allows the ring: the connection makes it and passes its descriptor). `meta` is the op's
  // own and valid during the call. An error is answered, the payload discarded.
  virtual Result<std::unique_ptr<Operation>> begin(const wire::FrameHeader& header,
                                                   std::span<const std::byte> meta) = 0;
  // The connection is gone; operations still running are completed into nothing. Called once; the
  // handler itself is destroyed after the last of its operations.
  virtual void disconnected() = 0;
};

// Given to the handler: how to reach its connection from any thread.
class ConnectionControl {
 public:
  virtual ~ConnectionControl() = default;
  virtual void notify(wire::NoticeKind kind, wire::GrantId grant) = 0;  // any thread
  virtual void close(std::string reason) = 0;                           // any thread
};

using HandlerFactory = std::function<std::unique_ptr<ConnectionHandler>(
    const PeerInfo& peer, std::shared_ptr<ConnectionControl> control)>;

struct StreamLimits {
  uint32_t connections_max = 4096;        // further ones are closed at once
  uint32_t hello_timeout_ms = 10'000;     // connect .. hello
  uint32_t progress_timeout_ms = 10'000;  // a frame begun must move on
  uint32_t in_flight_max = 128;  // a connection's unanswered requests; then we stop reading
  uint32_t buffered_bytes_max = 256 * 1024;  // per connection, besides payloads in pool memory
};

}  // namespace pmshelf::transport
