// A store made safe for many threads, with group commit.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "pmshelf/result.h"
#include "server/store/store.h"

namespace pmshelf::pool {

// Owner: the pool; shelves and region references share it. Threads: every method, any thread.
//
// mutate() stages under the lock, then makes the batch durable: the first caller to arrive leads
// and writes one record for everything staged meanwhile, the others wait for it. A mutation is
// acknowledged (mutate returns ok) only when durable. May block for as long as one flush of the
// medium takes; on page-cache files that is milliseconds, so data threads call it through the
// worker pool (`blocking()` tells).
class StoreHost {
 public:
  explicit StoreHost(std::unique_ptr<store::Store> store);

  // True when durability waits for the kernel (flush granularity 4096).
  bool blocking() const { return blocking_; }

  // Runs `read` under the lock. It must not keep references into the store.
  template <class F>
  auto query(F&& read) const {
    std::lock_guard lock(mutex_);
    return std::forward<F>(read)(static_cast<const store::Store&>(*store_));
  }
  // As query, for calls that change volatile state only (pin, reserve, release).
  template <class F>
  auto adjust(F&& change) {
    std::lock_guard lock(mutex_);
    return std::forward<F>(change)(*store_);
  }
  // `stage` calls mutations of the store and returns Status or Result<T>; on success that result
  // is returned once durable. A failing `stage` must have changed nothing (one mutation a call).
  template <class F>
  auto mutate(F&& stage) -> decltype(stage(std::declval<store::Store&>())) {
    std::unique_lock lock(mutex_);
    auto staged = std::forward<F>(stage)(*store_);
    if (!staged.ok()) return staged;
    if (Status durable = harden(lock); !durable.ok()) return std::move(durable).error();
    return staged;
  }
  // transact() and compact(): alone, with no batch in flight.
  Status exclusive(const std::function<Status(store::Store&)>& work);

  media::Media& data() { return store_->data(); }
  Status close();

 private:
  Status harden(std::unique_lock<std::mutex>& lock);

  std::unique_ptr<store::Store> store_;
  const bool blocking_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t staged_ticket_ = 0;    // rises with every staged mutation
  uint64_t durable_ticket_ = 0;   // all tickets up to here are durable
  bool writing_ = false;          // a leader is outside the lock with a batch
};

}  // namespace pmshelf::pool
