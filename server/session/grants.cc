// The registry's grants: begin_access, revocation, mappings.
#include <algorithm>
#include <chrono>

#include "absl/hash/hash.h"
#include "common/base/check.h"
#include "common/base/units.h"
#include "server/session/registry_state.h"

namespace pmshelf::session {

namespace {

Error stale_grant() {
  return Error(Code::kStaleGrant,
               "the grant is unknown, revoked, or its lease is over: open the region again");
}

Error held_by(const Grant& grant) {
  const uint64_t running = grant.uses() - (grant.mapped ? 1 : 0);
  std::string how = grant.mapped ? "mapped" : "";
  if (running != 0) {
    how += (how.empty() ? "" : ", ") + std::to_string(running) + " operations running";
  }
  return Error(Code::kBusy, "still in use by " + grant.session->principal.name + " (" +
                                grant.session->client_name + "): " + how);
}

wire::GrantId random_grant_id() {
  std::array<std::byte, 16> bytes;
  wire::fill_random(bytes);
  return {load_le<uint64_t>(bytes.data()), load_le<uint64_t>(bytes.data() + 8)};
}

}  // namespace

// ---- Access, Grant

Access::~Access() {
  if (grant_ != nullptr) Grant::end_use(std::move(grant_));
}

Access& Access::operator=(Access&& other) noexcept {
  if (this != &other) {
    if (grant_ != nullptr) Grant::end_use(std::move(grant_));
    grant_ = std::move(other.grant_);
    region_ = other.region_;
  }
  return *this;
}

const std::shared_ptr<void>& Access::resource() const { return grant_->resource(); }

bool Grant::begin_use() {
  uint64_t seen = use_.load();
  while ((seen & kRevoked) == 0) {
    if (use_.compare_exchange_weak(seen, seen + 1)) return true;
  }
  return false;
}

void Grant::end_use(std::shared_ptr<Grant> grant) {
  if (grant->use_.fetch_sub(1) != (kRevoked | 1)) return;
  if (const auto registry = grant->registry_.lock(); registry != nullptr) registry->drain(grant);
}

bool Grant::revoke(bool* first) {
  const uint64_t before = use_.fetch_or(kRevoked);
  if (first != nullptr) *first = (before & kRevoked) == 0;
  return before == 0;
}

// ---- State, grants' part

std::atomic<uint64_t>& Registry::State::fence(const RegionKey& region) {
  return fences[absl::HashOf(region.shelf, region.region, region.staged) % kFences];
}

GrantPtr Registry::State::find_grant(const wire::SessionId& session, wire::GrantId id) {
  Shard& home = shard(id);
  std::lock_guard lock(home.mutex);
  const auto it = home.grants.find(id);
  if (it == home.grants.end() || it->second->session->id != session) return nullptr;
  return it->second;
}

void Registry::State::revoke_grant(const GrantPtr& grant, bool tell, std::vector<GrantPtr>& idle) {
  bool first = false;
  if (grant->revoke(&first)) idle.push_back(grant);
  auto& lost = grant->session->lost;
  if (first && tell && lost.size() < limits.grants_per_session_max) lost.push_back(grant->id);
}

void Registry::State::revoke_grants(Session& session, bool tell, std::vector<GrantPtr>& idle) {
  for (const auto& id : session.grants) {
    if (GrantPtr grant = find_grant(session.id, id); grant != nullptr) {
      revoke_grant(grant, tell, idle);
    }
  }
}

void Registry::State::drain(const GrantPtr& grant) {
  PMSHELF_CHECK(grant->revoked() && grant->uses() == 0);
  grant->drop_resource();  // before anybody who waits for it hears of it
  std::function<void()> ask_back;
  {
    std::lock_guard lock(mutex);
    ask_back.swap(grant->ask_back);
    by_region.erase({grant->region, grant->id.high, grant->id.low});
    grant->session->grants.erase(grant->id);
    Shard& home = shard(grant->id);
    std::lock_guard shard_lock(home.mutex);
    home.grants.erase(grant->id);
    grant->gone = true;
  }
  grant_gone.notify_all();
}

void Registry::State::drain_all(const std::vector<GrantPtr>& idle) {
  for (const auto& grant : idle) drain(grant);
}

Status Registry::State::revoke_between(const RegionGrant& first, const RegionGrant& end,
                                       uint64_t deadline_ms) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(deadline_ms, kRevokeWaitMsMax));
  std::vector<GrantPtr> idle, waiting;
  std::vector<std::function<void()>> ask_back;
  {
    std::lock_guard lock(mutex);
    fence(first.region).fetch_add(1);
    for (auto it = by_region.lower_bound(first); it != by_region.end() && it->first < end; ++it) {
      fence(it->first.region).fetch_add(1);
      revoke_grant(it->second, true, idle);
      waiting.push_back(it->second);
      if (it->second->mapped && it->second->ask_back) ask_back.push_back(it->second->ask_back);
    }
  }
  drain_all(idle);
  for (const auto& ask : ask_back) ask();

  std::unique_lock lock(mutex);
  const bool all_gone = grant_gone.wait_until(lock, deadline, [&waiting] {
    while (!waiting.empty() && waiting.back()->gone) waiting.pop_back();
    return waiting.empty();
  });
  if (!all_gone) return held_by(*waiting.back());
  return {};
}

