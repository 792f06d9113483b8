// Waiting for locks without holding a thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "pmshelf/result.h"
#include "server/session/registry.h"

namespace pmshelf::control {

inline constexpr uint32_t kLockWaitMsMax = 60'000;
inline constexpr uint32_t kLockWaitersMax = 4096;
inline constexpr uint32_t kLockWaitersPerSessionMax = 64;

// Requests for locks that others hold. Every request tries once when it comes; those that wait are
// served in order of arrival, and none passes another that waits for the same lock, whatever the
// kind. One thread of its own asks the registry when a lock was given back (poke) and every 20 ms,
// since sessions also end elsewhere.
// Owner: ControlServer. Any thread.
class LockQueue {
 public:
  using Done = std::function<void(Result<uint64_t>)>;
  struct Wait {
    wire::SessionId session{};
    session::RegionKey key;
    bool exclusive = false;
    uint32_t wait_ms = 0;
    std::shared_ptr<std::atomic<bool>> cancelled;  // by the caller; then poke()
    Done done;
  };

  LockQueue(session::Registry& registry, const Clock& clock);
  ~LockQueue();  // as stop()

  // Calls `done` once: here, when the lock is free (or wait_ms is 0), else on the queue's thread.
  // With the lock's id; kLocked names the holder when wait_ms are over; kResourceExhausted for too
  // many waiters; kUnavailable when stopped; what Registry::lock says otherwise.
  void lock(Wait wait);
  // A lock may have become free.
  void poke();
  // Every waiter gets kUnavailable. Idempotent.
  void stop();

 private:
  struct Waiter {
    Wait wait;
    uint64_t deadline_boot_ms = 0;
  };
  struct Finished {
    Done done;
    Result<uint64_t> result;
  };
  void run();
  std::list<Finished> try_all();
  Status room_for(const wire::SessionId& session) const;

  session::Registry& registry_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Waiter> waiters_;  // in order of arrival
  bool poked_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace pmshelf::control
