#include "common/transport/stream/stream_listener.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>

#include "common/base/check.h"
#include "common/transport/stream/connection.h"
#include "common/transport/stream/socket.h"
#include "common/transport/stream/tcp_options.h"

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;

constexpr auto kAcceptPause = milliseconds(100);
// Accepts in a row before the thread's connections get their turn.
constexpr int kAcceptsInARowMax = 64;
// After stop() cut everything, connections only wait for their thread to get to them.
constexpr auto kCutWaitMax = std::chrono::seconds(10);

}  // namespace

// Accepting runs on the pool's first thread; the table of connections is locked.
class StreamListener::Impl : public std::enable_shared_from_this<StreamListener::Impl> {
 public:
  Impl(std::vector<asio::io_context*> pool, ListenOptions options, HandlerFactory factory,
       UniqueFd fd)
      : pool_(std::move(pool)),
        options_(std::move(options)),
        factory_(std::move(factory)),
        port_(bound_port(fd.get())),
        fd_(std::move(fd)),
        acceptor_(*pool_.front()),
        pause_(*pool_.front()) {}

  ~Impl() {
    if (acceptor_.is_open()) acceptor_.release();
  }

  Status start() {
    asio::error_code error;
    acceptor_.assign(fd_.get(), error);
    if (error) return Error(Code::kIo, "cannot wait for connections: " + error.message());
    asio::post(*pool_.front(), [self = shared_from_this()] { self->wait_accept(); });
    return {};
  }

  uint16_t port() const { return port_; }
  uint32_t connection_count() const {
    const std::lock_guard lock(mutex_);
    return static_cast<uint32_t>(connections_.size());
  }
  void stop(uint64_t deadline_ms);

 private:
  void wait_accept();
  void on_acceptable();
  void pause_accepting(int error);
  void take(UniqueFd fd);
  Result<std::unique_ptr<ByteStream>> make_stream(UniqueFd fd, bool local, PeerInfo& peer) const;
  void forget(const StreamConnection* connection);
  template <class Action>
  void for_each_connection(Action action);

  const std::vector<asio::io_context*> pool_;
  const ListenOptions options_;
  const HandlerFactory factory_;
  const uint16_t port_;
  UniqueFd fd_;
  asio::posix::stream_descriptor acceptor_;  // readiness of fd_; does not own it
  asio::steady_timer pause_;
  size_t next_ = 0;
  bool accept_failing_ = false, full_ = false;  // said so in the log

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<const StreamConnection*, std::weak_ptr<StreamConnection>> connections_;
  bool stopping_ = false, accepting_ = true;
};

void StreamListener::Impl::wait_accept() {
  acceptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const asio::error_code& error) {
                         if (!error) self->on_acceptable();
                       });
}

void StreamListener::Impl::on_acceptable() {
  for (int i = 0; i < kAcceptsInARowMax; ++i) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      accept_failing_ = false;
      take(std::move(fd));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
    return pause_accepting(errno);
  }
  wait_accept();
}

// Out of descriptors or memory: the connection stays in the kernel's queue meanwhile.
void StreamListener::Impl::pause_accepting(int error) {
  if (!accept_failing_) {
    spdlog::error("accepting pauses: {} (raise LimitNOFILE, or lower the number of connections)",
                  std::strerror(error));
  }
  accept_failing_ = true;
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([self = shared_from_this()](const asio::error_code& code) {
    if (!code) self->on_acceptable();
  });
}

