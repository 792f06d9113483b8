#include "server/control/staging.h"

#include <utility>

namespace pmshelf::control {

void Staging::Table::drop(const wire::SessionId& session) {
  Entries entries;
  {
    std::lock_guard lock(mutex);
    const auto at = sessions.find(session);
    if (at == sessions.end()) return;
    entries = std::move(at->second);
    sessions.erase(at);
  }
  for (const auto& [grant, entry] : entries) entry.shelf->release(entry.staged);
}

Status Staging::add(const wire::SessionId& session, const wire::GrantId& grant, StagedEntry entry) {
  bool first = false;
  {
    std::lock_guard lock(table_->mutex);
    const auto [at, fresh] = table_->sessions.try_emplace(session);
    at->second.emplace(Key{grant.high, grant.low}, std::move(entry));
    first = fresh;
  }
  if (!first) return {};
  // Entered before the hook is set: a session that ends at once is dropped here.
  Status hooked = registry_.on_end(session, [table = table_, session] { table->drop(session); });
  if (!hooked.ok()) table_->drop(session);
  return hooked;
}

Result<StagedEntry> Staging::take(const wire::SessionId& session, const wire::GrantId& grant) {
  std::lock_guard lock(table_->mutex);
  if (const auto at = table_->sessions.find(session); at != table_->sessions.end()) {
    const auto found = at->second.find({grant.high, grant.low});
    if (found != at->second.end()) {
      StagedEntry entry = std::move(found->second);
      at->second.erase(found);
      return entry;
    }
  }
  return Error(Code::kStaleGrant, "staged_grant_id: this session has no such staged region");
}

}  // namespace pmshelf::control
