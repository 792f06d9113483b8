#include "server/control/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

namespace pmshelf::control {
namespace {

constexpr int kBacklog = 512;
constexpr int kAcceptsPerTurn = 64;      // then the other listeners have theirs
constexpr int kOutOfFilesPauseMs = 100;  // EMFILE and the like
constexpr auto kCountAgain = std::chrono::milliseconds(10);

// A connection that gRPC closes by itself, some time: the number alone may be another's by then.
struct Tracked {
  int fd = -1;
  uint64_t cookie = 0;
};

uint64_t cookie_of(int fd) {
  uint64_t cookie = 0;
  socklen_t bytes = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes) == 0 ? cookie : 0;
}

Error failed(const ListenSpec& spec, const std::string& address, int error_number) {
  Code code = Code::kIo;
  if (error_number == EADDRINUSE) code = Code::kBusy;
  if (error_number == EACCES || error_number == EPERM) code = Code::kPermissionDenied;
  return Error(
      code, spec.setting + ": cannot listen on '" + address + "': " + std::strerror(error_number));
}

// Makes room for a Unix socket: only a socket that nobody listens on is removed.
Status clear_path(const ListenSpec& spec, const ListenAddress& address) {
  const std::string& path = address.unix_path;
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return Error(Code::kInvalidArgument,
                 spec.setting + ": '" + path + "' exists and is not a socket: remove it");
  }
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe) return failed(spec, address.text, errno);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.address), address.bytes) ==
          0 ||
      errno != ECONNREFUSED) {
    return failed(spec, address.text, EADDRINUSE);
  }
  if (::unlink(path.c_str()) != 0) return failed(spec, address.text, errno);
  return {};
}

Result<UniqueFd> bind_and_listen(const ListenSpec& spec, const ListenAddress& address) {
  const int family = address.address.ss_family;
  if (family == AF_UNIX) PMSHELF_TRY(clear_path(spec, address));
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed(spec, address.text, errno);
  const int on = 1, off = 0;
  if (family != AF_UNIX) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  // Before bind: the socket file never has a wider mode than it is to have.
  if (family == AF_UNIX) ::fchmod(fd.get(), spec.unix_mode);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.address), address.bytes) != 0) {
    return failed(spec, address.text, errno);
  }
  if (family == AF_UNIX && ::chmod(address.unix_path.c_str(), spec.unix_mode) != 0) {
    return failed(spec, address.text, errno);
  }
  if (::listen(fd.get(), kBacklog) != 0) return failed(spec, address.text, errno);
  return fd;
}

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return 0;
  in_port_t port = 0;  // at the same place in both families
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  std::memcpy(&port, reinterpret_cast<const char*>(&address) + offsetof(sockaddr_in, sin_port),
              sizeof port);
  return ntohs(port);
}

}  // namespace

struct Acceptor::Thread {
  std::thread thread;
};

struct Acceptor::Listener {
  UniqueFd fd;
  std::string text;
  std::string unix_path;
  uint64_t inode = 0;  // of the Unix socket's file
  Take take;
  std::vector<Tracked> open;
  std::chrono::steady_clock::time_point counted{};

  // Room for one more? Looks at what is still open only when the limit seems reached.
  bool has_room(uint32_t connections_max) {
    if (open.size() < connections_max) return true;
    const auto now = std::chrono::steady_clock::now();
    if (now - counted < kCountAgain) return false;
    counted = now;
    std::erase_if(open, [](const Tracked& one) { return cookie_of(one.fd) != one.cookie; });
    return open.size() < connections_max;
  }

  void remove_path() const {
    struct stat info{};
    if (unix_path.empty() || ::lstat(unix_path.c_str(), &info) != 0) return;
    if (S_ISSOCK(info.st_mode) && info.st_ino == inode) ::unlink(unix_path.c_str());
  }
};

Acceptor::Acceptor(uint32_t connections_max) : connections_max_(connections_max) {}
Acceptor::~Acceptor() { stop(); }

Status Acceptor::listen(const ListenSpec& spec, Take take) {
  PMSHELF_TRY_ASSIGN(const ListenAddress address, parse_listen(spec));
  auto listener = std::make_unique<Listener>();
  PMSHELF_TRY_ASSIGN(listener->fd, bind_and_listen(spec, address));
  listener->text = address.text;
  listener->unix_path = address.unix_path;
  listener->take = std::move(take);
  if (address.unix_path.empty()) {
    listener->text.resize(listener->text.rfind(':') + 1);
    listener->text += std::to_string(bound_port(listener->fd.get()));
  }
  struct stat info{};
  if (::lstat(listener->unix_path.c_str(), &info) == 0) listener->inode = info.st_ino;
  listeners_.push_back(std::move(listener));
  return {};
}

Status Acceptor::start() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return Error(Code::kIo, std::string("eventfd: ") + std::strerror(errno));
  try {
    thread_ = std::make_unique<Thread>(Thread{std::thread([this] { run(); })});
  } catch (const std::system_error& error) {
    return Error(Code::kIo, std::string("no thread for accepting connections: ") + error.what());
  }
  return {};
}

void Acceptor::stop() {
  if (thread_ != nullptr) {
    const uint64_t one = 1;
    while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) continue;
    thread_->thread.join();
    thread_.reset();
  }
  for (const auto& listener : listeners_) listener->remove_path();
  listeners_.clear();
}

std::vector<std::string> Acceptor::addresses() const {
  std::vector<std::string> texts;
  for (const auto& listener : listeners_) texts.push_back(listener->text);
  return texts;
}

void Acceptor::run() {
  std::vector<pollfd> waits;
  for (const auto& listener : listeners_) waits.push_back({listener->fd.get(), POLLIN, 0});
  waits.push_back({wake_.get(), POLLIN, 0});
  for (;;) {
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;  // EINTR
    if (waits.back().revents != 0) return;
    for (size_t index = 0; index < listeners_.size(); ++index) {
      if (waits[index].revents != 0) accept_from(*listeners_[index]);
    }
  }
}

void Acceptor::accept_from(Listener& listener) {
  for (int count = 0; count < kAcceptsPerTurn; ++count) {
    UniqueFd connection(
        ::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      // Descriptors or memory are short. What waits in the backlog is taken when there are some.
      pollfd wait{wake_.get(), POLLIN, 0};
      (void)::poll(&wait, 1, kOutOfFilesPauseMs);
      return;
    }
    if (!listener.has_room(connections_max_)) continue;  // closed at once
    const int on = 1;
    (void)::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listener.open.push_back({connection.get(), cookie_of(connection.get())});
    listener.take(std::move(connection));
  }
}

}  // namespace pmshelf::control
