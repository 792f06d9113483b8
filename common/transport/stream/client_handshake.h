// The client's side of the handshake, blocking with a deadline. Private to the stream transports.
#pragma once

#include <chrono>
#include <string>

#include "common/transport/channel.h"
#include "common/transport/stream/byte_stream.h"
#include "common/wire/frame.h"
#include "common/wire/handshake.h"
#include "pmshelf/result.h"

struct sockaddr;

namespace pmshelf::transport {

using Deadline = std::chrono::steady_clock::time_point;
Deadline deadline_after(uint64_t timeout_ms);

// A connected socket. kUnavailable, kDeadlineExceeded; kPermissionDenied for a Unix socket.
Result<UniqueFd> connect_socket(const sockaddr* address, uint32_t address_bytes,
                                const std::string& name, Deadline deadline);

// One request and its answer before the channel exists; receives no byte beyond the answer.
struct Exchange {
  wire::FrameHeader header;
  std::string meta;
};
// The answer's error, if it is one. kUnavailable: ended, or broke the protocol.
// kDeadlineExceeded. kUnauthenticated: TLS did not come about.
Result<Exchange> receive_frame(ByteStream& stream, wire::Op op, Deadline deadline);
Result<Exchange> exchange(ByteStream& stream, wire::FrameHeader header, const std::string& meta,
                          Deadline deadline);
Status finish_tls(ByteStream& stream, Deadline deadline);
Result<wire::Challenge> receive_challenge(ByteStream& stream, Deadline deadline);

// Challenge, Hello, and the check of the server's proof. What the server allows.
Result<Capabilities> say_hello(ByteStream& stream, const wire::SessionId& session,
                               const wire::Secret& secret, Deadline deadline);

}  // namespace pmshelf::transport
