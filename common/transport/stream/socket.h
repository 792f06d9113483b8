// Sockets of the stream transports: making, naming, connecting. Private to the stream transports.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/unique_fd.h"
#include "common/transport/stream/stream_listener.h"
#include "common/transport/stream_server.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

// A bound, listening, non-blocking socket. Errors as StreamListener::open.
Result<UniqueFd> listen_on(const ListenOptions& options);
// The port that the socket is bound to; 0 for Unix sockets.
uint16_t bound_port(int fd);
// Who is at the other end.
PeerInfo peer_of(int fd, bool local);
}  // namespace pmshelf::transport
