// What the kernel still has to make durable for one file, and who asks it to. Internal.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "common/media/range.h"
#include "pmshelf/result.h"

namespace pmshelf::media {

// Collects flushed ranges and changes of the file's own metadata (holes, length) until a drain
// makes them durable with one call into the kernel, on behalf of every thread that waits.
//
// Owner: one media. Threads: any; the sync function runs in one thread at a time, outside the
// lock. Durability: a drain() that began after add() returned comes back ok only when what was
// added is durable, whichever thread synced it. Errors are sticky: Linux reports a failed
// write-back once and then forgets the pages, so that after it no later sync proves anything.
class SyncQueue {
 public:
  struct Work {
    std::optional<Extent> range;  // smallest range with everything flushed
    bool metadata = false;
  };
  using Sync = std::function<Status(const Work&)>;

  explicit SyncQueue(Sync sync) : sync_(std::move(sync)) {}

  void add(const Extent& extent);
  void add_metadata();
  // True when drain() has nothing to do and nothing to report. Costs one load.
  bool idle() const { return idle_.load(std::memory_order_acquire); }
  // kIo, now and from now on, when a sync failed. Blocks in the kernel.
  Status drain();

 private:
  const Sync sync_;
  std::atomic<bool> idle_ = true;

  std::mutex mutex_;  // guards the following
  std::condition_variable done_;
  Work pending_;
  uint64_t added_ = 0;    // calls of add and add_metadata
  uint64_t durable_ = 0;  // how many of them are durable
  bool running_ = false;  // some thread is in sync_
  std::optional<Error> failure_;
};

}  // namespace pmshelf::media
