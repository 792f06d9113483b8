#include "tests/conformance/relay.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/check.h"

namespace pmshelf::transport {
namespace {

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  PMSHELF_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

template <class Address>
const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Relay::Relay(UniqueFd listener, uint16_t port, int64_t to_server, int64_t to_client)
    : listener_(std::move(listener)), port_(port), to_server_(to_server), to_client_(to_client) {}

std::unique_ptr<Relay> Relay::to_port(uint16_t port, int64_t to_server, int64_t to_client) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t bytes = sizeof address;
  PMSHELF_CHECK(::bind(fd.get(), generic(address), bytes) == 0 && ::listen(fd.get(), 1) == 0);
  PMSHELF_CHECK(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  std::unique_ptr<Relay> relay(
      new Relay(std::move(fd), ntohs(address.sin_port), to_server, to_client));
  relay->server_port_ = port;
  relay->thread_ = std::thread([r = relay.get()] { r->run(); });
  return relay;
}

std::unique_ptr<Relay> Relay::to_path(const std::string& server, const std::string& path,
                                      int64_t to_server, int64_t to_client) {
  ::unlink(path.c_str());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  PMSHELF_CHECK(::bind(fd.get(), generic(address), sizeof address) == 0 &&
                ::listen(fd.get(), 1) == 0);
  std::unique_ptr<Relay> relay(new Relay(std::move(fd), 0, to_server, to_client));
  relay->server_path_ = server;
  relay->thread_ = std::thread([r = relay.get()] { r->run(); });
  return relay;
}

Relay::~Relay() {
  stopping_ = true;
  thread_.join();
}

int Relay::connect_server() const {
  const bool tcp = server_path_.empty();
  const int fd = ::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (tcp) {
    const sockaddr_in address = loopback(server_port_);
    PMSHELF_CHECK(::connect(fd, generic(address), sizeof address) == 0);
  } else {
    const sockaddr_un address = unix_address(server_path_);
    PMSHELF_CHECK(::connect(fd, generic(address), sizeof address) == 0);
  }
  return fd;
}

void Relay::run() {
  pollfd waiting = {listener_.get(), POLLIN, 0};
  while (::poll(&waiting, 1, 10) == 0) {
    if (stopping_) return;
  }
  const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const UniqueFd server(connect_server());
  while (!stopping_) {
    std::array<pollfd, 2> fds = {pollfd{client.get(), POLLIN, 0}, pollfd{server.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), 10) <= 0) continue;
    if (fds[0].revents != 0 && !forward(client.get(), server.get(), to_server_)) return;
    if (fds[1].revents != 0 && !forward(server.get(), client.get(), to_client_)) return;
  }
}

// False: the connection ends here.
bool Relay::forward(int from, int to, int64_t& left) {
  std::array<char, 4096> bytes;
  size_t most = bytes.size();
  const bool limited = armed_ && left >= 0;
  if (limited && left == 0) return false;
  if (limited) most = std::min<size_t>(most, static_cast<size_t>(left));
  const ssize_t count = ::recv(from, bytes.data(), most, 0);
  if (count <= 0) return false;
  if (::send(to, bytes.data(), static_cast<size_t>(count), MSG_NOSIGNAL) != count) return false;
  if (limited) left -= count;
  return true;
}

}  // namespace pmshelf::transport
