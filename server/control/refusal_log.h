// Refused authentications in the log, without letting strangers fill the disk.
#pragma once

#include <spdlog/spdlog.h>

#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

#include "common/base/clock.h"

namespace pmshelf::control {

inline constexpr uint32_t kRefusalLinesPerSecond = 10;

// One line a refusal, at most ten a second; the next line says how many were left out. Any thread.
class RefusalLog {
 public:
  explicit RefusalLog(const Clock& clock) : clock_(clock) {}

  void note(std::string_view method, std::string_view peer, std::string_view why) {
    uint64_t left_out = 0;
    {
      std::lock_guard lock(mutex_);
      const uint64_t second = clock_.boot_ms() / 1000;
      if (second != second_) lines_ = 0;
      second_ = second;
      if (++lines_ > kRefusalLinesPerSecond) {
        ++left_out_;
        return;
      }
      left_out = std::exchange(left_out_, 0);
    }
    if (left_out != 0) spdlog::warn("{} refused calls were not logged one by one", left_out);
    spdlog::warn("refused {} from {}: {}", method, peer, why);
  }

 private:
  const Clock& clock_;
  std::mutex mutex_;
  uint64_t second_ = 0;
  uint64_t left_out_ = 0;
  uint32_t lines_ = 0;
};

}  // namespace pmshelf::control
