#include "server/pool/store_host.h"

#include "common/base/check.h"
#include "server/store/types.h"

namespace pmshelf::pool {

StoreHost::StoreHost(std::unique_ptr<store::Store> store, std::shared_ptr<void> keep_alive)
    : keep_alive_(std::move(keep_alive)),
      store_(std::move(store)),
      blocking_(store_->data().flush_granularity_bytes() >= store::kPageBytes) {}

Status StoreHost::harden(std::unique_lock<std::mutex>& lock, uint64_t ticket) {
  while (durable_ticket_ < ticket) {
    if (failure_) return Error(*failure_);
    if (writing_) {
      changed_.wait(lock);
    } else {
      lead(lock);
    }
  }
  return {};
}

void StoreHost::lead(std::unique_lock<std::mutex>& lock) {
  const uint64_t ticket = staged_ticket_;
  auto batch = store_->take_batch();
  Status written;
  if (!batch.ok()) {
    written = std::move(batch).error();
  } else if (*batch != nullptr) {
    // On memory the write takes less than a wake-up would: stay. Where it waits for the kernel
    // let others stage the next batch meanwhile.
    writing_ = true;
    if (blocking_) lock.unlock();
    written = store_->write_batch(**batch);
    if (blocking_) lock.lock();
    store_->finish_batch(*std::move(batch));
    writing_ = false;
  }
  if (written.ok()) {
    durable_ticket_ = ticket;
  } else {
    set_failure(written.error());
  }
  changed_.notify_all();
}

Status StoreHost::exclusive(const std::function<Status(store::Store&)>& work) {
  std::unique_lock lock(mutex_);
  while (writing_) changed_.wait(lock);
  if (failure_) return Error(*failure_);
  const uint64_t ticket = staged_ticket_;
  Status synced = store_->sync();
  if (!synced.ok()) {
    set_failure(synced.error());
  } else {
    durable_ticket_ = ticket;
  }
  changed_.notify_all();
  PMSHELF_TRY(std::move(synced));
  Status done = work(*store_);
  if (!done.ok() && store_->offline()) set_failure(done.error());
  return done;
}

void StoreHost::set_failure(const Error& error) {
  if (failure_) return;
  failure_ = Error(Code::kIo, "offline since a write failed (" + error.message() +
                                  "): re-open the pool to see what is durable");
  offline_ = true;
  failed_ = true;
}

void StoreHost::fail(const Error& error) {
  std::lock_guard lock(mutex_);
  set_failure(error);
  changed_.notify_all();
}

std::optional<Error> StoreHost::failure() const {
  if (!failed_) return std::nullopt;
  std::lock_guard lock(mutex_);
  return failure_;
}

Status StoreHost::close() {
  std::unique_lock lock(mutex_);
  while (writing_) changed_.wait(lock);
  if (closed_) return {};
  closed_ = true;
  Status closed;
  if (failure_) {
    closed = Error(*failure_);
  } else {
    closed = store_->close();
    failure_ = Error(Code::kUnavailable, "the pool is closed");
    failed_ = true;
  }
  changed_.notify_all();
  return closed;
}

}  // namespace pmshelf::pool
