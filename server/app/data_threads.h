// The threads that move data: each runs one io_context.
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace pmshelf::app {

// Owner: the daemon; made before the listeners and stopped after them. Any thread.
class DataThreads {
 public:
  explicit DataThreads(uint32_t count);
  ~DataThreads();  // stop()

  std::vector<asio::io_context*> contexts();
  // Asks each thread for a sign of life; true when the last one of each is younger than `stuck_ms`.
  bool alive(uint64_t now_ms, uint64_t stuck_ms);
  // Ends the threads when they have nothing left to do, or after kStopWaitMs. Idempotent.
  void stop();

  static constexpr uint64_t kStopWaitMs = 2000;

 private:
  struct Thread {
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    std::atomic<uint64_t> asked_ms{0};  // 0: answered
    std::atomic<bool> ended{false};
    std::thread thread;
  };
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace pmshelf::app
