// Request ids: a mutating call is applied once, however often it arrives.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "pmshelf/result.h"
#include "server/store/types.h"

namespace pmshelf::control {

// XXH3-64 over the method, the caller's principal and the deterministic serialization of the
// request without its `request_id`. The same for every repetition, also after a daemon restart.
uint64_t request_digest(std::string_view method, std::string_view principal,
                        const google::protobuf::Message& request);

// The requests of the last ten minutes, newest kRequestsKept of them, and those that run now. It
// answers what stores cannot: a repetition while the first call still runs, the same id for
// another shelf, a repeated erase of a shelf. Stores remember the others across restarts.
// Owner: ControlServer. Any thread.
class RequestTable {
 public:
  explicit RequestTable(const Clock& clock) : clock_(clock) {}

  // A request that runs. Destroyed without done(): it failed, and may come again.
  class Running {
   public:
    Running(Running&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)),
          request_(other.request_),
          result_(other.result_) {}
    Running& operator=(Running&&) = delete;
    ~Running();
    const store::Request& request() const { return request_; }
    // What an earlier arrival made, when this is a repetition of an applied request.
    const std::optional<uint64_t>& result() const { return result_; }
    // It is applied and durable; `result` is the region or shelf it made, else 0.
    void done(uint64_t result);

   private:
    friend class RequestTable;
    Running(RequestTable* table, store::Request request, std::optional<uint64_t> result)
        : table_(table), request_(request), result_(result) {}
    RequestTable* table_;  // null: nothing to take back
    store::Request request_;
    std::optional<uint64_t> result_;
  };

  // kInvalidArgument: no id; kConflict: the id was used with another body; kUnavailable: the same
  // request is running.
  Result<Running> begin(const store::Request& request);

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  struct Entry {
    uint64_t digest = 0;
    uint64_t result = 0;
    bool running = true;
  };
  struct Age {
    Key key;
    uint64_t boot_ms = 0;
  };
  void forget_old();

  const Clock& clock_;
  std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::deque<Age> applied_;  // oldest first
};

}  // namespace pmshelf::control
