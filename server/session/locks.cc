// The registry's advisory locks.
#include <algorithm>

#include "server/session/registry_state.h"

namespace pmshelf::session {

// ---- State, locks' part

void Registry::State::remove_holder(const RegionKey& region, uint64_t lock_id) {
  const auto it = locks.find(region);
  if (it == locks.end()) return;
  std::erase_if(it->second, [lock_id](const LockHolder& holder) { return holder.id == lock_id; });
  if (it->second.empty()) locks.erase(it);
  lock_regions.erase(lock_id);
}

void Registry::State::free_locks(Session& session) {
  for (const auto& [region, lock_id] : session.locks) remove_holder(region, lock_id);
  session.locks.clear();
}

// ---- locks

Result<uint64_t> Registry::lock(const wire::SessionId& session_id, const RegionKey& region,
                                bool exclusive) {
  std::lock_guard guard(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(session_id));
  State::LockHolder* own = nullptr;
  if (const auto it = state_->locks.find(region); it != state_->locks.end()) {
    for (auto& holder : it->second) {
      if (holder.session == session) {
        own = &holder;
      } else if (exclusive || holder.exclusive) {
        return Error(Code::kLocked, std::string("locked ") +
                                        (holder.exclusive ? "exclusively" : "shared") + " by " +
                                        holder.session->principal.name + " (" +
                                        holder.session->client_name + ")");
      }
    }
  }
  if (own != nullptr) {
    own->exclusive = exclusive;
    return own->id;
  }
  if (session->locks.size() >= state_->limits.locks_per_session_max) {
    return Error(Code::kResourceExhausted,
                 "limit locks_per_session_max (" +
                     std::to_string(state_->limits.locks_per_session_max) + ") reached");
  }
  const uint64_t lock_id = ++state_->last_lock_id;
  state_->locks[region].push_back({session, lock_id, exclusive});
  state_->lock_regions.emplace(lock_id, region);
  session->locks.emplace(region, lock_id);
  return lock_id;
}

Status Registry::unlock(const wire::SessionId& session_id, uint64_t lock_id) {
  std::lock_guard guard(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(session_id));
  const auto it = state_->lock_regions.find(lock_id);
  if (it == state_->lock_regions.end()) {
    return Error(Code::kNotFound, "no such lock of this session");
  }
  const RegionKey region = it->second;
  const auto own = session->locks.find(region);
  if (own == session->locks.end() || own->second != lock_id) {
    return Error(Code::kNotFound, "no such lock of this session");
  }
  session->locks.erase(own);
  state_->remove_holder(region, lock_id);
  return {};
}

uint32_t Registry::locks_on(const RegionKey& region) const {
  std::lock_guard guard(state_->mutex);
  const auto it = state_->locks.find(region);
  return it == state_->locks.end() ? 0 : static_cast<uint32_t>(it->second.size());
}

}  // namespace pmshelf::session
