#include "common/media/sync_queue.h"

#include <algorithm>
#include <utility>

namespace pmshelf::media {

void SyncQueue::add(const Extent& extent) {
  const std::lock_guard lock(mutex_);
  if (pending_.range) {
    const uint64_t begin = std::min(pending_.range->offset, extent.offset);
    const uint64_t end = std::max(pending_.range->end(), extent.end());
    pending_.range = Extent{begin, end - begin};
  } else {
    pending_.range = extent;
  }
  ++added_;
  idle_.store(false, std::memory_order_release);
}

void SyncQueue::add_metadata() {
  const std::lock_guard lock(mutex_);
  pending_.metadata = true;
  ++added_;
  idle_.store(false, std::memory_order_release);
}

Status SyncQueue::drain() {
  std::unique_lock lock(mutex_);
  const uint64_t goal = added_;
  while (!failure_ && durable_ < goal) {
    if (running_) {
      done_.wait(lock);
      continue;
    }
    // This thread syncs for everybody whose range is pending by now.
    running_ = true;
    const uint64_t taken = added_;
    const Work work = std::exchange(pending_, {});
    lock.unlock();
    Status status = sync_(work);
    lock.lock();
    running_ = false;
    if (status.ok()) {
      durable_ = taken;
      if (durable_ == added_) idle_.store(true, std::memory_order_release);
    } else {
      failure_ = std::move(status).error();
    }
    done_.notify_all();
  }
  if (failure_) return *failure_;
  return {};
}

}  // namespace pmshelf::media
