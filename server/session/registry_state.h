// Private to the registry: what a session and a grant are made of, and who guards which part.
//
// Lock order: State::mutex, then one shard's mutex. Neither is held while a resource is destroyed
// or a callback runs. An idle revoked grant is taken out by drain(), exactly once: by whoever
// made its use count `revoked and 0`.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/endian.h"
#include "server/session/registry.h"

namespace pmshelf::session {

inline constexpr size_t kShards = 64;
inline constexpr size_t kFences = 4096;

// Both kinds of id are random bits of ours: any part of them is a hash.
struct SessionIdHash {
  size_t operator()(const wire::SessionId& id) const { return load_le<uint64_t>(id.data()); }
};
struct GrantIdHash {
  size_t operator()(const wire::GrantId& id) const { return id.high; }
};

template <class T>
void raise_to(std::atomic<T>& target, T value) {
  T seen = target.load();
  while (seen < value && !target.compare_exchange_weak(seen, value)) {
  }
}

struct Session {
  // Constant after construction.
  wire::SessionId id{};
  Ticket ticket{};
  wire::Secret data_secret{};
  Principal principal;
  std::string client_name, peer;
  uint64_t opened_ms = 0;

  std::atomic<uint64_t> alive_ms{0};  // last sign of life; never falls

  // Guarded by State::mutex.
  absl::flat_hash_set<wire::GrantId, GrantIdHash> grants;  // all that are not gone
  std::vector<wire::GrantId> lost;
  std::vector<std::function<void()>> hooks;
  std::vector<std::string> paths;
  absl::btree_map<RegionKey, uint64_t> locks;  // region -> lock id

  bool silent_for(uint64_t ms, uint64_t now_ms) const {
    const uint64_t alive = alive_ms.load();
    return now_ms >= alive && now_ms - alive >= ms;
  }
};

class Grant {
 public:
  Grant(wire::GrantId grant_id, std::shared_ptr<Session> owner, GrantSpec spec,
        std::weak_ptr<Registry::State> registry)
      : id(grant_id),
        session(std::move(owner)),
        bytes(spec.bytes),
        rights(spec.rights),
        region(spec.region),
        resource_(std::move(spec.resource)),
        registry_(std::move(registry)) {}

  const wire::GrantId id;
  const std::shared_ptr<Session> session;
  const uint64_t bytes;
  const uint8_t rights;

  RegionKey region;  // written under State::mutex and the shard's, read under either

  // Guarded by State::mutex.
  bool mapped = false;
  bool gone = false;
  std::function<void()> ask_back;

  // False when revoked. Each true is ended by one end_use().
  bool begin_use();
  static void end_use(std::shared_ptr<Grant> grant);
  // True when this call revoked it and nothing uses it: the caller drains it.
  // `first` tells whether this call revoked it.
  bool revoke(bool* first = nullptr);
  bool revoked() const { return (use_.load() & kRevoked) != 0; }
  uint64_t uses() const { return use_.load() & ~kRevoked; }

  const std::shared_ptr<void>& resource() const { return resource_; }
  void drop_resource() { std::shared_ptr<void>().swap(resource_); }

 private:
  static constexpr uint64_t kRevoked = uint64_t{1} << 63;

  std::atomic<uint64_t> use_{0};  // kRevoked | count of accesses, plus 1 while mapped
  std::shared_ptr<void> resource_;
  const std::weak_ptr<Registry::State> registry_;
};

using GrantPtr = std::shared_ptr<Grant>;

struct Registry::State : std::enable_shared_from_this<Registry::State> {
  State(const RegistryLimits& registry_limits, const Clock& registry_clock)
      : limits(registry_limits), clock(registry_clock) {}

  struct alignas(64) Shard {
    mutable std::mutex mutex;
    absl::flat_hash_map<wire::GrantId, GrantPtr, GrantIdHash> grants;
  };
  struct RegionGrant {  // ordered by region: a region's and a shelf's grants are neighbours
    RegionKey region;
    uint64_t high = 0, low = 0;
    auto operator<=>(const RegionGrant&) const = default;
  };
  struct LockHolder {
    std::shared_ptr<Session> session;
    uint64_t id = 0;
    bool exclusive = false;
  };

  const RegistryLimits limits;
  const Clock& clock;

  std::array<Shard, kShards> shards;
  std::array<std::atomic<uint64_t>, kFences> fences{};

  mutable std::mutex mutex;
  std::condition_variable grant_gone;
  // Guarded by mutex.
  absl::flat_hash_map<wire::SessionId, std::shared_ptr<Session>, SessionIdHash> sessions;
  absl::btree_map<RegionGrant, GrantPtr> by_region;
  absl::btree_map<RegionKey, std::vector<LockHolder>> locks;
  absl::flat_hash_map<uint64_t, RegionKey> lock_regions;
  uint64_t last_lock_id = 0;

  Shard& shard(wire::GrantId id) { return shards[id.low % kShards]; }
  std::atomic<uint64_t>& fence(const RegionKey& region);
  bool lease_over(const Session& session, uint64_t now_ms) const {
    return session.silent_for(std::min(limits.lease_ms, limits.session_timeout_ms), now_ms);
  }

  GrantPtr find_grant(const wire::SessionId& session, wire::GrantId id);

  // The rest needs mutex held; grants put on `idle` are drained by the caller after it let go.
  Result<std::shared_ptr<Session>> find_session(const wire::SessionId& id) const;
  // A sign of life: revokes what was over before it, then renews.
  void renew(Session& session, std::vector<GrantPtr>& idle);
  void revoke_grants(Session& session, bool tell, std::vector<GrantPtr>& idle);
  void revoke_grant(const GrantPtr& grant, bool tell, std::vector<GrantPtr>& idle);
  void free_locks(Session& session);
  void remove_holder(const RegionKey& region, uint64_t lock_id);

  // Without locks held.
  void drain(const GrantPtr& grant);
  void drain_all(const std::vector<GrantPtr>& idle);
  Status revoke_between(const RegionGrant& first, const RegionGrant& end, uint64_t deadline_ms);
};

}  // namespace pmshelf::session
