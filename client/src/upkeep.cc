#include "client/src/upkeep.h"

#include "client/src/channels.h"

namespace pmshelf::client {

using Clock = std::chrono::steady_clock;

void Upkeep::start(std::shared_ptr<void> keep, std::chrono::milliseconds first) {
  thread_ = std::thread([this, first, keep = std::move(keep)]() mutable {
    run(first);
    // Perhaps the last owner of everything, this object included: nothing may follow.
    auto last = std::move(keep);
  });
}

bool Upkeep::post(Job job) {
  std::lock_guard lock(mutex_);
  if (ended_ || jobs_.size() >= kUpkeepJobsMax) return false;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

void Upkeep::release(uint64_t generation, wire::GrantId grant) {
  std::lock_guard lock(mutex_);
  if (ending_) return;  // the session gives everything back
  released_.emplace_back(generation, grant);
  changed_.notify_one();
}

void Upkeep::hurry() {
  std::lock_guard lock(mutex_);
  hurry_ = true;
  changed_.notify_one();
}

bool Upkeep::is_this_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

void Upkeep::finish(bool wait) {
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    ending_ = true;
    changed_.notify_one();
  }
  if (!wait || is_this_thread() || InCompletion::active()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

// One round of everything but the end.
void Upkeep::work(std::unique_lock<std::mutex>& lock, Clock::time_point& next) {
  std::deque<Job> jobs = std::exchange(jobs_, {});
  const auto released = std::exchange(released_, {});
  const bool due = std::exchange(hurry_, false) || Clock::now() >= next;
  const bool ending = ending_;
  lock.unlock();
  for (const Job& job : jobs) job();
  jobs.clear();  // perhaps the last owners of handles, whose end needs the lock
  if (!ending && !released.empty()) tasks_.release(released);
  if (!ending && due) next = Clock::now() + tasks_.keep_alive();
  tasks_.tidy();
  lock.lock();
}

void Upkeep::run(std::chrono::milliseconds first) {
  Clock::time_point next = Clock::now() + first;
  std::unique_lock lock(mutex_);
  while (!ending_) {
    const auto has_work = [this] {
      return ending_ || hurry_ || !jobs_.empty() || !released_.empty();
    };
    changed_.wait_until(lock, next, has_work);
    work(lock, next);
  }
  lock.unlock();
  tasks_.end();
  lock.lock();
  while (!jobs_.empty()) work(lock, next);
  ended_ = true;
  lock.unlock();
  while (tasks_.linger()) {
    lock.lock();
    changed_.wait_for(lock, kMappingWatch, [this] { return std::exchange(hurry_, false); });
    lock.unlock();
  }
  tasks_.tidy();
}

}  // namespace pmshelf::client
