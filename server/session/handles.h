// Shelf handles: what Put and Get frames name a shelf by.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "pmshelf/result.h"
#include "server/session/registry.h"

namespace pmshelf::session {

inline constexpr uint32_t kHandlesPerSessionMax = 4096;

// The shelves that each session has opened, and the access epoch. Owner: app; control opens
// handles, dataplane resolves them. Any thread: one short lock; nothing is called under it.
//
// A handle carries no right. Its user works out the rights from the shelf's access list and may
// remember them together with access_epoch(); a remembered right is good only while the epoch is
// the same. Whoever changes what a principal may do (access list, owner, name of a shelf) calls
// access_changed() after the change is in force and before it answers: then the next frame of
// every connection meets the new rules.
class Handles {
 public:
  explicit Handles(Registry& registry) : registry_(registry) {}

  // The session's handle for the shelf (pool::Shelf): the same one each time. Gone with the
  // session. kSessionExpired; kResourceExhausted beyond kHandlesPerSessionMax.
  Result<uint64_t> open(const wire::SessionId& session, uint64_t shelf_key,
                        const std::shared_ptr<void>& shelf) {
    bool first = false;
    uint64_t handle = 0;
    {
      std::lock_guard lock(mutex_);
      auto [table, made] = sessions_.try_emplace(session);
      first = made;
      for (const auto& [number, entry] : table->second) {
        if (entry.key == shelf_key) return number;
      }
      if (table->second.size() >= kHandlesPerSessionMax) {
        return Error(Code::kResourceExhausted, "this session has the most shelf handles (4096)");
      }
      handle = ++last_handle_;
      table->second.emplace(handle, Entry{shelf_key, shelf});
    }
    if (!first) return handle;
    // After the insertion: a session that ends in between makes this fail, and the table goes.
    Status hooked = registry_.on_end(session, [this, session] { drop(session); });
    if (hooked.ok()) return handle;
    drop(session);
    return std::move(hooked).error();
  }

  // kStaleGrant: no such handle in this session, or its shelf has been erased. Not kNotFound, which
  // is what Get answers for a missing region: a client must know which of the two to look for.
  Result<std::shared_ptr<void>> find(const wire::SessionId& session, uint64_t handle) const {
    std::lock_guard lock(mutex_);
    if (auto table = sessions_.find(session); table != sessions_.end()) {
      if (auto entry = table->second.find(handle); entry != table->second.end()) {
        if (std::shared_ptr<void> shelf = entry->second.shelf.lock()) return shelf;
      }
    }
    return Error(Code::kStaleGrant, "no such shelf handle in this session: open the shelf again");
  }

  uint64_t access_epoch() const { return access_epoch_.load(std::memory_order_acquire); }
  void access_changed() { access_epoch_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  struct Entry {
    uint64_t key;
    std::weak_ptr<void> shelf;  // the pool owns it; erased shelves go at once
  };

  void drop(const wire::SessionId& session) {
    std::lock_guard lock(mutex_);
    sessions_.erase(session);
  }

  Registry& registry_;
  mutable std::mutex mutex_;
  std::map<wire::SessionId, std::map<uint64_t, Entry>> sessions_;
  uint64_t last_handle_ = 0;
  std::atomic<uint64_t> access_epoch_{1};
};

}  // namespace pmshelf::session
