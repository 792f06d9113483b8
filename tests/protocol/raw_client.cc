#include "tests/protocol/raw_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "common/transport/stream/unix_address.h"

namespace pmshelf::transport {
namespace {

constexpr int kPatienceMs = 10'000;

UniqueFd connect_tcp_raw(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  PMSHELF_CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

UniqueFd connect_unix_raw(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UnixAddress address = *UnixAddress::of(path);
  PMSHELF_CHECK(::connect(fd.get(), address.get(), address.bytes()) == 0);
  return fd;
}

}  // namespace

HeaderBytes header_bytes(const wire::FrameHeader& header) {
  HeaderBytes bytes;
  wire::encode_header(header, bytes);
  return bytes;
}

template <class T>
HeaderBytes patched(const wire::FrameHeader& header, size_t at, T value) {
  HeaderBytes bytes = header_bytes(header);
  store_le<T>(bytes.data() + at, value);
  store_le<uint32_t>(bytes.data() + 60, crc32c(std::span(bytes).first(60)));
  return bytes;
}
template HeaderBytes patched<uint8_t>(const wire::FrameHeader&, size_t, uint8_t);
template HeaderBytes patched<uint16_t>(const wire::FrameHeader&, size_t, uint16_t);
template HeaderBytes patched<uint32_t>(const wire::FrameHeader&, size_t, uint32_t);

RawClient::RawClient(StreamServer& server, StreamKind kind)
    : server_(server),
      socket_(kind == StreamKind::kUnix ? connect_unix_raw(server.socket_path())
                                        : connect_tcp_raw(server.port())) {
  const auto first = receive();
  PMSHELF_CHECK(first.has_value() && first->header.op == wire::Op::kChallenge);
  challenge_ = *wire::decode_challenge(std::as_bytes(std::span(first->meta)));
}

// The server may have closed already: that is for receive() to find.
void RawClient::send(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void RawClient::send_frame(wire::FrameHeader header, const std::string& meta,
                           const std::string& payload) {
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  if (!payload.empty()) header.payload_bytes = static_cast<uint32_t>(payload.size());
  const HeaderBytes bytes = header_bytes(header);
  std::string frame(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  send_text(frame + meta + payload);
}

void RawClient::send_with_fds(std::span<const std::byte> bytes, std::span<const int> fds) {
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  iovec piece = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* item = CMSG_FIRSTHDR(&message);
  item->cmsg_level = SOL_SOCKET;
  item->cmsg_type = SCM_RIGHTS;
  item->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(item), fds.data(), fds.size_bytes());
  PMSHELF_CHECK(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
}

bool RawClient::receive_exactly(std::byte* data, size_t bytes) {
  while (bytes > 0) {
    pollfd waiting = {socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, kPatienceMs) <= 0) {
      ADD_FAILURE() << "the server neither answered nor closed";
      return false;
    }
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    iovec piece = {data, bytes};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (count <= 0) return false;
    const cmsghdr* item = message.msg_controllen > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (item != nullptr && item->cmsg_type == SCM_RIGHTS) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item), sizeof fd);
      fd_.reset(fd);
    }
    data += count;
    bytes -= static_cast<size_t>(count);
  }
  return true;
}

std::optional<RawFrame> RawClient::receive() {
  HeaderBytes bytes;
  if (!receive_exactly(bytes.data(), bytes.size())) return std::nullopt;
  const auto header = wire::decode_header(bytes);
  PMSHELF_CHECK(header.ok());
  RawFrame frame{*header, std::string(header->meta_bytes, '\0'), ""};
  const bool in_ring = (header->flags & wire::kFlagInRing) != 0;
  frame.payload.resize(in_ring ? 0 : header->payload_bytes);
  const auto data = [](std::string& text) { return reinterpret_cast<std::byte*>(text.data()); };
  if (!receive_exactly(data(frame.meta), frame.meta.size())) return std::nullopt;
  if (!receive_exactly(data(frame.payload), frame.payload.size())) return std::nullopt;
  return frame;
}

bool RawClient::is_cut_off() {
  pollfd waiting = {socket_.get(), 0, 0};  // POLLHUP and POLLERR are always told
  return ::poll(&waiting, 1, kPatienceMs) > 0;
}

bool RawClient::is_cut_off_now() {
  pollfd waiting = {socket_.get(), 0, 0};
  return ::poll(&waiting, 1, 0) > 0;
}

std::string RawClient::hello_meta(const wire::SessionId& session,
                                  const wire::Secret& secret) const {
  wire::Hello hello;
  hello.session = session;
  wire::fill_random(hello.nonce);
  hello.proof = wire::make_proof(secret, wire::Side::kClient, challenge_, hello.nonce, session);
  return wire::encode_hello(hello);
}

void RawClient::say_hello() {
  wire::FrameHeader header;
  header.op = wire::Op::kHello;
  send_frame(header, hello_meta(server_.service().session(), server_.service().secret()));
  const auto answer = receive();
  PMSHELF_CHECK(answer.has_value() && answer->header.op == wire::Op::kHello &&
                answer->header.status == 0);
}

}  // namespace pmshelf::transport
