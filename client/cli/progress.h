// The progress line of long transfers: what it says and when. Knows no clock and no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace pmshelf::cli {

// One transfer of `total_bytes`. Value type; one thread.
// Says nothing in the first second, then a line at most every 200 ms.
class Progress {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kSilence{1000};
  static constexpr std::chrono::milliseconds kInterval{200};

  Progress(std::string label, uint64_t total_bytes, Time start)
      : label_(std::move(label)), total_bytes_(total_bytes), start_(start) {}

  // A line of at most `columns` columns when it is time for one.
  std::optional<std::string> update(uint64_t done_bytes, Time now, size_t columns);
  bool shown() const { return shown_; }

 private:
  std::string label_;
  uint64_t total_bytes_;
  Time start_;
  Time last_{};
  bool shown_ = false;
};

// "1.5 GiB in 2 s, 768 MiB/s"
std::string transfer_summary(uint64_t bytes, std::chrono::nanoseconds elapsed);

}  // namespace pmshelf::cli
