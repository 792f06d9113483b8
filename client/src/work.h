// One data call, as requests on a channel.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "client/src/holding.h"
#include "common/transport/channel.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

// Requests of one call in flight at once; the channel's own limit holds besides.
inline constexpr uint64_t kRequestsInFlightMax = 32;

// What a call wants. Owner: the caller (run_work) or its background task (start_work). Only one
// thread at a time uses one, but submit() may be called from completions.
class Work {
 public:
  virtual ~Work() = default;
  // kFreely: a second application changes nothing (reads, flushes, writes of the same bytes).
  virtual Repeat repeat() const { return Repeat::kFreely; }
  virtual uint64_t request_count() const { return 1; }
  virtual void submit(transport::Channel& channel, wire::GrantId id, uint64_t index,
                      transport::Channel::Done done) = 0;

  // Before anything is sent: true when the outcome is in `status` without a channel.
  virtual bool at_hand(Status& /*status*/) { return false; }
  // The same with a channel that may be asked first. Not called in the background: it may block.
  virtual bool at_hand_through(const Attachment& /*attachment*/, Status& /*status*/) {
    return false;
  }
  // Before each attempt. `first`: how many requests were acknowledged by earlier ones; may be
  // lowered. An error ends the call.
  virtual Status prepare(const Attachment& /*attachment*/, uint64_t& /*first*/) { return {}; }
  virtual void succeeded(const Attachment& /*attachment*/) {}
  // The daemon called the id stale: besides that of the holding, drop what else may be meant.
  virtual void stale() {}
};

// Sends the requests of one Work, a window of them at a time, until all are answered or one failed.
// Used once. Completions run on any thread; the last thing that the last one does is to set
// finished(), or to call `on_finished`, after which the object may be gone.
class Pump {
 public:
  // Requests before `first` are taken as acknowledged. `work` and `channel` outlive the pump.
  Pump(Work& work, transport::Channel& channel, wire::GrantId id, uint64_t first,
       std::function<void()> on_finished = {});
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  void start();
  bool finished() const { return finished_.load(std::memory_order_acquire); }
  uint64_t progress() const { return answered_.load(std::memory_order_relaxed); }
  // After finished(): the first failure, and the lowest request that was not acknowledged.
  const Status& status() const { return status_; }
  uint64_t first_unacknowledged() const { return low_; }

 private:
  bool take_next(uint64_t& index);
  void submit(uint64_t index);
  void note(uint64_t index, Status status);
  void answered(uint64_t index, Status status);
  void let_go();

  Work& work_;
  transport::Channel& channel_;
  const wire::GrantId id_;
  const uint64_t count_;
  const std::function<void()> on_finished_;
  std::mutex mutex_;  // guards the rest
  uint64_t next_;
  uint64_t low_;
  uint64_t pending_ = 1;         // start() itself is one
  std::vector<uint64_t> ahead_;  // acknowledged, above low_; at most the window
  Status status_;
  std::atomic<uint64_t> answered_{0};
  std::atomic<bool> finished_{false};
};

// Runs the pump on this thread, without a thread switch. kDeadlineExceeded: nothing was answered
// for `timeout`; the channel is closed then, because the buffers must be free on return.
Status run_pump(Pump& pump, transport::Channel& channel, std::chrono::milliseconds timeout);

// Runs the call on this thread: attach, send, wait; again after a lost connection, as retry.h says.
Status run_work(Holding& holding, Work& work);

// The same in the background. `done` runs once, in a completion or on the upkeep thread, or, when
// the work was at hand and `inline_done`, on this thread before start_work returns.
void start_work(std::shared_ptr<Holding> holding, std::unique_ptr<Work> work, bool inline_done,
                std::function<void(Status)> done);

// Calls `done` on the upkeep thread, soon; on this one when the client has ended.
void complete_later(Core& core, std::function<void(Status)> done, Status status);

}  // namespace pmshelf::client
