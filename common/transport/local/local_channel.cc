#include "common/transport/local/local_channel.h"

#include "common/transport/stream/client_handshake.h"
#include "common/transport/stream/stream_channel.h"
#include "common/transport/stream/unix_address.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

Result<std::unique_ptr<ByteStream>> connect_path(const std::string& path, Deadline deadline) {
  PMSHELF_TRY_ASSIGN(const UnixAddress address, UnixAddress::of(path));
  PMSHELF_TRY_ASSIGN(UniqueFd fd,
                     connect_socket(address.get(), address.bytes(), "'" + path + "'", deadline));
  return make_plain_stream(std::move(fd), true);
}

// No ring when the server refuses; an error when the connection broke.
Result<SharedRing> ask_ring(ByteStream& stream, uint64_t bytes, Deadline deadline) {
  FrameHeader header;
  header.op = Op::kRing;
  header.length = bytes;
  const auto answer = exchange(stream, header, "", deadline);
  if (answer.ok()) return SharedRing::attach(stream.take_fd(), bytes);
  const bool broken =
      answer.code() == Code::kUnavailable || answer.code() == Code::kDeadlineExceeded;
  if (broken) return answer.error();
  return SharedRing();
}

}  // namespace

Result<std::unique_ptr<Channel>> connect_local(const LocalConnectOptions& options) {
  const Deadline deadline = deadline_after(options.connect_timeout_ms);
  StreamChannelParts parts;
  parts.path = "local";
  PMSHELF_TRY_ASSIGN(parts.stream, connect_path(options.socket_path, deadline));
  PMSHELF_TRY_ASSIGN(parts.capabilities,
                     say_hello(*parts.stream, options.session, options.data_secret, deadline));
  parts.capabilities.map = true;
  if (options.ring_bytes > 0) {
    PMSHELF_TRY_ASSIGN(parts.ring, ask_ring(*parts.stream, options.ring_bytes, deadline));
  }
  return StreamChannel::make(std::move(parts));
}

Result<std::string> fetch_peer_token(const std::string& socket_path, uint64_t timeout_ms) {
  const Deadline deadline = deadline_after(timeout_ms);
  PMSHELF_TRY_ASSIGN(const auto stream, connect_path(socket_path, deadline));
  PMSHELF_TRY_ASSIGN(const auto challenge, receive_challenge(*stream, deadline));
  static_cast<void>(challenge);  // only its version mattered
  FrameHeader header;
  header.op = Op::kPeerToken;
  PMSHELF_TRY_ASSIGN(Exchange answer, exchange(*stream, header, "", deadline));
  return std::move(answer.meta);
}

}  // namespace pmshelf::transport
