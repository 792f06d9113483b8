// Units, and checked arithmetic on sizes that came from outside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kTiB = 1024 * kGiB;

// `alignment` is a power of two. Precondition: value + alignment - 1 does not overflow.
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}
constexpr uint64_t align_down(uint64_t value, uint64_t alignment) {
  return value & ~(alignment - 1);
}

// True when [offset, offset + length) lies in [0, limit), without overflow.
constexpr bool range_inside(uint64_t offset, uint64_t length, uint64_t limit) {
  return offset <= limit && length <= limit - offset;
}

// "64MiB", "1.5GiB", "4096", "10GB" (decimal), case-insensitive. kInvalidArgument names the text.
Result<uint64_t> parse_bytes(std::string_view text);
// 1536 -> "1.5 KiB"; whole numbers without a fraction.
std::string format_bytes(uint64_t bytes);

// "500ms", "30s", "2m", "1.5h", "7d" -> milliseconds. The unit is required (but for "0").
// kInvalidArgument names the text.
Result<uint64_t> parse_duration_ms(std::string_view text);
// The largest unit that loses nothing: 90'000 -> "90s", 120'000 -> "2m"; parse_duration_ms reads
// it.
std::string format_duration_ms(uint64_t ms);

}  // namespace pmshelf
