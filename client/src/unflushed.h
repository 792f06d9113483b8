// Which bytes were acknowledged as visible only: a flush may vouch for them only while the daemon
// that took them is the one that flushes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "pmshelf/result.h"

namespace pmshelf::client {

// One covering range is kept, not a list: writes meant for one flush lie together. Thread-safe.
class Unflushed {
 public:
  void written(uint64_t offset, uint64_t bytes, uint64_t boot_epoch) {
    if (bytes == 0) return;
    std::lock_guard lock(mutex_);
    if (begin_ == end_) {
      begin_ = offset;
      end_ = offset + bytes;
      boot_epoch_ = boot_epoch;
      return;
    }
    begin_ = std::min(begin_, offset);
    end_ = std::max(end_, offset + bytes);
    // The oldest daemon counts: what it took is the doubtful part.
    boot_epoch_ = std::min(boot_epoch_, boot_epoch);
  }

  // kUnknownOutcome, once per loss: visible-only bytes in the range were taken by an earlier
  // daemon.
  Status may_flush(uint64_t offset, uint64_t bytes, uint64_t boot_epoch) {
    std::lock_guard lock(mutex_);
    const bool touched = begin_ < end_ && offset < end_ && offset + bytes > begin_;
    if (!touched || boot_epoch_ == boot_epoch) return {};
    remove(offset, bytes);
    return Error(
        Code::kUnknownOutcome,
        "the daemon restarted between these writes, which were visible only, and the flush: "
        "write them again");
  }

  void flushed(uint64_t offset, uint64_t bytes) {
    std::lock_guard lock(mutex_);
    remove(offset, bytes);
  }

 private:
  void remove(uint64_t offset, uint64_t bytes) {
    const uint64_t end = offset + bytes;
    if (offset <= begin_) begin_ = std::clamp(end, begin_, end_);
    if (end >= end_) end_ = std::clamp(offset, begin_, end_);
  }

  std::mutex mutex_;
  uint64_t begin_ = 0, end_ = 0;  // none when equal
  uint64_t boot_epoch_ = 0;
};

}  // namespace pmshelf::client
