// The one thread of a client: keep-alives, grants given back, and whatever must not run inside a
// completion.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "client/src/lifeline.h"
#include "common/wire/frame.h"

namespace pmshelf::client {

inline constexpr size_t kUpkeepJobsMax = 65536;
// How soon a lost connection is noticed while a user's Mapping depends on it.
inline constexpr std::chrono::milliseconds kMappingWatch{250};

// Owner: Core. Thread-safe. Jobs run one after the other, in order; a job may block (reconnecting),
// and keep-alives wait meanwhile, which loses nothing: then there is no daemon to keep us alive.
class Upkeep {
 public:
  // What to do; each is called on the thread.
  struct Tasks {
    // Keep-alive; returns how long until the next one.
    std::function<std::chrono::milliseconds()> keep_alive;
    std::function<void(const std::vector<std::pair<uint64_t, wire::GrantId>>&)> release;
    std::function<void()> tidy;    // after every round
    std::function<void()> end;     // once, when finish() was called
    std::function<bool()> linger;  // after that: false when the thread may end
  };
  using Job = std::function<void()>;

  explicit Upkeep(Tasks tasks) : tasks_(std::move(tasks)) {}
  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  // `keep` is held until the thread has ended. The first keep-alive comes after `first`.
  void start(std::shared_ptr<void> keep, std::chrono::milliseconds first);
  // False, and the job is not taken: ended, or kUpkeepJobsMax are waiting.
  bool post(Job job);
  // Gives the grant of that session back, soon.
  void release(uint64_t generation, wire::GrantId grant);
  // Keep-alive now.
  void hurry();
  // Runs what was posted, then `end`, then `linger` every kMappingWatch until that is false, then
  // ends the thread. Waits for that if `wait`, but never on the thread itself or in a completion.
  // Once.
  void finish(bool wait);

 private:
  void run(std::chrono::milliseconds first);
  void work(std::unique_lock<std::mutex>& lock, std::chrono::steady_clock::time_point& next);
  bool is_this_thread() const;

  const Tasks tasks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<std::pair<uint64_t, wire::GrantId>> released_;
  bool hurry_ = false;
  bool ending_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace pmshelf::client
