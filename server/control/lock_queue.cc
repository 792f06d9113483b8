#include "server/control/lock_queue.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace pmshelf::control {
namespace {

constexpr auto kAskAgain = std::chrono::milliseconds(20);

Error stopped() { return Error(Code::kUnavailable, "the daemon is ending: try again later"); }

}  // namespace

LockQueue::LockQueue(session::Registry& registry, const Clock& clock)
    : registry_(registry), clock_(clock), thread_([this] { run(); }) {}

LockQueue::~LockQueue() { stop(); }

void LockQueue::lock(Wait wait) {
  std::unique_lock lock(mutex_);
  std::optional<Result<uint64_t>> result;
  if (stopped_) {
    result = stopped();
  } else {
    result = registry_.lock(wait.session, wait.key, wait.exclusive);
    if (wait.wait_ms != 0 && result->code() == Code::kLocked) result.reset();
  }
  if (!result.has_value()) {
    if (Status room = room_for(wait.session); !room.ok()) result = std::move(room).error();
  }
  if (result.has_value()) {
    lock.unlock();
    wait.done(*std::move(result));
    return;
  }
  const uint64_t deadline = clock_.boot_ms() + std::min(wait.wait_ms, kLockWaitMsMax);
  waiters_.push_back({std::move(wait), deadline});
  changed_.notify_all();
}

void LockQueue::poke() {
  std::lock_guard lock(mutex_);
  poked_ = true;
  changed_.notify_all();
}

void LockQueue::stop() {
  std::list<Waiter> left;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    left.swap(waiters_);
    changed_.notify_all();
  }
  for (Waiter& waiter : left) waiter.wait.done(stopped());
  if (thread_.joinable()) thread_.join();
}

void LockQueue::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (waiters_.empty()) {
      changed_.wait(lock, [this] { return stopped_ || !waiters_.empty(); });
    } else {
      changed_.wait_for(lock, kAskAgain, [this] { return stopped_ || poked_; });
    }
    poked_ = false;
    std::list<Finished> finished = try_all();
    lock.unlock();
    for (Finished& one : finished) one.done(std::move(one.result));
    lock.lock();
  }
}

std::list<LockQueue::Finished> LockQueue::try_all() {
  std::list<Finished> finished;
  std::set<session::RegionKey> taken;
  const uint64_t now = clock_.boot_ms();
  for (auto at = waiters_.begin(); at != waiters_.end();) {
    const Wait& wait = at->wait;
    std::optional<Result<uint64_t>> result;
    if (wait.cancelled->load()) {
      result = Error(Code::kDeadlineExceeded, "the caller has gone");
    } else if (!taken.contains(wait.key) || now >= at->deadline_boot_ms) {
      auto locked = registry_.lock(wait.session, wait.key, wait.exclusive);
      const bool held = locked.code() == Code::kLocked;
      if (held) taken.insert(wait.key);
      if (!held || now >= at->deadline_boot_ms) result = std::move(locked);
    }
    if (!result.has_value()) {
      ++at;
      continue;
    }
    finished.push_back({std::move(at->wait.done), *std::move(result)});
    at = waiters_.erase(at);
  }
  return finished;
}

Status LockQueue::room_for(const wire::SessionId& session) const {
  if (waiters_.size() >= kLockWaitersMax) {
    return Error(Code::kResourceExhausted, "4096 calls wait for locks, the most: try later");
  }
  const auto mine = std::ranges::count_if(
      waiters_, [&](const Waiter& waiter) { return waiter.wait.session == session; });
  if (mine >= kLockWaitersPerSessionMax) {
    return Error(Code::kResourceExhausted, "64 calls of this session wait for locks, the most");
  }
  return {};
}

}  // namespace pmshelf::control
