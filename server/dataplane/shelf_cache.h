// What one connection remembers about the shelves that it uses.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pmshelf/result.h"
#include "server/pool/pool.h"
#include "server/session/handles.h"
#include "server/session/registry.h"

namespace pmshelf::dataplane {

struct DataPlaneParts;

// Rights and same-host policy per shelf, worked out again whenever the access epoch has moved on
// (handles.h). Owner: the connection; its thread only. Limit: kShelvesCached, the oldest goes.
class ShelfCache {
 public:
  static constexpr size_t kShelvesCached = 64;

  explicit ShelfCache(const DataPlaneParts& parts) : parts_(parts) {}
  void bind(const wire::SessionId& session, session::Principal principal);
  const session::Principal& principal() const { return principal_; }

  // The shelf behind a handle, when the principal has `right` on it. kStaleGrant: no such handle;
  // kNotFound: no right at all; kPermissionDenied: others only; kUnsupported: `local`, and its
  // policy is off.
  Result<std::shared_ptr<pool::Shelf>> by_handle(uint64_t handle, uint8_t right, bool local);
  // kUnsupported when the shelf's policy is off.
  Status allow_local(uint64_t shelf_key);
  // The shelf of a grant. kNotFound.
  Result<std::shared_ptr<pool::Shelf>> by_key(uint64_t shelf_key);

 private:
  struct Entry {
    uint64_t name = 0;   // handle or key
    uint64_t epoch = 0;  // of what follows
    std::weak_ptr<pool::Shelf> shelf;
    uint8_t rights = 0;
    store::SameHostPolicy policy = store::SameHostPolicy::kOff;
  };
  using Entries = std::vector<Entry>;

  static Entry* find(Entries& entries, uint64_t name);
  Entry& remember(Entries& entries, uint64_t name, const std::shared_ptr<pool::Shelf>& shelf,
                  uint64_t epoch);

  const DataPlaneParts& parts_;
  wire::SessionId session_{};
  session::Principal principal_;
  Entries by_handle_, by_key_;
};

}  // namespace pmshelf::dataplane
