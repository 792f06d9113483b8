#include "server/app/data_threads.h"

#include <pthread.h>

#include <asio/post.hpp>
#include <chrono>
#include <string>

namespace pmshelf::app {

DataThreads::DataThreads(uint32_t count) {
  for (uint32_t index = 0; index < count; ++index) {
    Thread& made = *threads_.emplace_back(std::make_unique<Thread>());
    made.thread = std::thread([&made] {
      made.context.run();
      made.ended = true;
    });
    const std::string name = "data-" + std::to_string(index);
    ::pthread_setname_np(made.thread.native_handle(), name.c_str());
  }
}

DataThreads::~DataThreads() { stop(); }

std::vector<asio::io_context*> DataThreads::contexts() {
  std::vector<asio::io_context*> all;
  for (const auto& thread : threads_) all.push_back(&thread->context);
  return all;
}

bool DataThreads::alive(uint64_t now_ms, uint64_t stuck_ms) {
  bool all_alive = true;
  for (const auto& thread : threads_) {
    const uint64_t asked_ms = thread->asked_ms.load();
    if (asked_ms != 0) {
      all_alive = all_alive && now_ms - asked_ms < stuck_ms;
      continue;
    }
    thread->asked_ms.store(now_ms);
    asio::post(thread->context, [target = thread.get()] { target->asked_ms.store(0); });
  }
  return all_alive;
}

void DataThreads::stop() {
  constexpr auto kPoll = std::chrono::milliseconds(1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kStopWaitMs);
  for (const auto& thread : threads_) thread->work.reset();
  for (const auto& thread : threads_) {
    while (!thread->ended && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(kPoll);
    }
    thread->context.stop();
    if (thread->thread.joinable()) thread->thread.join();
  }
}

}  // namespace pmshelf::app
