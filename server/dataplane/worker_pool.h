// Threads for what may block: msync, group commit, large transactions.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pmshelf::dataplane {

// Runs tasks in the order of submission on `threads` threads, so that data threads never wait for
// the kernel. Owner: app, which stops it after the listeners. Any thread. Limit: `queue_max` tasks
// waiting, besides the running ones.
class WorkerPool {
 public:
  using Task = std::function<void()>;

  WorkerPool(uint32_t threads, size_t queue_max);
  ~WorkerPool();  // stop()

  // False, with `task` untouched: the queue is full, or the pool was stopped.
  [[nodiscard]] bool submit(Task& task);
  // Finishes what was submitted, then ends the threads. Idempotent; not from a task.
  void stop();
  size_t waiting() const;

 private:
  void work();

  const size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace pmshelf::dataplane
