#include "client/cli/progress.h"

#include <algorithm>

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::optional<std::string> Progress::update(uint64_t done_bytes, Time now, size_t columns) {
  if (now - start_ < kSilence || (shown_ && now - last_ < kInterval)) return std::nullopt;
  shown_ = true;
  last_ = now;
  const double elapsed = seconds(now - start_);
  const double rate = static_cast<double>(done_bytes) / elapsed;
  std::string line;
  if (total_bytes_ != 0) {
    const double share = static_cast<double>(done_bytes) / static_cast<double>(total_bytes_);
    line += std::to_string(static_cast<int>(std::min(share, 1.0) * 100)) + "%  ";
  }
  line += human_bytes(done_bytes);
  if (total_bytes_ != 0) line += " of " + human_bytes(total_bytes_);
  line += "  " + human_rate(rate);
  if (total_bytes_ > done_bytes && done_bytes != 0) {
    const double left = static_cast<double>(total_bytes_ - done_bytes) / rate;
    const auto rounded = std::chrono::seconds(static_cast<int64_t>(left + 1));
    line += "  " + human_duration(rounded) + " left";
  }
  // What does not fit is cut, never inside a character.
  line += "  " + label_;
  if (line.size() <= columns) return line;
  while (columns > 0 && (static_cast<uint8_t>(line[columns]) & 0xC0) == 0x80) --columns;
  return line.substr(0, columns);
}

std::string transfer_summary(uint64_t bytes, std::chrono::nanoseconds elapsed) {
  const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed);
  const double safe_elapsed = std::max(seconds(elapsed), 1e-9);
  return human_bytes(bytes) + " in " + human_duration(whole) + ", " +
         human_rate(static_cast<double>(bytes) / safe_elapsed);
}

}  // namespace pmshelf::cli