// ---- grants

Result<wire::GrantId> Registry::grant(const wire::SessionId& session_id, GrantSpec spec) {
  const wire::GrantId id = random_grant_id();
  std::vector<GrantPtr> idle;
  {
    std::lock_guard lock(state_->mutex);
    PMSHELF_TRY_ASSIGN(const auto session, state_->find_session(session_id));
    if (session->grants.size() >= state_->limits.grants_per_session_max) {
      return Error(Code::kResourceExhausted,
                   "limit grants_per_session_max (" +
                       std::to_string(state_->limits.grants_per_session_max) +
                       ") reached: release some, or unmap those that were released");
    }
    state_->renew(*session, idle);
    const RegionKey region = spec.region;
    auto made = std::make_shared<Grant>(id, session, std::move(spec), state_->weak_from_this());
    session->grants.insert(id);
    state_->by_region.emplace(State::RegionGrant{region, id.high, id.low}, made);
    State::Shard& home = state_->shard(id);
    std::lock_guard shard_lock(home.mutex);
    home.grants.emplace(id, std::move(made));
  }
  state_->drain_all(idle);
  return id;
}

Result<Access> Registry::begin_access(const wire::SessionId& session, wire::GrantId grant,
                                      uint8_t right, uint64_t offset, uint64_t bytes) {
  GrantPtr found;
  RegionKey region;
  {
    State::Shard& home = state_->shard(grant);
    std::lock_guard lock(home.mutex);
    const auto it = home.grants.find(grant);
    if (it == home.grants.end()) return stale_grant();
    found = it->second;
    region = found->region;
  }
  const Grant& in_use = *found;
  Session& owner = *found->session;
  const uint64_t now_ms = state_->clock.boot_ms();
  if (owner.id != session || state_->lease_over(owner, now_ms) || !found->begin_use()) {
    return stale_grant();
  }
  Access access(std::move(found), region);
  raise_to(owner.alive_ms, now_ms);
  if ((in_use.rights & right) != right) {
    return Error(Code::kPermissionDenied, "the grant does not include that right");
  }
  if (!range_inside(offset, bytes, in_use.bytes)) {
    return Error(Code::kOutOfRange, "offset " + std::to_string(offset) + " + length " +
                                        std::to_string(bytes) + " is beyond the region's " +
                                        std::to_string(in_use.bytes) + " bytes");
  }
  return access;
}

void Registry::release(const wire::SessionId& session, wire::GrantId grant) {
  const GrantPtr found = state_->find_grant(session, grant);
  if (found != nullptr && found->revoke()) state_->drain(found);
}

Status Registry::set_mapped(const wire::SessionId& session, wire::GrantId grant,
                            std::function<void()> ask_back) {
  const GrantPtr found = state_->find_grant(session, grant);
  if (found == nullptr || state_->lease_over(*found->session, state_->clock.boot_ms())) {
    return stale_grant();
  }
  std::function<void()> previous;  // destroyed without the lock
  std::lock_guard lock(state_->mutex);
  if (found->revoked() || (!found->mapped && !found->begin_use())) return stale_grant();
  found->mapped = true;
  previous.swap(found->ask_back);
  found->ask_back = std::move(ask_back);
  return {};
}

void Registry::unmapped(const wire::SessionId& session, wire::GrantId grant) {
  GrantPtr found = state_->find_grant(session, grant);
  if (found == nullptr) return;
  std::function<void()> ask_back;  // destroyed without the lock
  {
    std::lock_guard lock(state_->mutex);
    if (!found->mapped) return;
    found->mapped = false;
    ask_back.swap(found->ask_back);
  }
  Grant::end_use(std::move(found));
}

Status Registry::revoke(const RegionKey& region, uint64_t deadline_ms) {
  return state_->revoke_between({region, 0, 0}, {region, UINT64_MAX, UINT64_MAX}, deadline_ms);
}

Status Registry::revoke_shelf(uint64_t shelf_key, uint64_t deadline_ms) {
  return state_->revoke_between({{shelf_key, 0, false}, 0, 0}, {{shelf_key + 1, 0, false}, 0, 0},
                                deadline_ms);
}

uint32_t Registry::grants_on(const RegionKey& region) const {
  std::lock_guard lock(state_->mutex);
  const auto first = state_->by_region.lower_bound({region, 0, 0});
  const auto end = state_->by_region.upper_bound({region, UINT64_MAX, UINT64_MAX});
  return static_cast<uint32_t>(std::distance(first, end));
}

uint64_t Registry::fence(const RegionKey& region) const { return state_->fence(region).load(); }

void Registry::rekey(const RegionKey& from, const RegionKey& to) {
  std::lock_guard lock(state_->mutex);
  std::vector<GrantPtr> moved;
  const auto first = state_->by_region.lower_bound({from, 0, 0});
  const auto end = state_->by_region.upper_bound({from, UINT64_MAX, UINT64_MAX});
  for (auto it = first; it != end; ++it) moved.push_back(it->second);
  state_->by_region.erase(first, end);
  for (auto& grant : moved) {
    {
      std::lock_guard shard_lock(state_->shard(grant->id).mutex);
      grant->region = to;
    }
    state_->by_region.emplace(State::RegionGrant{to, grant->id.high, grant->id.low}, grant);
  }
}

}  // namespace pmshelf::session
