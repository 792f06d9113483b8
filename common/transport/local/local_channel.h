// Data connections over a Unix socket: same host, with mapping and the shared ring.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/transport/channel.h"
#include "common/wire/handshake.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

struct LocalConnectOptions {
  std::string socket_path;
  wire::SessionId session{};
  wire::Secret data_secret{};
  uint64_t connect_timeout_ms = 5000;  // connect, Hello and Ring together
  // Shared memory to ask the server for; large payloads then go through it instead of the socket.
  // 0: do not ask. A server that refuses is no error: payloads go through the socket.
  uint64_t ring_bytes = 16 * 1024 * 1024;
};

// Connects, proves the session, checks the server's proof, asks for the ring. Blocks. The
// channel's path() is "local"; capabilities().map is true (whether a grant can be mapped is the
// server's answer to map()). Errors as connect_tcp.
Result<std::unique_ptr<Channel>> connect_local(const LocalConnectOptions& options);

// Asks the daemon behind the socket for a one-time bearer token for Sessions.Open, given by the
// kernel's word on who we are. Blocks. kUnavailable: nobody listens. kDeadlineExceeded.
// kUnauthenticated, kPermissionDenied: the daemon's answer.
Result<std::string> fetch_peer_token(const std::string& socket_path, uint64_t timeout_ms);

}  // namespace pmshelf::transport
