// A store made safe for many threads, with group commit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

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
//
// A failed write takes the store offline for good: everybody who waits gets that error, and so
// does every later mutate(). Queries go on, but show what may not be durable.
class StoreHost {
 public:
  // `keep_alive` is dropped after the store: the locks on its files.
  explicit StoreHost(std::unique_ptr<store::Store> store,
                     std::shared_ptr<void> keep_alive = nullptr);

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
  // is returned once durable. A failing `stage` must have changed nothing (one mutation a call),
  // and is called again when it failed because the batch is full (kResourceExhausted), after that
  // batch was written, up to kStageAttempts times. A `stage` that finds its work done already may
  // return ok without staging: mutate then returns when what was staged before is durable.
  template <class F>
  auto mutate(F&& stage) -> decltype(stage(std::declval<store::Store&>())) {
    std::unique_lock lock(mutex_);
    for (int attempt = 1;; ++attempt) {
      if (failure_) return Error(*failure_);
      auto staged = stage(*store_);
      const bool full = staged.code() == Code::kResourceExhausted &&
                        store_->has_staged_operations() && attempt < kStageAttempts;
      if (!staged.ok() && !full) return staged;
      Status durable = harden(lock, staged.ok() ? ++staged_ticket_ : staged_ticket_);
      if (!durable.ok()) return std::move(durable).error();
      if (staged.ok()) return staged;
    }
  }
  // transact(), check(), compact(), resizing the data media: alone, with no batch in flight and
  // everything staged before durable. Holds the lock all the while.
  Status exclusive(const std::function<Status(store::Store&)>& work);

  // Takes the store offline, as a failed write does; the first reason stays.
  void fail(const Error& error);
  // Why it is offline or closed, if it is.
  std::optional<Error> failure() const;
  bool offline() const { return offline_.load(); }

  media::Media& data() { return store_->data(); }
  // Closes the store clean, or returns why that is not possible any more. Every later mutate()
  // gets kUnavailable. Idempotent.
  Status close();

  static constexpr int kStageAttempts = 16;

 private:
  // Returns when every ticket up to `ticket` is durable, or the store offline.
  Status harden(std::unique_lock<std::mutex>& lock, uint64_t ticket);
  void lead(std::unique_lock<std::mutex>& lock);
  void set_failure(const Error& error);

  const std::shared_ptr<void> keep_alive_;
  std::unique_ptr<store::Store> store_;
  const bool blocking_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t staged_ticket_ = 0;   // rises with every staged mutation
  uint64_t durable_ticket_ = 0;  // all tickets up to here are durable
  bool writing_ = false;         // a leader is outside the lock with a batch
  bool closed_ = false;
  std::optional<Error> failure_;     // offline or closed
  std::atomic<bool> failed_{false};  // failure_ is set
  std::atomic<bool> offline_{false};
};

}  // namespace pmshelf::pool
