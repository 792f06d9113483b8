#include "server/control/session_book.h"

namespace pmshelf::control {

void SessionBook::Table::leave(const std::string& principal) {
  const auto count = counts.find(principal);
  if (count != counts.end() && --count->second == 0) counts.erase(count);
}

Result<session::OpenedSession> SessionBook::open(const Identity& identity, std::string client_name,
                                                 std::string peer) {
  const std::string name = identity.principal.name;
  {
    std::lock_guard lock(table_->mutex);
    uint32_t& count = table_->counts[name];
    if (count >= per_principal_max_) {
      return Error(Code::kResourceExhausted, "'" + name + "' has " + std::to_string(count) +
                                                 " sessions, the most: close some");
    }
    ++count;
  }
  auto opened = registry_.open(identity.principal, std::move(client_name), std::move(peer));
  if (!opened.ok()) {
    std::lock_guard lock(table_->mutex);
    table_->leave(name);
    return opened;
  }
  {
    std::lock_guard lock(table_->mutex);
    table_->sessions.emplace(opened->id, identity);
  }
  const auto leave = [table = table_, id = opened->id, name] {
    std::lock_guard lock(table->mutex);
    if (table->sessions.erase(id) != 0) table->leave(name);
  };
  // Entered before the hook is set: a session that ends at once is taken out here.
  if (Status hooked = registry_.on_end(opened->id, leave); !hooked.ok()) {
    leave();
    return std::move(hooked).error();
  }
  return opened;
}

std::optional<Identity> SessionBook::identity(const wire::SessionId& session) const {
  std::lock_guard lock(table_->mutex);
  const auto at = table_->sessions.find(session);
  if (at == table_->sessions.end()) return std::nullopt;
  return at->second;
}

std::vector<std::pair<wire::SessionId, Identity>> SessionBook::with_tokens() const {
  std::lock_guard lock(table_->mutex);
  std::vector<std::pair<wire::SessionId, Identity>> found;
  for (const auto& [session, identity] : table_->sessions) {
    if (!identity.token_name.empty()) found.emplace_back(session, identity);
  }
  return found;
}

}  // namespace pmshelf::control
