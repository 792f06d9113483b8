#include "server/dataplane/connection_link.h"

#include "server/dataplane/mutant.h"

namespace pmshelf::dataplane {

void ConnectionLink::end_session() {
  {
    std::lock_guard lock(mutex_);
    session_over_.store(true, std::memory_order_release);
    if (!mapped_.empty() && !mutant(Mutant::kUnmapAtSessionEnd)) return;
  }
  control_->close("its session has ended");
}

Result<bool> ConnectionLink::add_mapping(wire::GrantId grant) {
  std::lock_guard lock(mutex_);
  if (session_over()) return Error(Code::kSessionExpired, "the session has ended");
  return mapped_.emplace(grant.high, grant.low).second;
}

void ConnectionLink::drop_mapping(wire::GrantId grant) {
  {
    std::lock_guard lock(mutex_);
    mapped_.erase({grant.high, grant.low});
    if (!session_over() || !mapped_.empty()) return;
  }
  control_->close("its session has ended and its last mapping is gone");
}

std::vector<wire::GrantId> ConnectionLink::take_mappings() {
  std::lock_guard lock(mutex_);
  std::vector<wire::GrantId> grants;
  for (const auto& [high, low] : mapped_) grants.push_back({high, low});
  mapped_.clear();
  return grants;
}

Status ConnectionTable::add(const wire::SessionId& session, std::string_view path,
                            const std::shared_ptr<ConnectionLink>& link) {
  PMSHELF_TRY(registry_.add_path(session, std::string(path)));
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    auto [links, made] = sessions_.try_emplace(session);
    links->second.insert(link);
    first = made;
  }
  if (!first) return {};
  // After the insertion: a session that ends in between makes this fail.
  Status hooked = registry_.on_end(session, [this, session] { session_ended(session); });
  if (!hooked.ok()) session_ended(session);
  return hooked;
}

void ConnectionTable::remove(const wire::SessionId& session, std::string_view path,
                             const std::shared_ptr<ConnectionLink>& link) {
  registry_.remove_path(session, path);
  std::lock_guard lock(mutex_);
  if (auto links = sessions_.find(session); links != sessions_.end()) links->second.erase(link);
}

void ConnectionTable::notify_all(wire::NoticeKind kind) {
  std::vector<std::shared_ptr<ConnectionLink>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [session, links] : sessions_)
      all.insert(all.end(), links.begin(), links.end());
  }
  for (const auto& link : all) link->notify(kind, {});
}

void ConnectionTable::session_ended(const wire::SessionId& session) {
  std::set<std::shared_ptr<ConnectionLink>> links;
  {
    std::lock_guard lock(mutex_);
    auto found = sessions_.find(session);
    if (found == sessions_.end()) return;
    links.swap(found->second);
    sessions_.erase(found);
  }
  for (const auto& link : links) link->end_session();
}

}  // namespace pmshelf::dataplane
