#include "common/transport/stream/client_handshake.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using wire::FrameHeader;
using wire::kFrameHeaderBytes;
using wire::Op;

constexpr uint64_t kTimeoutMsMax = uint64_t{1} << 31;
// A server that allows less than one request of this size is not one.
constexpr uint32_t kRequestBytesMin = 4096;
constexpr uint32_t kInFlightMax = 65536;

Error unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }

Status wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
    pollfd waited = {fd, events, 0};
    const int count = left <= 0 ? 0 : ::poll(&waited, 1, static_cast<int>(left));
    if (count > 0) return {};
    if (count < 0 && errno == EINTR) continue;
    return Error(Code::kDeadlineExceeded, "the server did not answer in time");
  }
}

// Nothing moved: waits for what the stream wants. An error when that will not come.
Status wait_or_fail(ByteStream& stream, const IoResult& result, Deadline deadline) {
  switch (result.state) {
    case IoResult::State::kMoved:
      return {};
    case IoResult::State::kWantRead:
      return wait_for(stream.fd(), POLLIN, deadline);
    case IoResult::State::kWantWrite:
      return wait_for(stream.fd(), POLLOUT, deadline);
    case IoResult::State::kEnded:
      return unavailable("the server closed the connection during the handshake");
    case IoResult::State::kFault:
    case IoResult::State::kFailed:
      break;
  }
  // Over TLS it is nearly always a certificate that one side does not accept.
  const Code code =
      stream.receives_into_pool_memory() ? Code::kUnavailable : Code::kUnauthenticated;
  return Error(code, stream.error_text());
}

template <class Move>
Status move_all(ByteStream& stream, std::byte* data, size_t bytes, Deadline deadline, Move move) {
  size_t at = 0;
  while (at < bytes) {
    const std::array<iovec, 1> piece = {iovec{data + at, bytes - at}};
    const IoResult result = move(std::span<const iovec>(piece));
    at += result.bytes;
    PMSHELF_TRY(wait_or_fail(stream, result, deadline));
  }
  return {};
}

Status receive_exactly(ByteStream& stream, std::byte* data, size_t bytes, Deadline deadline) {
  return move_all(stream, data, bytes, deadline,
                  [&](std::span<const iovec> piece) { return stream.receive(piece); });
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

Deadline deadline_after(uint64_t timeout_ms) {
  return steady_clock::now() + milliseconds(std::min(timeout_ms, kTimeoutMsMax));
}

Result<UniqueFd> connect_socket(const sockaddr* address, uint32_t address_bytes,
                                const std::string& name, Deadline deadline) {
  const auto failure = [&name](int error) {
    const Code code = error == EACCES ? Code::kPermissionDenied : Code::kUnavailable;
    return Error(code, "cannot connect to " + name + ": " + std::strerror(error));
  };
  UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failure(errno);
  for (;;) {
    if (::connect(fd.get(), address, address_bytes) == 0) return fd;
    if (errno == EINPROGRESS) break;
    // A Unix socket whose queue is full: it cannot be waited for.
    if (errno != EAGAIN || steady_clock::now() >= deadline) return failure(errno);
    ::poll(nullptr, 0, 10);
  }
  if (auto status = wait_for(fd.get(), POLLOUT, deadline); !status.ok()) {
    return status.error().with_context("connecting to " + name);
  }
  int error = 0;
  socklen_t error_bytes = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_bytes);
  if (error != 0) return failure(error);
  return fd;
}

Status finish_tls(ByteStream& stream, Deadline deadline) {
  for (;;) {
    const IoResult result = stream.handshake();
    if (result.state == IoResult::State::kMoved) return {};
    PMSHELF_TRY(wait_or_fail(stream, result, deadline));
  }
}

Result<Exchange> receive_frame(ByteStream& stream, Op op, Deadline deadline) {
  std::array<std::byte, kFrameHeaderBytes> bytes;
  PMSHELF_TRY(receive_exactly(stream, bytes.data(), bytes.size(), deadline));
  const auto header = wire::decode_header(bytes);
  if (!header.ok()) return unavailable("not a pmshelf server: " + header.error().message());
  if (header->op != op || header->payload_bytes != 0) {
    return unavailable("not a pmshelf server: an unexpected frame");
  }
  Exchange result{*header, std::string(header->meta_bytes, '\0')};
  PMSHELF_TRY(receive_exactly(stream, reinterpret_cast<std::byte*>(result.meta.data()),
                              result.meta.size(), deadline));
  if (header->status == 0) return result;
  const auto code =
      header->status <= kCodeMax ? static_cast<Code>(header->status) : Code::kInternal;
  return Error(code, std::move(result.meta));
}

Result<Exchange> exchange(ByteStream& stream, FrameHeader header, const std::string& meta,
                          Deadline deadline) {
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  std::string frame(kFrameHeaderBytes, '\0');
  auto* data = reinterpret_cast<std::byte*>(frame.data());
  wire::encode_header(header, std::span<std::byte, kFrameHeaderBytes>(data, kFrameHeaderBytes));
  frame += meta;
  PMSHELF_TRY(move_all(stream, reinterpret_cast<std::byte*>(frame.data()), frame.size(), deadline,
                       [&](std::span<const iovec> piece) { return stream.send(piece, -1); }));
  return receive_frame(stream, header.op, deadline);
}

Result<wire::Challenge> receive_challenge(ByteStream& stream, Deadline deadline) {
  PMSHELF_TRY_ASSIGN(const Exchange first, receive_frame(stream, Op::kChallenge, deadline));
  const auto challenge = wire::decode_challenge(bytes_of(first.meta));
  if (!challenge.ok()) return unavailable("not a pmshelf server: " + challenge.error().message());
  if (challenge->protocol_version != wire::Challenge{}.protocol_version) {
    return Error(Code::kUnsupported, "the server speaks version " +
                                         std::to_string(challenge->protocol_version) +
                                         " of the data plane, this client 1");
  }
  return *challenge;
}

Result<Capabilities> say_hello(ByteStream& stream, const wire::SessionId& session,
                               const wire::Secret& secret, Deadline deadline) {
  PMSHELF_TRY_ASSIGN(const wire::Challenge challenge, receive_challenge(stream, deadline));
  wire::Hello hello;
  hello.session = session;
  wire::fill_random(hello.nonce);
  hello.proof = wire::make_proof(secret, wire::Side::kClient, challenge, hello.nonce, session);
  FrameHeader header;
  header.op = Op::kHello;
  PMSHELF_TRY_ASSIGN(const Exchange answer,
                     exchange(stream, header, wire::encode_hello(hello), deadline));
  const auto reply = wire::decode_hello_reply(bytes_of(answer.meta));
  if (!reply.ok()) return unavailable("not a pmshelf server: " + reply.error().message());
  const wire::Proof expected =
      wire::make_proof(secret, wire::Side::kServer, challenge, hello.nonce, session);
  if (!wire::equal_constant_time(reply->proof, expected)) {
    return Error(Code::kUnauthenticated, "the server does not know this session's secret");
  }
  Capabilities result;
  result.request_bytes_max =
      std::clamp(reply->payload_bytes_max, kRequestBytesMin, wire::kFramePayloadBytesMax);
  result.in_flight_max = std::clamp(reply->in_flight_max, uint32_t{1}, kInFlightMax);
  return result;
}

}  // namespace pmshelf::transport
