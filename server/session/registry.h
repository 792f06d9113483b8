// Sessions, grants, leases, locks: who may touch which bytes, and for how long.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/wire/frame.h"
#include "common/wire/handshake.h"
#include "pmshelf/result.h"

namespace pmshelf::session {

// Who a caller is, and the most that it may do (token scopes); access lists narrow it further.
struct Principal {
  std::string name;               // "unix:alice", "token:ci", "cert:host7"
  bool administrator = false;
  std::string shelf_glob = "*";   // token scope
  uint8_t rights_max = 7;
  uint32_t uid = 0xffffffff, gid = 0xffffffff;  // same-host peers
};

using Ticket = wire::Secret;  // what gRPC calls carry

struct OpenedSession {
  wire::SessionId id;
  Ticket ticket;
  wire::Secret data_secret;
};

// Names one region for grants and locks: the shelf's process-wide key and the region's id.
// Staged regions use `staged = true` and the StagedId.
struct RegionKey {
  uint64_t shelf = 0;
  uint64_t region = 0;
  bool staged = false;
  auto operator<=>(const RegionKey&) const = default;
};

struct GrantSpec {
  RegionKey region;
  uint64_t bytes = 0;
  uint8_t rights = 0;
  std::shared_ptr<void> resource;  // the pool's RegionRef; dropped when the grant is gone
};

struct SessionView {
  wire::SessionId id;
  Principal principal;
  std::string client_name, peer;
  uint64_t idle_ms = 0, age_ms = 0;
  uint32_t grants = 0, locks = 0;
  std::vector<std::string> paths;
};

struct RegistryLimits {
  uint32_t sessions_max = 4096;
  uint32_t grants_per_session_max = 65536;
  uint32_t locks_per_session_max = 4096;
  uint64_t session_timeout_ms = 30'000;  // without sign of life
  uint64_t lease_ms = 30'000;            // renewed by KeepAlive
};

class Grant;

// A permission in use: revocation of the grant waits until all of these are gone.
class Access {
 public:
  Access() = default;
  explicit Access(std::shared_ptr<Grant> grant) : grant_(std::move(grant)) {}
  Access(Access&&) noexcept = default;
  Access& operator=(Access&& other) noexcept;
  ~Access();
  explicit operator bool() const { return grant_ != nullptr; }
  const std::shared_ptr<void>& resource() const;
  RegionKey region() const;

 private:
  std::shared_ptr<Grant> grant_;
};

// Everything about sessions, in DRAM; gone with the process. Owner: app. Any thread: one lock
// over sessions, a sharded table over grants, so that begin_access costs one short lock.
// Every limit of RegistryLimits is enforced with kResourceExhausted naming it.
class Registry {
 public:
  Registry(const RegistryLimits& limits, const Clock& clock);
  ~Registry();

  // ---- sessions
  Result<OpenedSession> open(const Principal& principal, std::string client_name, std::string peer);
  // kSessionExpired for unknown or ended ones; counts as a sign of life.
  Result<wire::SessionId> authenticate(const Ticket& ticket);
  Result<Principal> principal(const wire::SessionId& id) const;
  Result<wire::Secret> data_secret(const wire::SessionId& id) const;
  // Renews the session and its leases; returns grants revoked since the last call.
  Result<std::vector<wire::GrantId>> keep_alive(const wire::SessionId& id);
  void touch(const wire::SessionId& id);  // data-plane sign of life
  // Ends a session: its grants are revoked, locks freed, `on_end` hooks run. Idempotent.
  void close(const wire::SessionId& id, std::string_view reason);
  // Ends what has timed out and revokes grants whose lease is over. Call about once a second.
  void sweep();
  // Runs when the session ends (staged regions, connections). Any number; order of adding.
  Status on_end(const wire::SessionId& id, std::function<void()> hook);
  std::vector<SessionView> list() const;
  Result<void> add_path(const wire::SessionId& id, std::string path);
  void remove_path(const wire::SessionId& id, std::string_view path);

  // ---- grants
  Result<wire::GrantId> grant(const wire::SessionId& session, GrantSpec spec);
  // The check of every data frame. kStaleGrant (unknown, foreign, revoked, lease over),
  // kPermissionDenied (right), kOutOfRange. [offset, offset + bytes) within the region.
  Result<Access> begin_access(const wire::SessionId& session, wire::GrantId grant, uint8_t right,
                              uint64_t offset, uint64_t bytes);
  // Gives a grant back (unknown ids are fine). Waits for nothing.
  void release(const wire::SessionId& session, wire::GrantId grant);
  // Marks the grant as mapped by a same-host client: revocation then also waits for unmapped().
  Status set_mapped(const wire::SessionId& session, wire::GrantId grant,
                    std::function<void()> ask_back);
  void unmapped(const wire::SessionId& session, wire::GrantId grant);
  // Revokes every grant of the region (but `except`'s session, when given), asks mappings back and
  // waits until no access and no mapping is left. kBusy names the holder (principal, client name)
  // when that takes longer than `deadline_ms`; the grants are revoked all the same.
  Status revoke(const RegionKey& region, uint64_t deadline_ms);
  Status revoke_shelf(uint64_t shelf_key, uint64_t deadline_ms);
  uint32_t grants_on(const RegionKey& region) const;
  uint64_t fence(const RegionKey& region) const;  // rises with every revoke
  // Moves a staged grant to the region that its bytes have become.
  void rekey(const RegionKey& from, const RegionKey& to);
  uint64_t lease_ms() const;

  // ---- locks: advisory, per region, shared or exclusive, freed with the session
  // kLocked names the holder. Re-locking by the holder of the only lock upgrades or downgrades.
  Result<uint64_t> lock(const wire::SessionId& session, const RegionKey& region, bool exclusive);
  Status unlock(const wire::SessionId& session, uint64_t lock_id);
  uint32_t locks_on(const RegionKey& region) const;

  struct Counts {
    uint64_t sessions = 0, grants = 0, locks = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pmshelf::session
