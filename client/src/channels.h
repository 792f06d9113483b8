// The data connections of one client: which path, made when needed, made again when lost.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "client/src/dialer.h"
#include "client/src/lifeline.h"
#include "client/src/session.h"
#include "common/transport/channel.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

using ChannelPtr = std::shared_ptr<transport::Channel>;

// Held while library code runs inside a completion of a channel. There nothing may block, and no
// channel may be destroyed.
class InCompletion {
 public:
  InCompletion();
  InCompletion(const InCompletion&) = delete;
  InCompletion& operator=(const InCompletion&) = delete;
  ~InCompletion();
  static bool active();

 private:
  bool outer_;
};

// Channels whose last user was a completion, kept for a thread that may destroy them. Thread-safe.
class ChannelTrash {
 public:
  void add(std::unique_ptr<transport::Channel> channel);
  void empty();

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<transport::Channel>> channels_;
};

// Owner: Core. Thread-safe. At most one connection per path. `get` blocks while it connects,
// holding the path's connecting mutex; users of a connected path are not held up.
//
// kAuto takes the local path where the daemon offers it, the shelf's policy is not kOff and the
// socket is really that daemon's (its proof decides, never a host name); otherwise TCP.
class Channels {
 public:
  using NoticeHandler = std::function<void(wire::NoticeKind, wire::GrantId)>;
  Channels(const ConnectOptions& options, Dialer& dialer, NoticeHandler on_notice);
  ~Channels();

  // A connected channel of that session. kSessionExpired: the daemon does not know the session.
  // kUnsupported: no path that option path, the policy and the daemon all allow. kUnavailable,
  // kDeadlineExceeded, kUnauthenticated: as Dialer.
  Result<ChannelPtr> get(const SessionState& session, SameHostPolicy policy, Time deadline);
  // The same without waiting: null when nothing is connected.
  ChannelPtr get_connected(const SessionState& session, SameHostPolicy policy);

  // kUnsupported when option path can never be had from that daemon.
  Status check(const SessionState& session) const;

  // Fails everything in flight, for good: get refuses from now on. Not from a completion.
  // `keep_local`: the local connection lives on for as long as anybody holds it.
  void close(bool keep_local);
  void empty_trash() { trash_->empty(); }

 private:
  static constexpr size_t kPaths = 2;  // local, tcp: the order of preference
  struct Slot {
    std::timed_mutex connecting;
    ChannelPtr channel;               // under mutex_
    uint64_t generation = 0;          // of the session that `channel` belongs to
    uint64_t foreign_generation = 0;  // session that the socket's daemon did not know
  };

  // Indices into slots_, best first.
  std::vector<size_t> candidates(const SessionState& session, SameHostPolicy policy) const;
  ChannelPtr connected(size_t index, uint64_t generation) const;
  Result<ChannelPtr> connect(size_t index, const SessionState& session, Time deadline);
  Result<DataAddress> address_of(size_t index, const SessionState& session) const;
  Error no_path(const SessionState& session, SameHostPolicy policy) const;
  Result<ChannelPtr> install(size_t index, std::unique_ptr<transport::Channel> made,
                             uint64_t generation);

  const ConnectOptions& options_;
  Dialer& dialer_;
  const NoticeHandler on_notice_;
  const std::shared_ptr<ChannelTrash> trash_ = std::make_shared<ChannelTrash>();
  mutable std::mutex mutex_;
  bool closed_ = false;
  std::array<Slot, kPaths> slots_;
};

}  // namespace pmshelf::client
