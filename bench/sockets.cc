#include "bench/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "bench/samples.h"

namespace pmshelf::bench {
namespace {

[[noreturn]] void fail(const char* call) {
  give_up(std::string(call) + ": " + std::strerror(errno));
}

void set_no_delay(const UniqueFd& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

UniqueFd connect_to(const std::string& host, uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    give_up("not an address: " + host);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("connect");
  }
  set_no_delay(socket);
  return socket;
}

UniqueFd listen_on_loopback(uint16_t* port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) fail("bind");
  if (::listen(socket.get(), 1) != 0) fail("listen");
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    fail("getsockname");
  }
  *port = ntohs(address.sin_port);
  return socket;
}

UniqueFd accept_from(const UniqueFd& listener) {
  UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) fail("accept");
  set_no_delay(socket);
  return socket;
}

void send_all(const UniqueFd& socket, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) fail("send");
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
}

void receive_all(const UniqueFd& socket, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t received = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (received <= 0) fail("recv");
    bytes = bytes.subspan(static_cast<size_t>(received));
  }
}

}  // namespace pmshelf::bench
