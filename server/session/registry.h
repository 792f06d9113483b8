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
  std::string name;  // "unix:alice", "token:ci", "cert:host7"
  bool administrator = false;
  std::string shelf_glob = "*";  // token scope
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
  std::shared_ptr<void> resource;  // the pool's RegionRef; dropped, outside locks, when the grant
                                   // is revoked and its last access and mapping are gone
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

inline constexpr uint32_t kSessionHooksMax = 1024;    // on_end: one per subsystem or connection
inline constexpr uint32_t kSessionPathsMax = 256;     // data connections of one session
inline constexpr uint32_t kClientNameBytesMax = 256;  // longer names (and peers) are cut
inline constexpr uint64_t kRevokeWaitMsMax = 600'000;

class Grant;

// A permission in use: revocation of the grant waits until all of these are gone. Movable, one
// owner; may end in any thread, also after its session, and after the registry itself.
class Access {
 public:
  Access() = default;
  Access(std::shared_ptr<Grant> grant, const RegionKey& region)
      : grant_(std::move(grant)), region_(region) {}
  Access(Access&&) noexcept = default;
  Access& operator=(Access&& other) noexcept;
  ~Access();
  explicit operator bool() const { return grant_ != nullptr; }
  // Precondition of both: not empty.
  const std::shared_ptr<void>& resource() const;
  const RegionKey& region() const { return region_; }  // as it was when the access began

 private:
  std::shared_ptr<Grant> grant_;
  RegionKey region_;
};

// Everything about sessions, in DRAM; gone with the process. Owner: app. Any thread: one lock
// over sessions, a sharded table over grants, so that begin_access costs one short lock.
// Callbacks (hooks, ask_back) and the resources' destructors run outside the locks; they may call
// the registry. Every limit of RegistryLimits is enforced with kResourceExhausted naming it.
//
// Life of a session: signs of life (authenticate, keep_alive, touch, grant, begin_access) renew it
// and the leases of all its grants. Without one for lease_ms its grants are over, for good, even
// when a sign comes before sweep() noticed; without one for session_timeout_ms so is the session.
//
// Life of a grant: made, in use or not, revoked, gone. Nothing begins on a revoked grant; it is
// gone, and its resource dropped, when what began before has ended. A mapping handed to a
// same-host client counts as a use that lasts until unmapped(), beyond release() and the
// session's end: only the data path knows when the client's addresses are gone.
class Registry {
 public:
  Registry(const RegistryLimits& limits, const Clock& clock);
  // Drops all sessions and grants without running hooks: close the sessions first.
  ~Registry();

  // ---- sessions: kSessionExpired for unknown and ended ones
  // kResourceExhausted: sessions_max.
  Result<OpenedSession> open(const Principal& principal, std::string client_name, std::string peer);
  // Compares in constant time; counts as a sign of life.
  Result<wire::SessionId> authenticate(const Ticket& ticket);
  Result<Principal> principal(const wire::SessionId& id) const;
  Result<wire::Secret> data_secret(const wire::SessionId& id) const;
  // Renews the session and its leases; returns grants revoked (not: released) since the last
  // call, at most grants_per_session_max of them.
  Result<std::vector<wire::GrantId>> keep_alive(const wire::SessionId& id);
  void touch(const wire::SessionId& id);  // sign of life of frames that reach no grant
  // Ends a session: its grants are revoked (without waiting for what is running), locks freed,
  // then `on_end` hooks run in this thread. Idempotent; `reason` goes to the log.
  void close(const wire::SessionId& id, std::string_view reason);
  // Ends what has timed out and revokes grants whose lease is over. Call about once a second.
  void sweep();
  // `hook` runs once, when the session ends, in order of adding. It stays until then: add one per
  // subsystem or connection, not per request. kSessionExpired: it will not run;
  // kResourceExhausted: kSessionHooksMax.
  Status on_end(const wire::SessionId& id, std::function<void()> hook);
  std::vector<SessionView> list() const;
  // One entry per data connection ("tcp", "local"), for list(). kResourceExhausted:
  // kSessionPathsMax.
  Status add_path(const wire::SessionId& id, std::string path);
  void remove_path(const wire::SessionId& id, std::string_view path);

  // ---- grants
  // kSessionExpired; kResourceExhausted: grants_per_session_max (revoked ones still in use count).
  Result<wire::GrantId> grant(const wire::SessionId& session, GrantSpec spec);
  // The check of every data frame. kStaleGrant (unknown, foreign, revoked, lease over),
  // kPermissionDenied (right), kOutOfRange. [offset, offset + bytes) within the region.
  Result<Access> begin_access(const wire::SessionId& session, wire::GrantId grant, uint8_t right,
                              uint64_t offset, uint64_t bytes);
  // Gives a grant back (unknown and foreign ids are ignored). Waits for nothing.
  void release(const wire::SessionId& session, wire::GrantId grant);
  // Marks the grant as mapped by a same-host client: revocation then also waits for unmapped().
  // `ask_back` is called by each revoke() that finds it mapped, also after the session's end. Once
  // more on a mapped grant: replaces `ask_back` only. kStaleGrant as begin_access.
  Status set_mapped(const wire::SessionId& session, wire::GrantId grant,
                    std::function<void()> ask_back);
  void unmapped(const wire::SessionId& session, wire::GrantId grant);
  // Revokes every grant of the region, asks mappings back and waits until no access and no mapping
  // of it is left, those of grants revoked or released earlier included. kBusy names the holder
  // (principal, client name) when that takes longer than `deadline_ms` (real time, at most
  // kRevokeWaitMsMax); the grants are revoked all the same. Grants made after the call began are
  // not touched: stop making them first, or revoke again when none can be made any more. Blocks;
  // a caller that holds an Access of its own waits for itself.
  Status revoke(const RegionKey& region, uint64_t deadline_ms);
  Status revoke_shelf(uint64_t shelf_key, uint64_t deadline_ms);
  uint32_t grants_on(const RegionKey& region) const;  // revoked ones still in use included
  // Rises with every revoke of the region, and may rise with those of others (it is kept per hash).
  uint64_t fence(const RegionKey& region) const;
  // Moves a staged grant to the region that its bytes have become.
  void rekey(const RegionKey& from, const RegionKey& to);
  uint64_t lease_ms() const;

  // ---- locks: advisory, per region, shared or exclusive, freed with the session
  // A session holds at most one lock on a region; unlock ends it however often it was locked.
  // Locking again returns the same id: as it is held, or upgraded or downgraded by the holder of
  // the only lock. kLocked names a holder that is in the way, what was held before stays held;
  // kSessionExpired; kResourceExhausted: locks_per_session_max.
  Result<uint64_t> lock(const wire::SessionId& session, const RegionKey& region, bool exclusive);
  // kNotFound: unknown, or another session's.
  Status unlock(const wire::SessionId& session, uint64_t lock_id);
  uint32_t locks_on(const RegionKey& region) const;

  struct Counts {
    uint64_t sessions = 0, grants = 0, locks = 0;  // grants: revoked ones still in use included
  };
  Counts counts() const;

 private:
  friend class Grant;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pmshelf::session
