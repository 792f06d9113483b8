// Request ids that were applied, so that a retry is not applied again.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>

#include "server/store/types.h"

namespace pmshelf::store {

inline constexpr uint32_t kRequestsKeptMin = 1024;  // age alone never goes below

struct RememberedRequest {
  RequestOutcome outcome;
  uint64_t unix_ms = 0;
};

// The newest requests, oldest first out. Volatile; its contents come from the log. Owner: the
// store. Not thread-safe. At most `limit` entries of about 80 bytes.
class Requests {
 public:
  // kRequestsKept, or less where metadata space is small.
  void set_limit(uint32_t limit) { limit_ = limit; }
  const RememberedRequest* find(const RequestId& id) const;
  // A known id keeps its place and gets the new outcome.
  void remember(const Request& request, uint64_t result, uint64_t unix_ms);
  // Forgets what is older than kRequestKeepMs, down to kRequestsKeptMin. A clock that was set
  // back makes requests younger, never an error.
  void forget_old(uint64_t now_unix_ms);
  // Forgets the oldest ones until `count_max` are left.
  void forget_down_to(size_t count_max);
  size_t count() const { return order_.size(); }
  template <class F>
  void for_each_oldest_first(F&& visit) const {
    for (const RequestId& id : order_) visit(id, by_id_.find(id)->second);
  }

 private:
  struct Hash {
    size_t operator()(const RequestId& id) const {
      const uint64_t mixed = (id.high ^ id.low * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
      return mixed ^ mixed >> 32;
    }
  };
  uint32_t limit_ = kRequestsKept;
  absl::flat_hash_map<RequestId, RememberedRequest, Hash> by_id_;
  std::deque<RequestId> order_;
};

}  // namespace pmshelf::store
