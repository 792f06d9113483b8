#include <algorithm>

#include "client/src/work.h"
#include "common/base/check.h"

namespace pmshelf::client {

Pump::Pump(Work& work, transport::Channel& channel, wire::GrantId id, uint64_t first,
           std::function<void()> on_finished)
    : work_(work),
      channel_(channel),
      id_(id),
      count_(work.request_count()),
      on_finished_(std::move(on_finished)),
      next_(first),
      low_(first) {}

bool Pump::take_next(uint64_t& index) {
  if (next_ >= count_ || !status_.ok()) return false;
  index = next_++;
  return true;
}

void Pump::submit(uint64_t index) {
  work_.submit(channel_, id_, index,
               [this, index](Status status) { answered(index, std::move(status)); });
}

void Pump::start() {
  for (;;) {
    uint64_t index = 0;
    {
      std::lock_guard lock(mutex_);
      if (pending_ > kRequestsInFlightMax || !take_next(index)) break;
      ++pending_;
    }
    submit(index);
  }
  let_go();
}

void Pump::note(uint64_t index, Status status) {
  if (!status.ok()) {
    if (status_.ok()) status_ = std::move(status);
    return;
  }
  if (index != low_) {
    ahead_.push_back(index);
    return;
  }
  ++low_;
  auto at = ahead_.end();
  while ((at = std::find(ahead_.begin(), ahead_.end(), low_)) != ahead_.end()) {
    ahead_.erase(at);
    ++low_;
  }
}

void Pump::answered(uint64_t index, Status status) {
  const InCompletion scope;
  answered_.fetch_add(1, std::memory_order_relaxed);
  uint64_t following = 0;
  bool more = false;
  {
    std::lock_guard lock(mutex_);
    note(index, std::move(status));
    more = take_next(following);  // in the place of this one
  }
  if (more) {
    submit(following);
  } else {
    let_go();
  }
}

void Pump::let_go() {
  {
    std::lock_guard lock(mutex_);
    if (--pending_ > 0) return;
  }
  if (on_finished_) {
    const std::function<void()> on_finished = on_finished_;
    on_finished();
  } else {
    finished_.store(true, std::memory_order_release);
  }
}

Status run_pump(Pump& pump, transport::Channel& channel, std::chrono::milliseconds timeout) {
  const transport::DriveScope scope(channel);
  pump.start();
  const std::function<bool()> finished = [&pump] { return pump.finished(); };
  bool timed_out = false;
  while (!pump.finished()) {
    const uint64_t before = pump.progress();
    const Status driven = channel.drive_until(finished, static_cast<uint64_t>(timeout.count()));
    if (pump.finished()) break;
    timed_out = driven.code() == Code::kDeadlineExceeded;
    if (timed_out && pump.progress() != before) continue;
    channel.close();
    PMSHELF_CHECK(pump.finished());
  }
  if (timed_out) {
    return Error(Code::kDeadlineExceeded, "no answer from the daemon within the call time-out");
  }
  return pump.status();
}

}  // namespace pmshelf::client
