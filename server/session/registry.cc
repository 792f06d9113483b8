#include "server/session/registry.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "server/session/registry_state.h"

namespace pmshelf::session {

namespace {

void cut(std::string& text) {
  if (text.size() > kClientNameBytesMax) text.resize(kClientNameBytesMax);
}

Error limit_reached(std::string_view limit, uint64_t value) {
  return Error(Code::kResourceExhausted,
               "limit " + std::string(limit) + " (" + std::to_string(value) + ") reached");
}

std::shared_ptr<Session> make_session(const Principal& principal, std::string client_name,
                                      std::string peer, uint64_t now_ms) {
  auto session = std::make_shared<Session>();
  // The ticket begins with the session's public id, so that look-up needs no secret.
  wire::fill_random(session->ticket);
  std::copy_n(session->ticket.begin(), session->id.size(), session->id.begin());
  wire::fill_random(session->data_secret);
  cut(client_name);
  cut(peer);
  session->principal = principal;
  session->client_name = std::move(client_name);
  session->peer = std::move(peer);
  session->opened_ms = now_ms;
  session->alive_ms = now_ms;
  return session;
}

}  // namespace

Registry::Registry(const RegistryLimits& limits, const Clock& clock)
    : state_(std::make_shared<State>(limits, clock)) {}

Registry::~Registry() {
  // Accesses may live on; they find the state gone. What the tables hold ends with them.
}

// ---- State, sessions' part

Result<std::shared_ptr<Session>> Registry::State::find_session(const wire::SessionId& id) const {
  const auto it = sessions.find(id);
  if (it == sessions.end() || it->second->silent_for(limits.session_timeout_ms, clock.boot_ms())) {
    return Error(Code::kSessionExpired, "no such session, or it has ended: open a new one");
  }
  return it->second;
}

void Registry::State::renew(Session& session, std::vector<GrantPtr>& idle) {
  const uint64_t now_ms = clock.boot_ms();
  // Before the renewal: begin_access reads alive_ms first, so whoever sees the new value also
  // sees the revocations.
  if (lease_over(session, now_ms)) revoke_grants(session, true, idle);
  raise_to(session.alive_ms, now_ms);
}

// ---- sessions

Result<OpenedSession> Registry::open(const Principal& principal, std::string client_name,
                                     std::string peer) {
  auto session =
      make_session(principal, std::move(client_name), std::move(peer), state_->clock.boot_ms());
  std::lock_guard lock(state_->mutex);
  if (state_->sessions.size() >= state_->limits.sessions_max) {
    return limit_reached("sessions_max", state_->limits.sessions_max);
  }
  OpenedSession opened{session->id, session->ticket, session->data_secret};
  state_->sessions.emplace(session->id, std::move(session));
  return opened;
}

Result<wire::SessionId> Registry::authenticate(const Ticket& ticket) {
  wire::SessionId id;
  std::copy_n(ticket.begin(), id.size(), id.begin());
  std::vector<GrantPtr> idle;
  {
    std::lock_guard lock(state_->mutex);
    PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
    if (!wire::equal_constant_time(session->ticket, ticket)) {
      return Error(Code::kSessionExpired, "no such session, or it has ended: open a new one");
    }
    state_->renew(*session, idle);
  }
  state_->drain_all(idle);
  return id;
}

Result<Principal> Registry::principal(const wire::SessionId& id) const {
  std::lock_guard lock(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
  return session->principal;
}

Result<wire::Secret> Registry::data_secret(const wire::SessionId& id) const {
  std::lock_guard lock(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
  return session->data_secret;
}

Result<std::vector<wire::GrantId>> Registry::keep_alive(const wire::SessionId& id) {
  std::vector<GrantPtr> idle;
  std::vector<wire::GrantId> lost;
  {
    std::lock_guard lock(state_->mutex);
    PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
    state_->renew(*session, idle);
    lost.swap(session->lost);
  }
  state_->drain_all(idle);
  return lost;
}

void Registry::touch(const wire::SessionId& id) {
  std::vector<GrantPtr> idle;
  {
    std::lock_guard lock(state_->mutex);
    auto session = state_->find_session(id);
    if (!session.ok()) return;
    state_->renew(**session, idle);
  }
  state_->drain_all(idle);
}

void Registry::close(const wire::SessionId& id, std::string_view reason) {
  std::shared_ptr<Session> session;
  std::vector<GrantPtr> idle;
  std::vector<std::function<void()>> hooks;
  {
    std::lock_guard lock(state_->mutex);
    const auto it = state_->sessions.find(id);
    if (it == state_->sessions.end()) return;
    session = it->second;
    state_->sessions.erase(it);
    state_->revoke_grants(*session, false, idle);
    state_->free_locks(*session);
    hooks.swap(session->hooks);
  }
  state_->drain_all(idle);
  for (const auto& hook : hooks) hook();
  spdlog::info("session of {} ({}, {}) ended: {}", session->principal.name, session->client_name,
               session->peer, reason);
}

void Registry::sweep() {
  std::vector<wire::SessionId> ended;
  std::vector<GrantPtr> idle;
  {
    std::lock_guard lock(state_->mutex);
    const uint64_t now_ms = state_->clock.boot_ms();
    for (const auto& [id, session] : state_->sessions) {
      if (session->silent_for(state_->limits.session_timeout_ms, now_ms)) {
        ended.push_back(id);
      } else if (state_->lease_over(*session, now_ms)) {
        state_->revoke_grants(*session, true, idle);
      }
    }
  }
  state_->drain_all(idle);
  for (const auto& id : ended) {
    close(id, "no sign of life for " + std::to_string(state_->limits.session_timeout_ms) + " ms");
  }
}

Status Registry::on_end(const wire::SessionId& id, std::function<void()> hook) {
  std::lock_guard lock(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
  if (session->hooks.size() >= kSessionHooksMax) {
    return limit_reached("kSessionHooksMax", kSessionHooksMax);
  }
  session->hooks.push_back(std::move(hook));
  return {};
}

std::vector<SessionView> Registry::list() const {
  std::lock_guard lock(state_->mutex);
  const uint64_t now_ms = state_->clock.boot_ms();
  std::vector<SessionView> views;
  views.reserve(state_->sessions.size());
  for (const auto& [id, session] : state_->sessions) {
    SessionView& view = views.emplace_back();
    const uint64_t alive_ms = session->alive_ms.load();
    view.id = id;
    view.principal = session->principal;
    view.client_name = session->client_name;
    view.peer = session->peer;
    view.idle_ms = now_ms > alive_ms ? now_ms - alive_ms : 0;
    view.age_ms = now_ms - session->opened_ms;
    view.grants = static_cast<uint32_t>(session->grants.size());
    view.locks = static_cast<uint32_t>(session->locks.size());
    view.paths = session->paths;
  }
  return views;
}

Status Registry::add_path(const wire::SessionId& id, std::string path) {
  std::lock_guard lock(state_->mutex);
  PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(id));
  if (session->paths.size() >= kSessionPathsMax) {
    return limit_reached("kSessionPathsMax", kSessionPathsMax);
  }
  session->paths.push_back(std::move(path));
  return {};
}

void Registry::remove_path(const wire::SessionId& id, std::string_view path) {
  std::lock_guard lock(state_->mutex);
  const auto it = state_->sessions.find(id);
  if (it == state_->sessions.end()) return;
  auto& paths = it->second->paths;
  const auto at = std::find(paths.begin(), paths.end(), path);
  if (at != paths.end()) paths.erase(at);
}

Registry::Counts Registry::counts() const {
  std::lock_guard lock(state_->mutex);
  return {state_->sessions.size(), state_->by_region.size(), state_->lock_regions.size()};
}

uint64_t Registry::lease_ms() const { return state_->limits.lease_ms; }

}  // namespace pmshelf::session
