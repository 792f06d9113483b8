// Whether a client may still be used, and how everything that waits on its behalf is stopped.
#pragma once

#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>

#include "client/src/fork_guard.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

using Time = std::chrono::steady_clock::time_point;

// Owner: Core. Thread-safe. Two steps: close() refuses new calls of the user; stop() also ends
// what runs (sleeps and gRPC calls), for the threads of the library too.
class Lifeline {
 public:
  // kUnavailable: closed, or this process is a fork of the one that connected.
  Status usable() const {
    if (closed_.load(std::memory_order_acquire)) return closed_error();
    if (forked()) return forked_error();
    return {};
  }
  bool forked() const { return fork_generation() != born_; }
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }
  void close() { closed_.store(true, std::memory_order_release); }
  void stop();

  // False: stopped before `until`.
  bool sleep_until(Time until);

  // A gRPC call in progress: cancelled by stop(), at once when that has been.
  class Call {
   public:
    Call(Lifeline& lifeline, grpc::ClientContext& context);
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();

   private:
    Lifeline& lifeline_;
    grpc::ClientContext& context_;
  };

 private:
  static Error closed_error();
  static Error forked_error();

  const uint64_t born_ = fork_generation();
  std::atomic<bool> closed_{false};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable stopping_;
  std::set<grpc::ClientContext*> calls_;
};

}  // namespace pmshelf::client
