#include "common/transport/stream/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/transport/stream/unix_address.h"

namespace pmshelf::transport {
namespace {

constexpr int kBacklog = 1024;
constexpr mode_t kSocketMode = 0666;

Error system_error(const std::string& what, int error) {
  Code code = Code::kIo;
  if (error == EACCES || error == EPERM) code = Code::kPermissionDenied;
  if (error == EADDRINUSE) code = Code::kBusy;
  return {code, what + ": " + std::strerror(error)};
}

struct TcpAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;
};

Result<TcpAddress> parse_address(const std::string& text, uint16_t port) {
  TcpAddress address;
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.bytes = sizeof v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.bytes = sizeof v6;
  } else {
    return Error(Code::kInvalidArgument, "address '" + text + "' is not an IP address");
  }
  return address;
}

Result<UniqueFd> listen_tcp(const ListenOptions& options) {
  PMSHELF_TRY_ASSIGN(const TcpAddress address, parse_address(options.address, options.port));
  const std::string name = "address " + options.address + " port " + std::to_string(options.port);
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return system_error(name, errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::bind(fd.get(), where, address.bytes) != 0) return system_error(name, errno);
  if (::listen(fd.get(), kBacklog) != 0) return system_error(name, errno);
  return fd;
}

// Removes the socket of a daemon that is gone. kBusy: one answers there, or the path is another
// kind of file.
Status remove_dead_socket(const std::string& path, const UnixAddress& address) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error(Code::kBusy, "'" + path + "' exists and is not a socket");
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return system_error("'" + path + "'", errno);
  if (::connect(probe.get(), address.get(), address.bytes()) == 0 || errno == EAGAIN) {
    return Error(Code::kBusy, "somebody listens on '" + path + "'");
  }
  if (errno != ECONNREFUSED) return system_error("'" + path + "'", errno);
  if (::unlink(path.c_str()) != 0) return system_error("'" + path + "'", errno);
  return {};
}

Result<UniqueFd> listen_unix(const ListenOptions& options) {
  const std::string& path = options.unix_path;
  PMSHELF_TRY_ASSIGN(const UnixAddress address, UnixAddress::of(path));
  if (options.tls_context) {
    return Error(Code::kInvalidArgument, "TLS is for TCP, not for '" + path + "'");
  }
  PMSHELF_TRY(remove_dead_socket(path, address));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return system_error("'" + path + "'", errno);
  if (::bind(fd.get(), address.get(), address.bytes()) != 0) {
    return system_error("'" + path + "'", errno);
  }
  if (::chmod(path.c_str(), kSocketMode) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlink(path.c_str());
    return system_error("'" + path + "'", error);
  }
  return fd;
}

std::string tcp_peer_name(int fd) {
  sockaddr_storage storage = {};
  socklen_t bytes = sizeof storage;
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return "tcp:gone";
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &storage, sizeof v6);
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

}  // namespace

Result<UniqueFd> listen_on(const ListenOptions& options) {
  return options.unix_path.empty() ? listen_tcp(options) : listen_unix(options);
}

uint16_t bound_port(int fd) {
  sockaddr_storage storage = {};
  socklen_t bytes = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return 0;
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof v4);
    return ntohs(v4.sin_port);
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof v6);
    return ntohs(v6.sin6_port);
  }
  return 0;
}

PeerInfo peer_of(int fd, bool local) {
  PeerInfo peer;
  peer.local = local;
  if (!local) {
    peer.address = tcp_peer_name(fd);
    return peer;
  }
  ucred credentials = {};
  socklen_t bytes = sizeof credentials;
  credentials.uid = credentials.gid = UINT32_MAX;  // nobody, should the kernel not tell
  ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes);
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pid = credentials.pid;
  peer.address = "unix:pid=" + std::to_string(peer.pid) + ",uid=" + std::to_string(peer.uid);
  return peer;
}

}  // namespace pmshelf::transport
