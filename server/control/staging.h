// Staged regions: who has reserved them, until they are committed or their session ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "pmshelf/result.h"
#include "server/pool/pool.h"
#include "server/session/registry.h"

namespace pmshelf::control {

struct StagedEntry {
  std::shared_ptr<pool::Shelf> shelf;
  store::StagedId staged = 0;
};

// Grants on staged regions, by session. Reservations go with the session, with Release of the
// grant, or into a commit. Owner: ControlServer; sessions may end later than this object, so their
// hooks share the table. Any thread; shelves are not called under the lock.
class Staging {
 public:
  explicit Staging(session::Registry& registry) : registry_(registry) {}

  // Takes over the reservation; after an error (kSessionExpired) it is released.
  Status add(const wire::SessionId& session, const wire::GrantId& grant, StagedEntry entry);
  // Hands the reservation to the caller, who commits it, adds it again or releases it: nobody else
  // does meanwhile. kStaleGrant: not a staged grant of this session.
  Result<StagedEntry> take(const wire::SessionId& session, const wire::GrantId& grant);

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // of a GrantId
  using Entries = std::map<Key, StagedEntry>;
  struct Table {
    std::mutex mutex;
    std::map<wire::SessionId, Entries> sessions;
    void drop(const wire::SessionId& session);
  };

  session::Registry& registry_;
  std::shared_ptr<Table> table_ = std::make_shared<Table>();
};

}  // namespace pmshelf::control