void StreamListener::Impl::take(UniqueFd fd) {
  const bool local = !options_.unix_path.empty();
  if (!local) set_tcp_options(fd.get());
  ConnectionParts parts;
  parts.peer = peer_of(fd.get(), local);
  parts.limits = options_.limits;
  parts.factory = factory_;
  auto stream = make_stream(std::move(fd), local, parts.peer);
  if (!stream.ok()) {
    spdlog::error("connection from {} refused: {}", parts.peer.address, stream.error().to_string());
    return;
  }
  parts.stream = *std::move(stream);

  asio::io_context& io = *pool_[next_++ % pool_.size()];
  auto where = std::make_shared<const StreamConnection*>(nullptr);
  parts.on_closed = [self = shared_from_this(), where] { self->forget(*where); };
  auto connection = std::make_shared<StreamConnection>(io, std::move(parts));
  *where = connection.get();
  {
    const std::lock_guard lock(mutex_);
    const bool full = connections_.size() >= options_.limits.connections_max;
    if (full && !full_) {
      spdlog::warn("connections_max ({}) reached: further connections are closed",
                   options_.limits.connections_max);
    }
    full_ = full;
    if (full || stopping_) return;
    connections_.emplace(connection.get(), connection);
  }
  connection->start();
}

Result<std::unique_ptr<ByteStream>> StreamListener::Impl::make_stream(UniqueFd fd, bool local,
                                                                      PeerInfo& peer) const {
  if (local || !options_.tls_context) return make_plain_stream(std::move(fd), false);
  const auto context = options_.tls_context();
  if (context == nullptr) return Error(Code::kUnavailable, "no TLS certificate is loaded");
  UniqueSsl ssl(SSL_new(context->native_handle()));  // holds its own reference to the context
  if (ssl == nullptr) return Error(Code::kResourceExhausted, "out of memory for TLS");
  SSL_set_accept_state(ssl.get());
  peer.encrypted = true;
  return make_tls_stream(std::move(fd), std::move(ssl));
}

void StreamListener::Impl::forget(const StreamConnection* connection) {
  const std::lock_guard lock(mutex_);
  connections_.erase(connection);
  changed_.notify_all();
}

// Acts without the lock: what is done to a connection may post, and posting may allocate.
template <class Action>
void StreamListener::Impl::for_each_connection(Action action) {
  std::vector<std::shared_ptr<StreamConnection>> connections;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, weak] : connections_) {
      if (auto connection = weak.lock()) connections.push_back(std::move(connection));
    }
  }
  for (const auto& connection : connections) action(*connection);
}

void StreamListener::Impl::stop(uint64_t deadline_ms) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  asio::post(*pool_.front(), [self = shared_from_this()] {
    self->pause_.cancel();
    self->acceptor_.release();
    self->fd_.reset();
    const std::lock_guard lock(self->mutex_);
    self->accepting_ = false;
    self->changed_.notify_all();
  });
  if (!options_.unix_path.empty()) ::unlink(options_.unix_path.c_str());
  for_each_connection([](StreamConnection& connection) { connection.drain(); });
  const auto gone = [this] { return connections_.empty() && !accepting_; };
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, milliseconds(deadline_ms), gone)) return;
  lock.unlock();
  for_each_connection([](StreamConnection& connection) { connection.cut("the daemon ends"); });
  lock.lock();
  if (!changed_.wait_for(lock, kCutWaitMax, gone)) {
    spdlog::error("{} data connections did not end: their thread does not run",
                  connections_.size());
  }
}

StreamListener::StreamListener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamListener::~StreamListener() { stop(0); }

Result<std::unique_ptr<StreamListener>> StreamListener::open(std::vector<asio::io_context*> pool,
                                                             ListenOptions options,
                                                             HandlerFactory factory) {
  PMSHELF_CHECK(!pool.empty());
  PMSHELF_TRY_ASSIGN(UniqueFd fd, listen_on(options));
  auto impl = std::make_shared<Impl>(std::move(pool), std::move(options), std::move(factory),
                                     std::move(fd));
  PMSHELF_TRY(impl->start());
  return std::unique_ptr<StreamListener>(new StreamListener(std::move(impl)));
}

uint16_t StreamListener::port() const { return impl_->port(); }
uint32_t StreamListener::connection_count() const { return impl_->connection_count(); }
void StreamListener::stop(uint64_t deadline_ms) { impl_->stop(deadline_ms); }

}  // namespace pmshelf::transport
