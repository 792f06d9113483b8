// The part of a data connection that other threads reach, and the table of all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/transport/stream_server.h"
#include "pmshelf/result.h"
#include "server/session/registry.h"

namespace pmshelf::dataplane {

// Shared by the connection and the table. Any thread.
//
// When its session ends the connection is closed, unless its client holds mappings: those keep
// their bytes from being reused, and only the end of the connection (or Unmap) proves that they are
// gone. Such a connection stays open, allows nothing but Unmap, and is closed after the last one.
class ConnectionLink {
 public:
  explicit ConnectionLink(std::shared_ptr<transport::ConnectionControl> control)
      : control_(std::move(control)) {}

  bool session_over() const { return session_over_.load(std::memory_order_acquire); }
  void end_session();
  // kSessionExpired: nothing may be mapped any more. True when the grant was not mapped before.
  Result<bool> add_mapping(wire::GrantId grant);
  void drop_mapping(wire::GrantId grant);
  // All that were left, for the end of the connection.
  std::vector<wire::GrantId> take_mappings();
  void notify(wire::NoticeKind kind, wire::GrantId grant) { control_->notify(kind, grant); }

 private:
  using GrantKey = std::pair<uint64_t, uint64_t>;

  const std::shared_ptr<transport::ConnectionControl> control_;
  std::atomic<bool> session_over_{false};
  std::mutex mutex_;
  std::set<GrantKey> mapped_;  // at most grants_per_session_max
};

// Which connections belong to which session. Owner: DataPlane. Any thread; nothing is called under
// its lock.
class ConnectionTable {
 public:
  explicit ConnectionTable(session::Registry& registry) : registry_(registry) {}

  // kSessionExpired, kResourceExhausted (paths of the session): then it is not in the table.
  Status add(const wire::SessionId& session, std::string_view path,
             const std::shared_ptr<ConnectionLink>& link);
  void remove(const wire::SessionId& session, std::string_view path,
              const std::shared_ptr<ConnectionLink>& link);
  void notify_all(wire::NoticeKind kind);

 private:
  void session_ended(const wire::SessionId& session);

  session::Registry& registry_;
  std::mutex mutex_;
  // A session stays in the table until it ends, because its hook cannot be taken back.
  std::map<wire::SessionId, std::set<std::shared_ptr<ConnectionLink>>> sessions_;
};

}  // namespace pmshelf::dataplane
